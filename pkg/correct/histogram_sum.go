package correct

import "math"

// sum decides the _sum, once it is known how much came into each bucket. At a
// full reset it is folded. A loss took away what was lost times its mean. A
// _sum that falls by itself is right if there are negative observations.
func (e *histJudge) sum(due []float64) {
	f, cs := e.f, e.cs
	if f.sum < 0 {
		return
	}
	s, off := &f.seats[f.sum], cs.parts[f.sum].off
	negative := e.h.negative()
	out := s.cur + off
	switch {
	case e.free:
		off, out = 0, s.cur
	case e.change.fold:
		off += s.prev
		out = s.cur + off
	case e.change.lose:
		out = s.due + f.sumStep(e.h, s, due, negative)
		off = out - s.cur
	case s.cur >= s.prev, negative:
	case e.hold || s.prev-s.cur <= noiseShare*s.prev:
		out = max(out, s.due)
	case len(f.chain) > 0:
		out = s.due + f.sumStep(e.h, s, due, false)
		off = out - s.cur
		if e.log == nil {
			e.log = append(e.log, Correction{Kind: KindLoss, Evidence: []Evidence{{Test: "sum", Text: "fell by itself, and there are no negative observations"}}})
		}
	default:
		// The sum alone came: whether it was lost or reset is for its siblings to say.
		out, off = s.due, s.due-s.cur
	}
	if !e.free && !negative {
		out = max(out, s.due)
	}
	e.settle(f.sum, off, out, out)
}

// sumStep is what the _sum grew by through a loss: what it shows, plus what was
// lost, within what the buckets allow for what came.
func (f *frame) sumStep(h *Histogram, s *seat, due []float64, negative bool) float64 {
	lower, upper, mean, sure := f.means(h, s.prev)
	shown, least, most := s.cur-s.prev, 0.0, 0.0
	guess, came := 0.0, 0.0
	for k := range f.chain {
		inc := density(due, k) - density(f.tgt, k)
		shown += max(0, density(f.prev, k)-density(f.cur, k)) * mean[k]
		if inc <= 0 {
			continue
		}
		came += inc
		least += inc * lower[k]
		most += inc * upper[k]
		guess += inc * mean[k]
	}
	switch {
	case came == 0:
		return 0
	case f.fell == 0:
		return guess
	case sure:
		// What is seen to have come is no less for what is not known of the bounds.
		shown = clip(shown, least, max(most, s.cur-s.prev))
	}
	if !negative {
		shown = max(shown, 0)
	}
	return shown
}

// means estimates the mean of the observations in each bucket, such that they
// add up to the sum there was: as far between its bounds in each. sure is false
// when the sum is not within its bounds, which then say nothing.
func (f *frame) means(h *Histogram, sum float64) (lower, upper, mean []float64, sure bool) {
	n := len(f.chain)
	lower, upper, mean = make([]float64, n), make([]float64, n), make([]float64, n)
	least, most, below := 0.0, 0.0, 0.0
	for k, i := range f.chain {
		p := &h.parts[i]
		lower[k], upper[k] = below, math.Inf(1)
		if p.role == RoleBucket {
			upper[k] = p.le
		}
		if k == 0 && p.role == RoleBucket && p.le <= 0 {
			lower[k] = math.Inf(-1)
		}
		if before := density(f.prev, k); before > 0 {
			least += before * lower[k]
			most += before * upper[k]
		}
		below = upper[k]
	}
	sure = sum >= least && sum <= most
	// Finite bounds for the estimate: an open bucket's mean is at its finite end, or takes what is left.
	at, width := 0.0, 0.0
	for k := range f.chain {
		lo, hi := finite(lower[k], upper[k])
		at += density(f.prev, k) * lo
		width += density(f.prev, k) * (hi - lo)
	}
	share := 0.0
	if width > 0 {
		share = clip((sum-at)/width, 0, 1)
	}
	left := max(0, sum-at-share*width)
	for k := range f.chain {
		lo, hi := finite(lower[k], upper[k])
		mean[k] = lo + share*(hi-lo)
		if before := density(f.prev, k); math.IsInf(upper[k], 1) && before > 0 {
			mean[k] += left / before
		}
	}
	return lower, upper, mean, sure
}

// finite puts the finite bound in the place of an infinite one.
func finite(lower, upper float64) (float64, float64) {
	switch {
	case math.IsInf(lower, -1):
		return upper, upper
	case math.IsInf(upper, 1):
		return lower, lower
	}
	return lower, upper
}
