package correct

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
)

// Native is what is remembered of one native histogram series. The zero value
// has never seen a sample. A series that switches between float and histogram
// samples has a Native beside its Counter: each is judged by its own kind alone.
//
//   - One verdict for the whole, from the total count with its learned pace and
//     the buckets, by the log odds of the scalar engine.
//   - Buckets are compared on the finest layout that both samples can be expressed
//     on, and what goes out is on the coarsest that went out so far while anything is
//     corrected: a finer one would be a reset to every reader.
//   - What goes out is raw + offset of the epoch in force, held bucket by bucket at
//     what went out before it; the count is their sum. With Fold no bucket ever decreases.
//   - The counter-reset hint that goes out with a changed sample is CounterReset
//     where a full reset is passed (PassResets), else unknown: its values show that there was none.
//
// Cost: a healthy sample of the same layout is compared and copied into the
// Native's own memory: no allocation, about 1 ns a bucket. One whose spans have changed
// allocates the two lists of populated buckets (16 bytes each). A series that is
// corrected allocates what goes out and about four such lists a sample.
// Memory: 8 bytes a bucket and 8 a span; with a correction in force about 64 bytes a
// populated bucket more, and the same for each remembered epoch (at most nativeEpochs) and debt (maxDebts).
type Native struct {
	c    Counter // of the total; its Raw is the count
	last histogram.FloatHistogram
	cs   *nativeCase // nil until something befell it
	anew bool        // not seen yet, and its state was lost
	turn bool        // the sample at hand is another replica's first
}

// Last is the last sample: its time (ms), its count, and the count that went out for it.
func (n *Native) Last() (t int64, rawCount, outCount float64, seen bool) {
	outCount = n.last.Count
	if n.cs != nil {
		if out, changed := n.cs.at(n.c.T, &n.last); changed {
			outCount = out.Count
		}
	}
	return n.c.T, n.last.Count, outCount, n.c.Seen()
}

// Interleaved reports whether several sources seem to answer for the series.
func (n *Native) Interleaved() bool { return n.cs != nil && n.cs.history.Interleaved() }

// Apply decides about one sample at t (ms) with start timestamp st (ms, 0 none).
// h is the sample as a float histogram with its hint; it is not kept, and not
// changed. changed is false when its value goes out untouched, bit for bit; then
// out is h. Else out is what to forward: valid, compact, in memory of its own.
// outST is the start timestamp to forward in either case. drop: same timestamp, other value.
func (n *Native) Apply(p Policy, t, st int64, h *histogram.FloatHistogram) (out *histogram.FloatHistogram, outST int64, drop, changed bool, cs []Correction) {
	switch {
	case h.CounterResetHint == histogram.GaugeType:
		return h, st, false, false, nil
	case math.Float64bits(h.Sum) == staleBits:
		if n.c.Seen() && t > n.c.T {
			n.c.flags |= flagAway
		}
		return h, st, false, false, nil
	case n.healthy(t, st, h):
		return h, st, false, false, nil
	case !n.sound(h):
		return h, st, false, false, []Correction{{Kind: KindInvalid, T: t, PrevT: n.c.T, Prev: n.c.Raw, Raw: h.Count, Out: h.Count}}
	case !n.c.Seen(), t > n.c.T && h.UsesCustomBuckets() != n.last.UsesCustomBuckets():
		// Exponential beside custom buckets: nothing can be compared, it begins anew.
		anew := n.anew
		*n = Native{c: Counter{T: t, Raw: h.Count, ST: st, before: h.Count, flags: flagSeen}}
		n.keep(h)
		if anew && h.Count > 0 {
			n.atZero(t)
			cs = fromZero(Sample{T: t, V: h.Count, ST: st})
		}
		out, outST, changed = n.answer(t, st, h)
		return out, outST, false, changed, cs
	case t < n.c.T:
		out, outST, changed = n.answer(t, st, h)
		return out, outST, false, changed, nil
	case t == n.c.T && !sameValue(h, &n.last):
		return h, st, true, false, []Correction{{Kind: KindDuplicate, T: t, PrevT: n.c.T, Prev: n.c.Raw, Raw: h.Count, Out: n.c.Raw}}
	case t == n.c.T:
		out, outST, changed = n.answer(t, st, h)
		return out, outST, false, changed, nil
	}
	cs = n.next(p, t, st, h)
	out, outST, changed = n.answer(t, st, h)
	for i := range cs {
		cs[i].Out = out.Count
	}
	return out, outST, false, changed, cs
}

// answer is what goes out for a sample that is judged already, or late.
func (n *Native) answer(t, st int64, h *histogram.FloatHistogram) (*histogram.FloatHistogram, int64, bool) {
	if n.cs == nil || h.UsesCustomBuckets() != n.last.UsesCustomBuckets() {
		return h, st, false
	}
	out, changed := n.cs.at(t, h)
	return out, n.cs.start(t, st), changed
}

// healthy takes an ordinary next sample of a histogram that nothing ever befell,
// of the same layout as the last, and reports whether it was one. It does not allocate.
func (n *Native) healthy(t, st int64, h *histogram.FloatHistogram) bool {
	if n.cs != nil || !n.grew(t, st, h) {
		return false
	}
	n.c.step(t, h.Count, h.Count-n.c.Raw, elapsed(n.c.T, t))
	n.keep(h)
	return true
}

// grew: in order, on the layout of the last sample, and nothing fell.
func (n *Native) grew(t, st int64, h *histogram.FloatHistogram) bool {
	l := &n.last
	if !(n.c.Seen() && t > n.c.T && st == n.c.ST && h.CounterResetHint != histogram.CounterReset &&
		!(h.Sum < l.Sum && !negative(h)) && h.Count >= l.Count && h.Count <= math.MaxFloat64 &&
		sameLayout(h, l) && h.ZeroCount >= l.ZeroCount && h.ZeroCount <= math.MaxFloat64 &&
		len(h.PositiveBuckets) == len(l.PositiveBuckets) && len(h.NegativeBuckets) == len(l.NegativeBuckets)) {
		return false
	}
	up := h.ZeroCount - l.ZeroCount
	for i, v := range h.PositiveBuckets {
		if !(v >= l.PositiveBuckets[i]) || v > math.MaxFloat64 {
			return false
		}
		up += v - l.PositiveBuckets[i]
	}
	for i, v := range h.NegativeBuckets {
		if !(v >= l.NegativeBuckets[i]) || v > math.MaxFloat64 {
			return false
		}
		up += v - l.NegativeBuckets[i]
	}
	// The count must have grown by as much, or what is in no bucket fell.
	return h.Count-l.Count-up >= -countRounding*h.Count
}

func sameLayout(a, b *histogram.FloatHistogram) bool {
	return a.Schema == b.Schema && a.ZeroThreshold == b.ZeroThreshold && slices.Equal(a.CustomValues, b.CustomValues) &&
		slices.Equal(a.PositiveSpans, b.PositiveSpans) && slices.Equal(a.NegativeSpans, b.NegativeSpans)
}

// sameValue compares what two samples say, whatever empty buckets they carry.
func sameValue(a, b *histogram.FloatHistogram) bool {
	if a.Count != b.Count || math.Float64bits(a.Sum) != math.Float64bits(b.Sum) || !gridOf(a).same(gridOf(b)) {
		return false
	}
	return slices.Equal(cellsOf(a).list, cellsOf(b).list)
}

// negative reports whether negative observations have been seen, so that the sum may fall and be right.
func negative(h *histogram.FloatHistogram) bool {
	if h.Sum < 0 {
		return true
	}
	if !h.UsesCustomBuckets() {
		return slices.ContainsFunc(h.NegativeBuckets, func(n float64) bool { return n > 0 })
	}
	i, k := 0, 0
	for _, s := range h.PositiveSpans {
		i += int(s.Offset)
		for range s.Length {
			if i < len(h.CustomValues) && h.CustomValues[i] <= 0 && h.PositiveBuckets[k] > 0 {
				return true
			}
			i++
			k++
		}
	}
	return false
}

// sound reports whether h is a histogram that can be counted with: valid by
// the model, finite, and of indices that float64 can have.
func (n *Native) sound(h *histogram.FloatHistogram) bool {
	if h.Validate() != nil || !(h.Count <= math.MaxFloat64) || !(h.ZeroCount <= math.MaxFloat64) ||
		!(h.ZeroThreshold >= 0 && h.ZeroThreshold <= math.MaxFloat64) {
		return false
	}
	for _, list := range [...][]float64{h.PositiveBuckets, h.NegativeBuckets} {
		for _, v := range list {
			if !(v >= 0 && v <= math.MaxFloat64) {
				return false
			}
		}
	}
	for _, spans := range [...][]histogram.Span{h.PositiveSpans, h.NegativeSpans} {
		i := int64(0)
		for _, s := range spans {
			if i += int64(s.Offset); i < -indexMax {
				return false
			}
			if i += int64(s.Length); i > indexMax {
				return false
			}
		}
	}
	return !slices.ContainsFunc(h.CustomValues, func(v float64) bool { return math.IsNaN(v) })
}

// keep remembers h as the last sample. CopyTo takes custom bounds by reference, and they are the caller's.
func (n *Native) keep(h *histogram.FloatHistogram) {
	bounds := n.last.CustomValues
	h.CopyTo(&n.last)
	switch {
	case !h.UsesCustomBuckets():
	case slices.Equal(bounds, h.CustomValues):
		n.last.CustomValues = bounds
	default:
		n.last.CustomValues = slices.Clone(h.CustomValues)
	}
}

// next judges the sample after the last one and moves on to it.
func (n *Native) next(p Policy, t, st int64, h *histogram.FloatHistogram) []Correction {
	if n.cs != nil {
		if n.cs.history.seen < math.MaxUint32 {
			n.cs.history.seen++
		}
		if n.cs.quiet() && n.grew(t, st, h) {
			n.c.step(t, h.Count, h.Count-n.c.Raw, elapsed(n.c.T, t))
			n.keep(h)
			return nil
		}
	}
	j := &nativeJudge{n: n, t: t, st: st, h: h, whole: whole[nativeOwed]{p: p, takenOver: n.turn}}
	j.body = j
	j.run()
	n.c.ST = st
	n.keep(h)
	return j.log
}
