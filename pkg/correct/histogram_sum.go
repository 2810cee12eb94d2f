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
		out = s.due + f.sumStep(e.h, s, due, e.change.imput, negative)
		off = out - s.cur
	case s.cur >= s.prev, negative:
	case e.hold || s.prev-s.cur <= noiseShare*s.prev:
		out = max(out, s.due)
	case len(f.chain) > 0:
		out = s.due + f.sumStep(e.h, s, due, nil, false)
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

// sumStep is what the _sum grew by through a loss; imput is what was put in for what it hides, nil none.
func (f *frame) sumStep(h *Histogram, s *seat, due, imput []float64, negative bool) float64 {
	list := make([]bucket, len(f.chain))
	below := 0.0
	for k, i := range f.chain {
		p, before := &h.parts[i], density(f.prev, k)
		b := bucket{lower: below, upper: math.Inf(1), before: before, gone: max(0, before-density(f.cur, k)), inc: density(due, k) - density(f.tgt, k)}
		if p.c.kin.role == RoleBucket {
			b.upper = h.le(p)
		}
		if k == 0 && p.c.kin.role == RoleBucket && h.le(p) <= 0 {
			b.lower = math.Inf(-1)
		}
		if imput != nil {
			b.put = density(imput, k)
		}
		below = b.upper
		list[k] = b
	}
	return sumStep(list, s.prev, s.cur, negative)
}
