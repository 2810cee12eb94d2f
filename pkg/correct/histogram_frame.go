package correct

import "math"

// frame is one timestamp of a histogram: what its parts were before and are
// now, along le. It is built for a judgement and thrown away.
type frame struct {
	t, prevT int64
	seats    []seat // by part
	chain    []int  // parts that were there before and are there now, along le; the last one is the total
	cur      []float64
	prev     []float64 // raw along the chain, cumulative; what is not is raised to its running maximum
	off, tgt []float64 // offsets and what was due for prev, along the chain, cumulative
	count    int       // the part that follows the total, -1 if none
	sum      int       // -1 if none
	fell     float64   // sum of the decreases of the densities
	noise    bool      // something fell, but no more than rounding explains
	up       float64   // sum of their increases
	bent     bool      // what came is not cumulative
	usual    []float64 // growth to put in for a loss, cumulative
}

// seat is one part in a frame.
type seat struct {
	has   bool // it came for this timestamp
	gone  bool // and had gone out before the judgement
	past  bool // and the part has moved on to it already
	anew  bool // it had gone out as the first of a part that was to begin at 0
	fresh bool // and was never seen before
	cur   float64
	prev  float64
	prevT int64
	due   float64 // what was due for prev
	out   float64 // what went out, if it has gone
	st    int64
	held  Sample
}

// frame gathers timestamp t: from what is held, and from what went out already.
func (h *Histogram) frame(t int64) *frame {
	cs := h.cs
	f := &frame{t: t, prevT: math.MinInt64, seats: make([]seat, len(h.parts)), count: -1, sum: -1}
	for k := 0; k < len(cs.queue) && cs.queue[k].s.T == t; k++ {
		x := &cs.queue[k]
		if p := &h.parts[x.part]; !x.pass && !f.seats[x.part].has && !(p.c.Seen() && p.c.T >= t) {
			f.seats[x.part] = seat{has: true, gone: x.gone, anew: x.anew, out: x.out, cur: x.s.V, st: x.s.ST, held: x.s}
		}
	}
	for i := range f.seats {
		p, s := &h.parts[i], &f.seats[i]
		switch {
		case s.has:
			p.learnPending()
			s.prev, s.prevT, s.fresh = p.c.Raw, p.c.T, !p.c.Seen()
		case p.c.T >= t:
			if cur, prev, prevT, ok := p.at(t); ok {
				*s = seat{has: true, gone: true, past: true, cur: cur, prev: prev, prevT: prevT, st: p.c.ST, fresh: prevT == t}
			}
		}
		if s.has && !s.fresh {
			f.prevT = max(f.prevT, s.prevT)
			s.due = s.prev + cs.parts[i].off
			if cs.parts[i].tgt > s.due && !(p.c.kin.role == RoleSum && h.negative()) {
				s.due = cs.parts[i].tgt
			}
		}
	}
	h.chain(f)
	f.compare()
	return f
}

// calmFrame reports whether nothing about a timestamp is suspicious: no part
// fell, no start timestamp moved, and the parts keep their places in value and in growth.
func (h *Histogram) calmFrame(f *frame) bool {
	for i := range f.seats {
		s, p := &f.seats[i], &h.parts[i]
		switch {
		case !s.has:
		case s.fresh:
			if h.moved(s.held) {
				return false
			}
		case s.st != p.c.ST, s.cur < s.prev && !(p.c.kin.role == RoleSum && h.negative()):
			return false
		}
	}
	var below *seat
	keeps := func(at uint16) bool {
		s := &f.seats[at-1]
		if !s.has {
			return true
		}
		q := below
		below = s
		if q == nil {
			return true
		}
		return q.cur <= s.cur && (q.fresh || s.fresh || q.prevT != s.prevT || (q.cur-q.prev)-(s.cur-s.prev) <= roundingShare*max(q.cur, s.cur))
	}
	for at := h.first; at != 0; at = h.parts[at-1].c.kin.upper {
		if !keeps(at) {
			return false
		}
	}
	return h.count == 0 || keeps(h.count)
}

// chain puts the buckets of the frame in order. Without +Inf the _count stands
// for it, and a _sum that is alone is a counter like any other.
func (h *Histogram) chain(f *frame) {
	usable := func(at uint16) bool { return at != 0 && f.seats[at-1].has && !f.seats[at-1].fresh }
	for at := h.first; at != 0; at = h.parts[at-1].c.kin.upper {
		if usable(at) {
			f.chain = append(f.chain, int(at)-1)
		}
	}
	if usable(h.count) {
		if usable(h.inf) {
			f.count = int(h.count) - 1
		} else {
			f.chain = append(f.chain, int(h.count)-1)
		}
	}
	if usable(h.sum) {
		if len(f.chain) == 0 && h.first == 0 && h.count == 0 && f.seats[h.sum-1].prev >= 0 && f.seats[h.sum-1].cur >= 0 {
			f.chain = append(f.chain, int(h.sum)-1)
		} else {
			f.sum = int(h.sum) - 1
		}
	}
	var prev, cur, tgt float64
	for _, i := range f.chain {
		s, hp := &f.seats[i], &h.cs.parts[i]
		prev, cur = max(prev, s.prev), max(cur, s.cur)
		f.bent = f.bent || s.cur < cur
		tgt = max(tgt, s.due)
		f.prev, f.cur = append(f.prev, prev), append(f.cur, cur)
		f.off, f.tgt = append(f.off, hp.off), append(f.tgt, tgt)
	}
}

// compare adds up what fell and what grew, per density.
func (f *frame) compare() {
	most := 0.0
	for k := range f.chain {
		switch d := density(f.cur, k) - density(f.prev, k); {
		case d < 0:
			f.fell -= d
			most = max(most, -d/f.prev[k])
		default:
			f.up += d
		}
	}
	if f.fell > 0 && most <= noiseShare && f.fell <= noiseShare*f.prev[len(f.prev)-1] {
		f.noise = true
	}
}

// density is what is in place k of a cumulative list above the place below it.
func density(x []float64, k int) float64 {
	if k == 0 {
		return x[0]
	}
	return x[k] - x[k-1]
}

// total is the part at the end of the chain, -1 if there is none.
func (f *frame) total() int {
	if len(f.chain) == 0 {
		return -1
	}
	return f.chain[len(f.chain)-1]
}

// change is what a verdict does to the densities of a frame.
type change struct {
	fold  bool      // every offset grows by what was there before
	lose  bool      // every density that fell gets back what it lost
	imput []float64 // with lose: usual growth, along the chain, cumulative; nil none
	calm  bool      // nothing was judged: no density is held
}

// apply gives the new offsets and what is due now, along the chain, cumulative.
// held is true when a density stays above what its raw value gives.
func (f *frame) apply(c change) (off, due []float64, held bool) {
	n := len(f.chain)
	off, due = make([]float64, n), make([]float64, n)
	var offSum, dueSum float64
	for k := range f.chain {
		now, before := density(f.cur, k), density(f.prev, k)
		o, floor := density(f.off, k), density(f.tgt, k)
		switch {
		case c.fold:
			o += before
		case c.lose:
			o += max(0, before-now)
			if c.imput != nil {
				o += density(c.imput, k)
			}
		}
		v := now + o
		if floor > v && !c.calm {
			if floor-v > roundingShare*f.tgt[k]*4 {
				held = true
			}
			v = floor
		}
		offSum += o
		dueSum += v
		off[k], due[k] = offSum, dueSum
	}
	if !c.fold && !c.lose && !held {
		// As it would have gone out without a judgement, to the bit.
		for k := range due {
			off[k] = f.off[k]
			due[k] = max(f.cur[k]+f.off[k], f.tgt[k])
		}
	}
	return off, due, held
}

// hold gives what goes out now for each place of the chain: what is due, held down where a
// sibling had gone out with less (gone, NaN where none has). was is what went out before. The growth
// now, and the growth that is still to come with the next timestamp, are both in order along le.
func (f *frame) hold(due, gone, was []float64) []float64 {
	outs := make([]float64, len(due))
	limit := math.Inf(1)
	for k := len(due) - 1; k >= 0; k-- {
		if gone[k] == gone[k] {
			limit = min(limit, gone[k]-was[k])
		}
		outs[k] = min(due[k], was[k]+limit)
	}
	owed := 0.0
	for k := range outs {
		if gone[k] == gone[k] {
			outs[k] = gone[k]
			owed = max(owed, due[k]-gone[k])
		} else if owed > 0 {
			outs[k] = max(min(outs[k], due[k]-owed), was[k])
		}
		if k > 0 && gone[k] != gone[k] {
			outs[k] = max(outs[k], outs[k-1])
		}
	}
	return outs
}
