package correct

import "math"

// enact turns a verdict into the change of the offset.
func (j *nativeJudge) enact(v verdict) {
	cs, s := j.cs, &j.s
	c := Correction{Kind: v.kind, FalseIncrease: s.raw, Evidence: append(v.found.words(), j.extra...)}
	was := j.off
	j.anew, j.lesson = true, lessonNone
	switch v.action {
	case actFold:
		c.FalseIncrease = 0
		if v.kind == KindHiddenReset {
			c.FalseIncrease = -s.prev
		}
		j.reset(v.kind)
	case actLoss:
		cs.history.remember(&cs.history.losses)
		j.lose(true)
	case actDebt, actAsk:
		j.lose(v.action == actDebt)
		amount := zip(j.off, was, minus)
		j.owe(j.newDebt(v, amount.total(), nativeOwed{amount: amount, before: j.x0}))
		c.Pending = true
	case actReanchor:
		c.FalseIncrease = s.raw - s.prev
		j.settleAll()
		j.off = zip(j.off, zip(j.x1, j.x0, minus), minus)
		j.folded = true
	}
	if j.anew {
		c.Amount = j.off.total() - was.total()
	}
	j.log = append(j.log, c)
}

// pass lets a full reset out as it is: there is no offset any more, and nothing is held at what went out before.
func (j *nativeJudge) pass() {
	if j.sent == nil {
		j.sent = j.held.histogram(j.heldCount)
	}
	j.passed, j.anew, j.folded = true, false, false
	j.off = cells{grid: j.g}
	j.held, j.heldCount = j.x0, j.n.last.Count
}

// reset enacts a full reset.
func (j *nativeJudge) reset(kind Kind) {
	cs := j.cs
	j.settleAll()
	if kind == KindReset {
		cs.history.remember(&cs.history.resets)
		j.burstFrom(j.s.t)
	}
	if j.p.Resets != Fold && !j.turned {
		j.pass()
		return
	}
	before := j.x0
	if math.IsNaN(before.sum) || math.IsInf(before.sum, 0) {
		before.sum = 0 // no sum can be taken up from there
	}
	if kind == KindReset && !j.restarted() {
		cs.fold = j.newFold(before.total(), nativeOwed{amount: before, before: before})
	}
	j.off = zip(j.off, before, plus)
	j.folded = true
}

// settle begins the epoch that the judgement made, and moves the total on.
func (j *nativeJudge) settle() {
	c, s := &j.n.c, &j.s
	switch {
	case j.passed && !j.anew:
		j.cs.begin(nativeEpoch{from: j.t, prev: s.prevT, free: true, hint: !j.h.DetectReset(j.sent)})
	case j.anew:
		if math.IsNaN(j.held.sum) || math.IsInf(j.held.sum, 0) {
			j.held.sum = math.Inf(-1) // the sum of what comes may be a number again
		}
		// Passed, too: an open drop was a reset after all, and now another is put back on top of it.
		j.cs.begin(nativeEpoch{from: j.t, prev: s.prevT, off: j.off, floor: j.held, count: j.heldCount, folded: j.folded, hint: j.passed})
	}
	switch j.lesson {
	case lessonStep:
		c.step(j.t, s.raw, max(0, s.raw-s.prev), s.dt)
	case lessonReturn:
		c.step(j.t, s.raw, s.raw-j.taken.top, elapsed(j.taken.prev, j.t))
	default:
		c.move(j.t, s.raw)
	}
	for k := range j.log {
		l := &j.log[k]
		l.T, l.PrevT, l.Prev, l.Raw = j.t, s.prevT, s.prev, s.raw
	}
}
