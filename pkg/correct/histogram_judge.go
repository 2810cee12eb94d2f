package correct

import "math"

// histJudge decides about one frame of a classic histogram: see whole.
type histJudge struct {
	whole[[]histOwed]
	h  *Histogram
	f  *frame
	cs *histCase

	before []float64 // offsets before, by part
	base   []float64 // the same, with what this frame decided of earlier drops: what its own verdict is applied to
	change change
	free   bool     // a visible full reset that goes out as it is
	owes   *verdict // what the change is entered as a debt by, nil if it is final
	hold   bool     // the policy or the evidence holds what fell
	zeros  []zeroMark
}

// histDebt is a drop of the whole that may still be taken back; its parts are by part.
type histDebt = wholeDebt[[]histOwed]

type histOwed struct {
	amount float64 // what it added to the offset
	top    float64 // raw before the drop
}

func (e *histJudge) run() {
	if e.f.total() < 0 {
		return
	}
	total := &e.h.parts[e.f.total()]
	e.s, e.c, e.fell = e.totalStep(), &total.c, e.f.fell
	if e.cs.history.seen < math.MaxUint32 {
		e.cs.history.seen++
	}
	e.reanchor()
	switch {
	case e.f.noise && !e.restarted():
		var why findings
		why.add(testNoise, 0, e.f.fell/e.s.prev, 0, 0)
		e.log = append(e.log, Correction{Kind: KindNoise, Evidence: why.words()})
		e.hold = true
	case e.f.fell > 0:
		e.drop()
	default:
		e.rise()
	}
}

func (e *histJudge) offsets() []float64 {
	list := make([]float64, len(e.cs.parts))
	for i := range list {
		list[i] = e.cs.parts[i].off
	}
	return list
}

func (e *histJudge) noteOffsets() {
	e.before = e.offsets()
	e.base = e.before
}

// totalStep is the step of the total, with the most telling start timestamp of all parts.
func (e *histJudge) totalStep() step {
	f := e.f
	i := f.total()
	p, seat, last := &e.h.parts[i], &f.seats[i], len(f.chain)-1
	s := step{prev: f.prev[last], raw: f.cur[last], prevT: seat.prevT, t: f.t, prevST: p.c.ST, st: seat.st, pace: p.c.pace(), peak: float64(p.c.peak)}
	s.dt = elapsed(s.prevT, s.t)
	s.away = p.c.flags&flagAway != 0
	if seat.past {
		s.away = p.c.kin.flags&partAway != 0
	}
	s.latest = e.latest()
	s.gap = s.away || p.c.n > 1 && s.dt > gapFactor*s.pace.interval
	for j := range f.seats {
		q := &f.seats[j]
		if !q.has || q.gone || q.st == 0 || q.fresh {
			continue
		}
		// One that moved says more than one that did not; a true one more than a synthesised one.
		if was := e.h.parts[j].c.ST; q.st != was && (s.st == s.prevST || s.st == f.t-1) && q.st > s.prevT && q.st <= f.t {
			s.prevST, s.st = was, q.st
		}
	}
	return s
}

// reanchor takes parts that the sender re-anchored (Prometheus' synthesis of
// start timestamps: a lost increment arrives as a jump with a start at t-1ms)
// as if they had always been where they are now.
func (e *histJudge) reanchor() {
	f := e.f
	if e.restarted() {
		return
	}
	changed := false
	for k, i := range f.chain {
		q := &f.seats[i]
		p := &e.h.parts[i]
		if q.gone || q.st == 0 || q.st != f.t-1 || q.st == p.c.ST || q.cur <= q.prev {
			continue
		}
		s := step{prev: q.prev, raw: q.cur, prevT: q.prevT, t: q.held.T, prevST: p.c.ST, dt: elapsed(q.prevT, f.t), pace: p.c.pace()}
		if plausible(&s, q.cur-q.prev) || plausible(&s, q.cur) {
			continue
		}
		jump := q.cur - q.prev
		e.cs.parts[i].off -= jump
		f.off[k] -= jump
		q.prev, f.prev[k] = q.cur, q.cur
		changed = true
	}
	if !changed {
		return
	}
	for k := 1; k < len(f.prev); k++ {
		f.prev[k] = max(f.prev[k], f.prev[k-1])
	}
	f.fell, f.up, f.noise = 0, 0, false
	f.compare()
	e.fell = f.fell
	var why findings
	why.startTimestamp(&e.s)
	e.log = append(e.log, Correction{Kind: KindSpike, Evidence: why.words()})
	e.s.prev = f.prev[len(f.prev)-1]
	e.s.st = e.s.prevST
	e.lesson, e.cs.folded = lessonNone, true
}

func (e *histJudge) drop() {
	if e.s.raw >= e.s.prev && !e.restarted() && e.takeBack() {
		return
	}
	e.ageDebts()
	e.closeOpen()
	e.cs.fold.age = 0
	v := e.judgeDrop(e.asBefore())
	if v.action == actFold && e.s.raw >= e.s.prev {
		v.kind = KindHiddenReset
	}
	e.enact(v)
}

func (e *histJudge) rise() {
	if v, ok := e.another(); ok {
		e.enact(v)
		return
	}
	if v, ok := judgeRise(&e.s, nil); ok && v.action == actFold && e.s.prev > 0 {
		e.enact(v)
		return
	}
	x, dt := e.s.raw-e.s.prev, e.s.dt
	e.justFolded = e.cs.fold.age == 1
	if e.revokeFold() || e.takeBack() {
		return
	}
	suspect := e.suspect(x, dt)
	e.ageDebts()
	if e.askAgain(x, dt) || suspect {
		e.lesson = lessonNone
	}
}

// enact turns a verdict into the change of the frame.
func (e *histJudge) enact(v verdict) {
	cs := e.cs
	c := Correction{Kind: v.kind}
	if e.shifted() {
		e.base = e.offsets()
	}
	e.lesson = lessonNone
	switch v.action {
	case actHold:
		e.hold = true
	case actFold:
		e.settleAll()
		cs.history.remember(&cs.history.resets)
		e.burstFrom(e.s.t)
		if e.p.Resets == PassResets && e.visible() {
			e.free, cs.folded = true, false
			break
		}
		if e.p.Resets == MarkResets && e.mark() {
			break
		}
		e.change.fold, cs.folded = true, true
		e.owes = &v
	case actLoss:
		cs.history.remember(&cs.history.losses)
		e.change.lose = true
		e.putBack(&v.found)
		e.impute()
	case actDebt, actAsk:
		e.change.lose = true
		if v.action == actDebt {
			e.impute()
		}
		e.owes = &v
		c.Pending = true
	}
	c.Evidence = v.found.words()
	e.log = append(e.log, c)
}

// visible: every part that held anything fell, and none is missing or gone, so
// that PromQL sees the reset in each of them. One hidden part would have to be
// folded alone and rise above the others: then the whole histogram is folded. So it is where
// a drop before was decided at this timestamp, and what that adds has not gone out yet, and where
// what is held above raw is still to be made up for.
func (e *histJudge) visible() bool {
	if e.shifted() {
		return false
	}
	for i := range e.f.seats {
		s := &e.f.seats[i]
		if p := &e.h.parts[i]; p.c.Seen() && p.c.Raw > 0 && (!s.has || s.gone || s.cur >= s.prev || e.overdue(i)) {
			return false
		}
	}
	return true
}

// overdue: more has gone out for a part than what was put back of it accounts for.
func (e *histJudge) overdue(i int) bool {
	hp := &e.cs.parts[i]
	credit := max(hp.out, hp.tgt) - (e.f.seats[i].prev + hp.off)
	return credit > roundingShare*hp.out*4 && e.h.parts[i].c.kin.role != RoleSum
}
