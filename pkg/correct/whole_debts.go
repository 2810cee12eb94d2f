package correct

import "math"

// ageDebts counts one more sample for every debt and settles those that are too old as losses.
func (w *whole[V]) ageDebts() {
	limit := uint8(debtAge)
	if w.history.Interleaved() {
		limit = debtAgeInterleaved
	}
	kept := w.debts[:0]
	for _, d := range w.debts {
		if d.age++; d.back && d.age > askSamples {
			continue
		}
		if d.age <= limit || d.open && d.age <= debtAgeInterleaved {
			kept = append(kept, d)
			continue
		}
		if why, ok := w.cameBack(&d); ok {
			w.history.remember(&w.history.returns)
			w.revoke(&d)
			w.settled(&d, KindJitter, &why)
			continue
		}
		w.history.remember(&w.history.losses)
		w.settled(&d, KindLoss, nil)
	}
	w.debts = kept
}

// cameBack reports whether a drop that nothing took back, of a histogram that
// is known to interleave, came back in small steps: its growth since fits the
// level before the drop as well as the one after.
func (w *whole[V]) cameBack(d *wholeDebt[V]) (why findings, ok bool) {
	p, s := w.s.pace, &w.s
	if !w.history.Interleaved() || d.gap || w.p.Losses != Auto || !p.known || s.raw < d.top || len(w.places(d)) < 2 {
		return why, false
	}
	since := elapsed(d.prev, s.t)
	odds := math.Log((float64(w.history.returns)+returnPrior)/(float64(w.history.losses)+returnPrior)) +
		p.plain(s.raw-d.top, since) - p.plain(s.raw-d.value, since)
	why.add(testReturn, odds, s.raw-d.value, s.raw-d.top, since)
	return why, odds > 0
}

// askAgain looks at the undecided drop with one more sample, which grew by x
// within dt, and reports whether it was a full reset.
func (w *whole[V]) askAgain(x, dt float64) bool {
	k := w.undecided()
	if k < 0 {
		return w.goesOn(x, dt)
	}
	d := &w.debts[k]
	p := w.s.pace
	dt0 := elapsed(d.prev, d.t)
	if !p.known {
		if x == 0 && d.age <= debtAge {
			return false // holds until the first increment
		}
		// This very increment is all that is known of the pace.
		c := *w.c
		c.learn(x, dt)
		p = c.pace()
		var again findings
		again.sum = d.base
		again.regrowth(p, backAfter(d.gap, false), d.top, d.value, dt0, x/dt, 0)
		d.sum = again.sum
	}
	var why findings
	why.add(testPrior, d.sum, 0, 0, 0)
	mean, _ := p.usual(dt)
	why.add(testAfter, after(p, d.value, dt0, x, dt), x, dt, mean)
	d.sum = why.sum
	switch {
	case d.sum >= clearOdds, d.age >= askSamples && d.sum > evenOdds:
		w.lateFold(k, &why)
		return true
	case d.sum <= -clearOdds, d.age >= askSamples:
		w.wasLoss(k, &why)
	}
	return false
}

// closeOpen decides what is undecided when another drop comes.
func (w *whole[V]) closeOpen() {
	k := w.undecided()
	if k < 0 {
		return
	}
	var why findings
	why.add(testPrior, w.debts[k].sum, 0, 0, 0)
	if w.debts[k].sum > evenOdds {
		w.lateFold(k, &why)
		return
	}
	w.wasLoss(k, &why)
}

// lateFold turns an undecided drop into the full reset that it was.
func (w *whole[V]) lateFold(k int, why *findings) {
	was := w.debts[k]
	w.history.turned(&was.debt)
	w.debts = append(w.debts[:k], w.debts[k+1:]...)
	w.settleAll()
	w.burstFrom(was.t)
	w.settled(&was, KindReset, why)
	w.turn(&was)
	if w.c.n < unsureSteps && !was.back && !was.gap {
		w.refold(&was)
	}
}

// wasLoss closes the question whether an undecided drop was a full reset. It may still come back.
func (w *whole[V]) wasLoss(k int, why *findings) {
	d := &w.debts[k]
	d.open = false
	if w.p.Impute && w.s.pace.known {
		w.imputeLate(d)
	}
	if w.p.Losses != Restore && !d.gap {
		return
	}
	w.history.remember(&w.history.losses)
	w.settled(d, KindLoss, why)
	w.debts = append(w.debts[:k], w.debts[k+1:]...)
}

// takeBack tries the sample against what was there before every open drop. The
// best explanation, or none, is taken, with all younger drops.
func (w *whole[V]) takeBack() bool {
	best, bestOdds, burst := -1, 0.0, 0.0
	hazard := float64(returnHazard)
	if w.history.Interleaved() {
		hazard = returnHazardInterleaved
	}
	for k := range w.debts {
		d := &w.debts[k]
		if d.gap || d.back || w.p.Losses == Restore {
			continue
		}
		odds := weighReturn(&w.s, &d.debt, hazard, w.history.returns > 0) + w.composeReturn(d)
		reset := w.againstReset(d)
		against := reset - odds
		if d.open {
			odds -= max(0, reset)
		}
		if odds > bestOdds {
			best, bestOdds, burst = k, odds, against
		}
		// It did not come back with this sample.
		d.jitter += math.Log(1 - hazard)
	}
	if best < 0 {
		return false
	}
	w.history.remember(&w.history.returns)
	d := w.debts[best]
	var why findings
	why.add(testReturn, bestOdds, w.s.raw-w.s.prev, w.s.raw-d.top, elapsed(d.prev, w.s.t))
	for k := len(w.debts) - 1; k >= best; k-- {
		w.revoke(&w.debts[k])
		w.settled(&w.debts[k], KindJitter, &why)
	}
	back := w.debts[best] // as it was revoked
	w.debts = w.debts[:best]
	if back.mayTurn(&w.s, burst) {
		w.debts = append(w.debts, back)
	}
	w.lesson, w.taken = lessonReturn, &d
	if w.s.raw < d.top {
		w.lesson = lessonNone // a shallower dip: not known how far the trend is
	}
	return true
}

// againstReset is how much likelier the drop was a restart with a burst than a loss, given the rise.
func (w *whole[V]) againstReset(d *wholeDebt[V]) float64 {
	s := &w.s
	if !s.pace.known {
		return 0
	}
	return d.sum + after(s.pace, d.value, elapsed(d.prev, d.t), s.raw-s.prev, s.dt)
}

// revokeFold tries whether the last fold was a glitch: the very next sample, of a young histogram the first with
// which anything came, is on the old trend again, and that fits better than a burst after a restart.
func (w *whole[V]) revokeFold() bool {
	s, p := &w.s, w.s.pace
	d, young := w.fold, w.c.unsure(w.fold.prev, w.fold.t, w.fold.top, s)
	w.past = d.age == 1 && d.crosses(s)
	if !young || s.raw != s.prev {
		w.fold = wholeDebt[V]{}
	}
	if d.age != 1 || s.raw < d.top || !p.known || d.t != s.prevT && !young {
		return false
	}
	since := elapsed(d.prev, s.t)
	g, x := s.raw-d.top, s.raw-s.prev
	burst := logSum(p.step(x, s.dt), math.Log(burstWeight)+spread(x, p.unit, burstReach*(p.rate*s.dt+p.unit)))
	odds := w.history.glitchPrior(young) + p.plain(g, since) - burst
	odds += min(0, w.composeReturn(&d))
	if odds <= 0 {
		return false
	}
	w.fold = wholeDebt[V]{}
	w.history.wasNone()
	var why findings
	why.add(testReturn, odds, x, g, since)
	w.settled(&d, KindGlitch, &why)
	w.revoke(&d)
	if d.mayTurn(s, -odds) {
		w.debts = append(w.debts, d)
	}
	w.lesson = lessonNone
	return true
}
