package rewrite

import (
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
)

// FloatHistogram returns native histogram j of b.Histograms as it came in, in
// memory of its own, and whether it has integer counts (exact here below 2^53).
// A schema above 8 is reduced to 8, as receivers do (write_handler.go). It fails
// only for what Decode would have refused.
func (b *Batch) FloatHistogram(j int) (h *histogram.FloatHistogram, integer bool, err error) {
	h = new(histogram.FloatHistogram)
	integer, err = b.ReadHistogram(j, h)
	return h, integer, err
}

// ReadHistogram is FloatHistogram into h, whose slices are overwritten and
// grown where they are too small: reading one histogram after the other into
// the same h does not allocate, and costs two walks over the message (1 µs for
// twenty buckets). Only custom bounds are allocated anew where exponential histograms
// came between, which must have none: the model tells nil from empty.
func (b *Batch) ReadHistogram(j int, h *histogram.FloatHistogram) (integer bool, err error) {
	r := histogramReader{h: h, v: b.Version}
	*h = histogram.FloatHistogram{
		PositiveSpans: h.PositiveSpans[:0], PositiveBuckets: h.PositiveBuckets[:0],
		NegativeSpans: h.NegativeSpans[:0], NegativeBuckets: h.NegativeBuckets[:0],
		CustomValues: h.CustomValues[:0],
	}
	x := &b.Histograms[j]
	m := b.Message[:x.p1]
	for p := int(x.p0); p < len(m); {
		f, q := known(m, p)
		r.kind(f)
		p = q
	}
	for p := int(x.p0); p < len(m); {
		f, q := known(m, p)
		if reason := r.field(m, f); reason != "" {
			return !r.float, fmt.Errorf("rewrite: histogram at byte %d: %s", p, reason)
		}
		p = q
	}
	if len(h.CustomValues) == 0 {
		h.CustomValues = nil // an exponential histogram has none, not none of some
	}
	if histogram.IsExponentialSchemaReserved(h.Schema) && h.Schema > histogram.ExponentialSchemaMax {
		if err := h.ReduceResolution(histogram.ExponentialSchemaMax); err != nil {
			return !r.float, fmt.Errorf("rewrite: reduce the resolution of a histogram: %w", err)
		}
	}
	return !r.float, nil
}

// histogramReader fills a model histogram from a Histogram message. What its
// kind does not use (float counts of an integer histogram) is ignored.
type histogramReader struct {
	h     *histogram.FloatHistogram
	v     Version
	float bool
	last  [2]int64 // of the integer buckets, negative and positive
}

// kind finds out by the last count whether the histogram is one of floats.
func (r *histogramReader) kind(f field) {
	if f.num == 1 || f.num == 2 {
		r.float = f.num == 2
	}
}

func (r *histogramReader) field(m []byte, f field) string {
	h := r.h
	switch f.num {
	case 1:
		if !r.float {
			h.Count = float64(f.v)
		}
	case 2:
		if r.float {
			h.Count = math.Float64frombits(le64(m, f.p0))
		}
	case 3:
		h.Sum = math.Float64frombits(le64(m, f.p0))
	case 4:
		h.Schema = int32(zigzag(uint64(uint32(f.v))))
	case 5:
		h.ZeroThreshold = math.Float64frombits(le64(m, f.p0))
	case 6:
		h.ZeroCount = 0 // the last of the two kinds holds
		if !r.float {
			h.ZeroCount = float64(f.v)
		}
	case 7:
		h.ZeroCount = 0
		if r.float {
			h.ZeroCount = math.Float64frombits(le64(m, f.p0))
		}
	case 8:
		h.NegativeSpans = append(h.NegativeSpans, readSpan(m[:f.p1], f.p0))
	case 11:
		h.PositiveSpans = append(h.PositiveSpans, readSpan(m[:f.p1], f.p0))
	case 9, 12:
		return r.deltas(m, f)
	case 10, 13:
		return r.counts(m, f)
	case 14:
		h.CounterResetHint = histogram.CounterResetHint(f.v)
		if f.v > uint64(histogram.GaugeType) {
			h.CounterResetHint = histogram.UnknownCounterReset
		}
	case 16:
		h.CustomValues = appendDoubles(h.CustomValues, m, f)
	}
	return ""
}

func (r *histogramReader) deltas(m []byte, f field) string {
	if r.float {
		return ""
	}
	at, last := &r.h.NegativeBuckets, &r.last[0]
	if f.num == 12 {
		at, last = &r.h.PositiveBuckets, &r.last[1]
	}
	for p, v := f.p0, f.v; p < f.p1; *at = append(*at, float64(*last)) {
		if f.wt == wireBytes {
			var reason string
			if v, p, reason = uvarint(m[:f.p1], p); reason != "" {
				return reason
			}
		} else {
			p = f.p1 // one element, not packed
		}
		*last += zigzag(v)
	}
	return ""
}

func (r *histogramReader) counts(m []byte, f field) string {
	if !r.float {
		return ""
	}
	at := &r.h.NegativeBuckets
	if f.num == 13 {
		at = &r.h.PositiveBuckets
	}
	*at = appendDoubles(*at, m, f)
	return ""
}

// appendDoubles appends the elements of a repeated double field that Decode has been through, packed or not.
func appendDoubles(dst []float64, m []byte, f field) []float64 {
	dst = slices.Grow(dst, (f.p1-f.p0)/8)
	for p := f.p0; p < f.p1; p += 8 {
		dst = append(dst, math.Float64frombits(le64(m, p)))
	}
	return dst
}

// readSpan reads a BucketSpan message that Decode has been through, from p to m's end.
func readSpan(m []byte, p int) (s histogram.Span) {
	for p < len(m) {
		f, q := known(m, p)
		switch f.num {
		case 1:
			s.Offset = int32(zigzag(uint64(uint32(f.v))))
		case 2:
			s.Length = uint32(f.v)
		}
		p = q
	}
	return s
}

// wholeMax bounds what a float count may be to become an integer again; above, floats have gaps.
const wholeMax = 1 << 53

// integerHistogram is h with integer counts; ok is false where that is not the same histogram.
func integerHistogram(h *histogram.FloatHistogram) (out *histogram.Histogram, ok bool) {
	out = &histogram.Histogram{
		CounterResetHint: h.CounterResetHint, Schema: h.Schema, ZeroThreshold: h.ZeroThreshold, Sum: h.Sum,
		PositiveSpans: h.PositiveSpans, NegativeSpans: h.NegativeSpans, CustomValues: h.CustomValues,
	}
	if !whole(h.Count) || !whole(h.ZeroCount) {
		return nil, false
	}
	out.Count, out.ZeroCount = uint64(h.Count), uint64(h.ZeroCount)
	if out.PositiveBuckets, ok = deltasOf(h.PositiveBuckets); !ok {
		return nil, false
	}
	if out.NegativeBuckets, ok = deltasOf(h.NegativeBuckets); !ok {
		return nil, false
	}
	return out, out.Validate() == nil
}

func whole(v float64) bool { return v >= 0 && v <= wholeMax && v == math.Trunc(v) }

func deltasOf(counts []float64) (deltas []int64, ok bool) {
	deltas = make([]int64, 0, len(counts))
	last := int64(0)
	for _, v := range counts {
		if !whole(v) {
			return nil, false
		}
		deltas = append(deltas, int64(v)-last)
		last = int64(v)
	}
	return slices.Clip(deltas), true
}
