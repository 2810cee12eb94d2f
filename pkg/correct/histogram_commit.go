package correct

import "math"

// heldMax is how many timestamps in a row a density may stay above its raw
// value; then the difference is taken for lost, so that the histogram need not be watched for ever.
const heldMax = 40

// commit applies what was decided: offsets, what goes out, what is learned.
func (e *histJudge) commit() {
	f, cs := e.f, e.cs
	off, due, held := f.apply(e.change)
	if e.free {
		for k := range due {
			off[k], due[k] = 0, f.cur[k]
		}
	}
	if cs.holds++; !held || e.p.Losses == Hold {
		cs.holds = 0
	} else if cs.holds > heldMax {
		for k := range due {
			off[k] = due[k] - f.cur[k]
		}
		cs.holds, held = 0, false
	}
	was := e.was()
	outs := f.hold(due, e.gone(was), was)
	for k, i := range f.chain {
		e.settle(i, off[k], due[k], outs[k])
	}
	e.follow(off, due, outs)
	e.sum(due)
	e.take()
	e.welcome()
	e.missing()
	e.enter()
	cs.watch = held || f.bent || len(cs.debts) > 0 || cs.fold.age == 1 || e.strayed()
	cs.judged = max(cs.judged, f.t)
	if e.hold || e.free || e.change.fold || e.change.lose || e.shifted() {
		cs.acted = f.t
		for k := len(cs.queue) - 1; k >= 0 && cs.queue[k].s.T > cs.owed; k-- {
			if x := &cs.queue[k]; x.gone && !x.pass {
				cs.owed = x.s.T
			}
		}
	}
	for i := range f.seats {
		if s := &f.seats[i]; s.has && !s.gone {
			e.h.went(i, s.held, e.free)
		}
	}
}

// straySteps is how many steps the _count and +Inf may have different offsets for while one of them is missing.
const straySteps = 10

// strayed: one of +Inf and the _count is missing, and their offsets are not the same any more. The
// timestamp for which both come is to be judged, whoever comes first, so that they agree again.
func (e *histJudge) strayed() bool {
	h, f := e.h, e.f
	if h.count == 0 || h.inf == 0 || f.seats[h.count-1].has == f.seats[h.inf-1].has ||
		e.cs.parts[h.count-1].off == e.cs.parts[h.inf-1].off {
		return false
	}
	a, b := &h.parts[h.count-1].c, &h.parts[h.inf-1].c
	return a.Seen() && b.Seen() && f.prevT < f.t && elapsed(min(a.T, b.T), f.t) <= straySteps*elapsed(f.prevT, f.t)
}

// shifted reports whether an offset is another one than before.
func (e *histJudge) shifted() bool {
	for i := range e.before {
		if e.cs.parts[i].off != e.before[i] {
			return true
		}
	}
	return false
}

// was is what went out for the samples before, along the chain.
func (e *histJudge) was() []float64 {
	out := make([]float64, len(e.f.chain))
	for k, i := range e.f.chain {
		s := &e.f.seats[i]
		out[k] = e.cs.parts[i].out
		switch {
		case s.past:
			out[k] = e.f.tgt[k]
		case s.gone:
			out[k], _ = e.cs.at(i, Sample{T: s.prevT, V: e.h.parts[i].c.Raw}) // prev may have been put back
		}
	}
	return out
}

// gone is what went out already, along the chain; NaN where nothing has. +Inf
// counts as gone when the _count that it equals is. was is what went out before.
func (e *histJudge) gone(was []float64) []float64 {
	f := e.f
	out := make([]float64, len(f.chain))
	for k, i := range f.chain {
		out[k] = math.NaN()
		if f.seats[i].gone {
			out[k] = e.went(i)
		}
	}
	if f.count >= 0 && f.seats[f.count].gone && f.seats[f.count].cur == f.seats[f.total()].cur && !f.seats[f.total()].gone {
		out[len(out)-1] = max(e.went(f.count), was[len(out)-1])
	}
	return out
}

// went is what went out for a part at the frame's timestamp, before it was judged.
func (e *histJudge) went(i int) float64 {
	s := &e.f.seats[i]
	switch {
	case !s.past:
		return s.out
	case e.h.parts[i].c.T == e.f.t:
		return e.cs.parts[i].out
	}
	return s.cur + e.before[i]
}

// settle sets a part's offset and what goes out. What has gone out stays.
func (e *histJudge) settle(i int, off, due, out float64) {
	hp := &e.cs.parts[i]
	hp.off, hp.tgt = off, due
	if e.f.seats[i].gone {
		return
	}
	if !e.free && out < hp.out && !(e.h.parts[i].c.kin.role == RoleSum && e.h.negative()) {
		out = hp.out
	}
	hp.out = out
}

// follow decides the _count beside +Inf: the same where they agree, else its
// own counter under the common verdict.
func (e *histJudge) follow(off, due, outs []float64) {
	f, cs := e.f, e.cs
	if f.count < 0 {
		return
	}
	last := len(f.chain) - 1
	s, total := &f.seats[f.count], &f.seats[f.total()]
	own := cs.parts[f.count].off
	switch {
	case s.cur == total.cur && !e.free && s.due > due[last] && s.due > s.cur+off[last]:
		// It had stood for a +Inf that was missing, and stands higher.
		e.settle(f.count, off[last], s.due, s.due)
		return
	case s.cur == total.cur:
		e.settle(f.count, off[last], due[last], outs[last])
		return
	case e.free:
		own = 0
	case s.prev == total.prev:
		own = off[last]
	case e.change.fold:
		own += s.prev
	case e.change.lose:
		own += max(0, s.prev-s.cur)
	}
	d := s.cur + own
	if !e.free {
		d = max(d, s.due)
	}
	e.settle(f.count, own, d, d)
}

// take moves the parts on to their samples and lets them learn.
func (e *histJudge) take() {
	f := e.f
	for i := range f.seats {
		s, p := &f.seats[i], &e.h.parts[i]
		if !s.has || s.fresh {
			continue
		}
		if !s.past {
			p.advance(s.held)
			e.h.came(i, s.held.T)
		} else if p.c.T != f.t {
			continue
		}
		if e.lesson == lessonNone || s.cur < s.prev {
			p.c.kin.flags &^= partPending
		}
		if e.lesson == lessonReturn && p.c.kin.role != RoleSum && i < len(e.taken.parts) {
			p.c.kin.flags &^= partPending
			if g := s.cur - e.taken.parts[i].top; g >= 0 {
				p.learn(g, elapsed(e.taken.prev, f.t))
			}
		}
	}
}

// welcome places the parts that are new.
func (e *histJudge) welcome() {
	h := e.h
	enter := func(at uint16) {
		if at == 0 {
			return
		}
		if s := &e.f.seats[at-1]; s.has && s.fresh && !s.past {
			h.begin(&queued{part: at - 1, gone: s.gone, anew: s.anew, s: s.held})
		}
	}
	for at := h.first; at != 0; at = h.parts[at-1].c.kin.upper {
		enter(at)
	}
	enter(h.count)
	enter(h.sum)
}

// missing lets the parts that did not come know of a full reset: their next
// sample is counted from 0.
func (e *histJudge) missing() {
	if !e.change.fold {
		return
	}
	for i := range e.f.seats {
		p := &e.h.parts[i]
		if e.f.seats[i].has || !p.c.Seen() || p.c.T >= e.f.t {
			continue
		}
		e.cs.parts[i].off += p.c.Raw
		p.c.Raw, p.c.before, p.older = 0, 0, 0
		p.c.kin.flags = p.c.kin.flags&^partPending | partVirtual
	}
}
