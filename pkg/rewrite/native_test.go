package rewrite

import (
	"math"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/prompb"
)

// editHistograms makes random edits to the native histograms of b, and the same to want by plain means.
func editHistograms(d dice, b *Batch, want *flat) {
	for i := range want.series {
		list := want.series[i].histograms
		var kept []flatHistogram
		for k := range list {
			j, w := int(b.Series[i].H0)+k, list[k]
			if d.IntN(3) == 0 {
				h := drawHistogram(d)
				h.XXX_unrecognized = nil
				fh := h.ToFloatHistogram()
				if h.IsFloatHistogram() == false {
					fh = h.ToIntHistogram().ToFloat(nil)
				}
				if d.IntN(4) == 0 {
					fh.Mul(0.5)
				}
				b.SetHistogram(j, fh)
				w.raw = plainEncoding(w, fh)
			}
			if d.IntN(4) == 0 {
				st := []int64{0, 999, 1000, 1 << 40, -5}[d.IntN(5)]
				b.SetHistogramStart(j, st)
				if b.Version == V2 {
					w.st = st
				}
			}
			if d.IntN(5) == 0 {
				b.DropHistogram(j)
				continue
			}
			kept = append(kept, w)
		}
		want.series[i].histograms = kept
	}
}

// plainEncoding is fh in the place of w, by Prometheus' own types.
func plainEncoding(w flatHistogram, fh *histogram.FloatHistogram) []byte {
	var was prompb.Histogram
	if err := was.Unmarshal(w.raw); err != nil {
		panic(err)
	}
	out := prompb.FromFloatHistogram(w.t, fh)
	if !was.IsFloatHistogram() && allWhole(fh) {
		ih := &histogram.Histogram{
			CounterResetHint: fh.CounterResetHint, Schema: fh.Schema, ZeroThreshold: fh.ZeroThreshold, Sum: fh.Sum,
			Count: uint64(fh.Count), ZeroCount: uint64(fh.ZeroCount), CustomValues: fh.CustomValues,
			PositiveSpans: fh.PositiveSpans, NegativeSpans: fh.NegativeSpans,
			PositiveBuckets: plainDeltas(fh.PositiveBuckets), NegativeBuckets: plainDeltas(fh.NegativeBuckets),
		}
		out = prompb.FromIntHistogram(w.t, ih)
	}
	out.XXX_unrecognized = negativeZero(nil, 3, fh.Sum)
	return must(out.Marshal())
}

func allWhole(fh *histogram.FloatHistogram) bool {
	all := slices.Concat([]float64{fh.Count, fh.ZeroCount}, fh.PositiveBuckets, fh.NegativeBuckets)
	return !slices.ContainsFunc(all, func(v float64) bool { return v != math.Floor(v) })
}

func plainDeltas(counts []float64) (out []int64) {
	last := int64(0)
	for _, c := range counts {
		out = append(out, int64(c)-last)
		last = int64(c)
	}
	return out
}

// checkHistograms holds what FloatHistogram reads against Prometheus' own types.
func checkHistograms(t testing.TB, b *Batch, s Series, want []flatHistogram) {
	t.Helper()
	var reused histogram.FloatHistogram
	for k, w := range want {
		var own prompb.Histogram
		if err := own.Unmarshal(w.raw); err != nil {
			t.Fatal(err)
		}
		fh := own.ToFloatHistogram()
		if !own.IsFloatHistogram() {
			fh = own.ToIntHistogram().ToFloat(nil)
		}
		if fh.Schema > histogram.ExponentialSchemaMax {
			if err := fh.ReduceResolution(histogram.ExponentialSchemaMax); err != nil {
				continue // and so says FloatHistogram
			}
		}
		fh.CounterResetHint = min(fh.CounterResetHint, histogram.GaugeType)
		h, integer, err := b.FloatHistogram(int(s.H0) + k)
		if err != nil || integer == own.IsFloatHistogram() {
			t.Fatalf("histogram %d: integer %v, %v", k, integer, err)
		}
		if own.ResetHint >= 0 && own.ResetHint <= 3 && h.CounterResetHint != histogram.CounterResetHint(own.ResetHint) {
			t.Fatalf("histogram %d: hint %v, want %v", k, h.CounterResetHint, own.ResetHint)
		}
		if !sameHistogram(h, fh) {
			t.Fatalf("histogram %d: %v, want %v", k, h, fh)
		}
		if _, err := b.ReadHistogram(int(s.H0)+k, &reused); err != nil || !sameHistogram(&reused, fh) {
			t.Fatalf("histogram %d, read into used memory: %v (%v), want %v", k, &reused, err, fh)
		}
	}
}

// sameHistogram is Equals, for which a zero threshold that is no number is not equal to itself.
func sameHistogram(a, b *histogram.FloatHistogram) bool {
	c, d := *a, *b
	if math.IsNaN(c.ZeroThreshold) && math.IsNaN(d.ZeroThreshold) {
		c.ZeroThreshold, d.ZeroThreshold = 0, 0
	}
	return c.Equals(&d)
}

func TestReadingHistogramsIntoTheSameMemoryDoesNotAllocate(t *testing.T) {
	b := batchOfHistograms(t, V2, 8)
	var h histogram.FloatHistogram
	custom := func(j int) bool {
		_, err := b.ReadHistogram(j, &h)
		return err != nil || h.UsesCustomBuckets()
	}
	exponential := slices.DeleteFunc([]int{0, 1, 2, 3, 4, 5, 6, 7}, custom)
	if len(exponential) < 2 {
		t.Fatal("too few to tell")
	}
	read := func() {
		for _, j := range exponential {
			if _, err := b.ReadHistogram(j, &h); err != nil {
				t.Fatal(err)
			}
		}
	}
	read()
	if n := testing.AllocsPerRun(100, read); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestAnUntouchedHistogramBatchGoesOutAsTheVeryBytes(t *testing.T) {
	b := batchOfHistograms(t, V2, 3)
	if _, _, err := b.FloatHistogram(1); err != nil || b.Changed() {
		t.Fatal(err, b.Changed())
	}
	body, kept, err := b.Encode(nil, V2, nil)
	if err != nil || &body[0] != &b.Compressed[0] || kept.Histograms != 3 {
		t.Fatal(err, kept)
	}
	b.DropHistogram(0)
	b.DropHistogram(1)
	b.DropHistogram(2)
	if _, kept, err = b.Encode(nil, V2, nil); err != nil || kept != (Counts{}) || !b.Changed() {
		t.Fatalf("%v: all dropped, kept %+v", err, kept)
	}
	if err := b.Decode(V2, "t", b.Compressed, Limits{}); err != nil || b.Changed() {
		t.Fatalf("%v: edits outlive Decode", err)
	}
}

// batchOfHistograms is a batch of n series with one native histogram each.
func batchOfHistograms(t testing.TB, v Version, n int) *Batch {
	t.Helper()
	d := seeded(7)
	req := &prompb.WriteRequest{}
	for i := range n {
		h := drawHistogram(d)
		h.XXX_unrecognized = nil
		req.Timeseries = append(req.Timeseries, prompb.TimeSeries{
			Labels:     []prompb.Label{{Name: "__name__", Value: "h"}, {Name: "i", Value: string(rune('a' + i))}},
			Histograms: []prompb.Histogram{h},
		})
	}
	var b Batch
	if err := b.Decode(V1, "t", packV1(t, req), Limits{}); err != nil {
		t.Fatal(err)
	}
	if v == V1 {
		return &b
	}
	body, _, err := b.Encode(nil, V2, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out Batch
	if err := out.Decode(V2, "t", body, Limits{}); err != nil {
		t.Fatal(err)
	}
	return &out
}

func BenchmarkReadHistogram(b *testing.B) {
	batch := batchOfHistograms(b, V2, 1)
	var h histogram.FloatHistogram
	b.ReportAllocs()
	for b.Loop() {
		if _, err := batch.ReadHistogram(0, &h); err != nil {
			b.Fatal(err)
		}
	}
}
