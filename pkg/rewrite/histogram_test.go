package rewrite

import (
	"math"
	"testing"

	"github.com/prometheus/prometheus/prompb"
	"pgregory.net/rapid"
)

// spoil makes one of the changes that turn a sound histogram into an unsound one, or do not.
func spoil(d dice, h *prompb.Histogram) {
	drawBound := func() float64 {
		return []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, 1, -1}[d.IntN(6)]
	}
	switch d.IntN(16) {
	case 0:
		h.Schema = int32([]int{-53, -10, -9, -5, -4, 8, 9, 52, 53, 1000}[d.IntN(10)])
	case 1:
		h.ZeroCount = &prompb.Histogram_ZeroCountInt{ZeroCountInt: uint64(d.IntN(3))}
	case 2:
		h.ZeroCount = &prompb.Histogram_ZeroCountFloat{ZeroCountFloat: drawValue(d)}
	case 3:
		h.Count = &prompb.Histogram_CountInt{CountInt: uint64(d.IntN(40))}
	case 4:
		h.Count = &prompb.Histogram_CountFloat{CountFloat: drawValue(d)}
	case 5:
		h.ZeroThreshold = drawValue(d)
	case 6:
		h.Sum = drawValue(d)
	case 7:
		h.PositiveSpans = append(h.PositiveSpans, prompb.BucketSpan{Offset: int32(d.IntN(5) - 2), Length: uint32(d.IntN(3))})
	case 8:
		h.PositiveSpans[0].Offset = int32(d.IntN(20) - 3)
	case 9:
		h.PositiveDeltas = append(h.PositiveDeltas, int64(d.IntN(9)-4))
	case 10:
		h.PositiveCounts = append(h.PositiveCounts, drawValue(d))
	case 11:
		h.NegativeSpans = append(h.NegativeSpans, prompb.BucketSpan{Offset: int32(d.IntN(5) - 2), Length: uint32(d.IntN(2))})
	case 12:
		h.NegativeDeltas = append(h.NegativeDeltas, []int64{-4, 0, math.MaxInt64, math.MinInt64}[d.IntN(4)])
	case 13:
		h.NegativeCounts = append(h.NegativeCounts, drawValue(d))
	case 14:
		h.CustomValues = append(h.CustomValues, drawBound())
	case 15:
		h.CustomValues = []float64{drawBound(), drawBound()}
	}
}

func TestHistogramsAreJudgedAsPrometheusModelDoes(t *testing.T) {
	verdicts := map[bool]int{}
	rapid.Check(t, func(r *rapid.T) {
		for range 20 {
			d := rapidDice{r}
			h := drawHistogram(d)
			for range d.IntN(3) {
				spoil(d, &h)
			}
			raw, err := h.Marshal()
			if err != nil {
				r.Fatal(err)
			}
			var c histogramCheck
			if _, reason := c.walk(raw, 0, V1); reason != "" {
				r.Fatal(reason)
			}
			reason, want := c.judge(), modelVerdict(&h)
			if (reason == "") != (want == nil) {
				r.Fatalf("judged %q, the model says %v: %v", reason, want, h.String())
			}
			verdicts[reason == ""]++
		}
	})
	if verdicts[true] == 0 || verdicts[false] == 0 {
		t.Fatalf("one-sided: %v", verdicts)
	}
}

func TestHistogramElementsNeedNotBePacked(t *testing.T) {
	d := seeded(3)
	packed := drawHistogram(d)
	for packed.IsFloatHistogram() {
		packed = drawHistogram(d)
	}
	deltas := packed.PositiveDeltas
	packed.PositiveDeltas = nil
	raw := must(packed.Marshal())
	for _, x := range deltas { // sint64, one field each
		raw = append(raw, 12<<3|wireVarint, byte(x<<1^x>>63))
	}
	var c histogramCheck
	if _, reason := c.walk(raw, 0, V1); reason != "" || c.judge() != "" {
		t.Fatal(reason, c.judge())
	}
}
