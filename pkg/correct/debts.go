package correct

import "math"

// takeBack tries the rise against the top of every debt. The best explanation,
// or none, is taken, with all debts younger than it. It returns the growth to learn.
func (e *enactor) takeBack() (growth, since float64, ok bool) {
	cs := e.cs
	best, bestOdds, burst := -1, 0.0, 0.0
	hazard := float64(returnHazard)
	if cs.Interleaved() {
		hazard = returnHazardInterleaved
	}
	for i := range cs.debts {
		d := &cs.debts[i]
		if d.gap || d.back || e.p.Losses == Restore {
			continue
		}
		odds := weighReturn(&e.step, d, hazard, cs.returns > 0)
		reset := d.againstReset(&e.step)
		against := reset - odds
		if d.open {
			odds -= max(0, reset)
		}
		if odds > bestOdds {
			best, bestOdds, burst = i, odds, against
		}
		// It did not come back with this sample.
		d.jitter += math.Log(1 - hazard)
	}
	if best < 0 {
		return 0, 0, false
	}
	now := *cs.now()
	held := now.out(e.step.prev)
	d := cs.debts[best]
	cs.remember(&cs.returns)
	growth, since = e.step.raw-d.top, elapsed(d.prev, e.step.t)
	var why findings
	why.add(testReturn, bestOdds, e.step.raw-e.step.prev, growth, since)
	for i := len(cs.debts) - 1; i >= best; i-- {
		e.settled(&cs.debts[i], KindJitter, -cs.debts[i].amount, &why)
	}
	cs.debts = cs.debts[:best]
	if d.mayTurn(&e.step, burst) {
		cs.debts = append(cs.debts, d)
	}
	e.begin(d.offset, held)
	if growth < 0 {
		// A shallower dip: not known how far the trend is.
		return e.step.pace.rate * since, since, true
	}
	return growth, since, true
}

// againstReset is how much likelier the drop was a restart with a burst than a loss, given the rise.
func (d *debt) againstReset(s *step) float64 {
	if !s.pace.known {
		return 0
	}
	return d.sum + weighAfter(s.pace, d.value, elapsed(d.prev, d.t), s.raw-s.prev, s.dt)
}

// ageDebts counts one more sample for every debt and settles those that are too old as losses.
func (e *enactor) ageDebts() {
	cs := e.cs
	limit := uint8(debtAge)
	if cs.Interleaved() {
		limit = debtAgeInterleaved
	}
	kept := cs.debts[:0]
	for i := range cs.debts {
		d := cs.debts[i]
		if d.age++; d.back && d.age > askSamples {
			continue
		}
		if d.age > limit && !d.open || d.age > debtAgeInterleaved {
			if why, ok := e.cameBack(&d); ok {
				e.takeBackLate(&d, kept, cs.debts[i+1:], &why)
				continue
			}
			cs.remember(&cs.losses)
			e.settled(&d, KindLoss, 0, nil)
			continue
		}
		kept = append(kept, d)
	}
	cs.debts = kept
}

// cameBack reports whether a shallow drop that nothing took back, of a counter that is known to interleave, came
// back in small steps: its growth since fits the level before the drop better than the one after. A deep one is a source that was replaced.
func (e *enactor) cameBack(d *debt) (why findings, ok bool) {
	cs, p, s := e.cs, e.step.pace, &e.step
	if !cs.Interleaved() || d.open || d.gap || d.back || e.p.Losses != Auto || !p.known || s.raw < d.top ||
		d.top-d.value > dipSteps*max(p.rate*p.interval, p.unit) {
		return why, false
	}
	since := elapsed(d.prev, s.t)
	odds := math.Log((float64(cs.returns)+returnPrior)/(float64(cs.losses)+returnPrior)) +
		p.plain(s.raw-d.top, since) - p.plain(s.raw-d.value, since)
	why.add(testReturn, odds, s.raw-d.value, s.raw-d.top, since)
	return why, odds > 0
}

// takeBackLate takes what d put back out of the offset, and out of that before the drops that are still open.
func (e *enactor) takeBackLate(d *debt, older, younger []debt, why *findings) {
	now := *e.cs.now()
	for _, list := range [...][]debt{older, younger} {
		for i := range list {
			if list[i].t > d.t {
				list[i].offset -= d.amount
			}
		}
	}
	e.cs.remember(&e.cs.returns)
	e.settled(d, KindJitter, -d.amount, why)
	e.begin(now.offset-d.amount, now.out(e.step.prev))
}

// askAgain looks at the undecided drop with one more sample, and reports whether it was a full reset.
func (e *enactor) askAgain(x, dt float64) bool {
	d := e.undecided()
	if d == nil {
		return e.goesOn(x, dt)
	}
	p := e.step.pace
	var why findings
	dt0 := elapsed(d.prev, d.t)
	if !p.known {
		if x == 0 && d.age <= debtAge {
			return false // holds until the first increment
		}
		// This very increment is all that is known of the pace.
		c := *e.c
		c.learn(x, dt)
		p = c.pace()
		why.sum = d.base
		why.regrowth(p, backAfter(d.gap, false), d.top, d.value, dt0, x/dt, 0)
		d.sum = why.sum
		why = findings{}
	}
	why.add(testPrior, d.sum, 0, 0, 0)
	odds := weighAfter(p, d.value, dt0, x, dt)
	mean, _ := p.usual(dt)
	why.add(testAfter, odds, x, dt, mean)
	d.sum = why.sum
	switch {
	case d.sum >= clearOdds, d.age >= askSamples && d.sum > evenOdds:
		e.lateFold(d, &why)
		return true
	case d.sum <= -clearOdds, d.age >= askSamples:
		e.wasLoss(d, &why)
	}
	return false
}

func (e *enactor) undecided() *debt {
	for i := range e.cs.debts {
		if e.cs.debts[i].open {
			return &e.cs.debts[i]
		}
	}
	return nil
}

// closeOpen decides what is undecided when another drop comes.
func (e *enactor) closeOpen() {
	d := e.undecided()
	if d == nil {
		return
	}
	var why findings
	why.add(testPrior, d.sum, 0, 0, 0)
	if d.sum > evenOdds {
		e.lateFold(d, &why)
		return
	}
	e.wasLoss(d, &why)
}

// lateFold turns an undecided drop into the full reset that it was: what it
// took away comes on top, all that has been put back so far stays.
func (e *enactor) lateFold(d *debt, why *findings) {
	cs := e.cs
	now := *cs.now()
	held := now.out(e.step.prev)
	was := *d
	cs.turned(&was)
	older := cs.debts
	for i := range older {
		if older[i].t != was.t {
			e.settled(&older[i], KindLoss, 0, nil)
		}
	}
	cs.debts = cs.debts[:0]
	e.settled(&was, KindReset, was.top-was.amount, why)
	// What it grew by since has been counted already, and would be once more after a fall or a
	// 0; and when the next drop decides, what it grew to has not been counted yet, and would not be.
	if e.step.prev == was.value && e.step.raw >= was.value {
		if e.passes(held) {
			e.beginFree()
			e.cs.fold.t = was.t
			return
		}
		if e.p.Resets == MarkResets && e.mark(held) {
			e.cs.fold.t = was.t
			return
		}
	}
	cs.fold = fold{t: was.t}
	if e.c.n < unsureSteps && !was.back && !was.gap {
		cs.fold = fold{t: was.t, prev: was.prev, top: was.top, offset: was.offset, set: true}
	}
	e.begin(was.offset+was.top, held)
	cs.now().folded = true
}

// wasLoss closes the question whether an undecided drop was a full reset. It may still come back.
func (e *enactor) wasLoss(d *debt, why *findings) {
	d.open = false
	if hidden := e.imputed(d.top, d.value, elapsed(d.prev, d.t)); hidden > 0 {
		now := *e.cs.now()
		d.amount += hidden
		e.begin(now.offset+hidden, now.out(e.step.prev))
	}
	if e.p.Losses != Restore && !d.gap {
		return
	}
	e.cs.remember(&e.cs.losses)
	e.settled(d, KindLoss, 0, why)
	kept := e.cs.debts[:0]
	for _, o := range e.cs.debts {
		if o.t != d.t {
			kept = append(kept, o)
		}
	}
	e.cs.debts = kept
}

// revokeFold tries whether the last fold was a glitch: the very next sample, of a young counter the first with
// which anything came, is on the old trend again, and that fits better than a burst after a restart.
func (e *enactor) revokeFold() bool {
	cs, s := e.cs, &e.step
	f, young := cs.fold, e.c.unsure(cs.fold.prev, cs.fold.t, cs.fold.top, s)
	cs.fold.set = f.set && young && s.raw == s.prev
	if !f.set || s.raw < f.top || !s.pace.known || f.t != s.prevT && !young {
		return false
	}
	since := elapsed(f.prev, s.t)
	g, x := s.raw-f.top, s.raw-s.prev
	p := s.pace
	burst := logSum(p.step(x, s.dt), math.Log(burstWeight)+spread(x, p.unit, burstReach*(p.rate*s.dt+p.unit)))
	odds := cs.glitchPrior(young) + p.plain(g, since) - burst
	if odds <= 0 {
		return false
	}
	now := *cs.now()
	held := now.out(s.prev)
	cs.wasNone()
	var why findings
	why.add(testReturn, odds, x, g, since)
	e.log = append(e.log, Correction{Kind: KindGlitch, T: s.t, PrevT: s.prevT, Prev: s.prev, Raw: s.raw, Amount: f.offset - now.offset,
		FalseIncrease: f.top, Settles: f.t, Evidence: why.words()})
	e.begin(f.offset, held)
	if d := (debt{t: f.t, prev: f.prev, top: f.top, offset: f.offset}); d.mayTurn(s, -odds) {
		cs.debts = append(cs.debts, d)
	}
	return true
}

const (
	// glitchOdds: a fold is rarely wrong. Only a clear return to the old trend revokes it.
	glitchOdds = -3
	// youngGlitchOdds: of a young counter it is as likely wrong as right.
	youngGlitchOdds = 0
)

// glitchPrior is the log odds that the last fold was a glitch, before what came after it is looked at.
func (cs *Case) glitchPrior(young bool) float64 {
	odds := float64(glitchOdds)
	if young {
		odds = youngGlitchOdds
	}
	return odds + math.Log((float64(cs.returns)+1)/max(float64(cs.resets), 1))
}

// wasNone remembers that the last fold was a return and no full reset: what follows is no burst after one.
func (cs *Case) wasNone() {
	cs.fold = fold{}
	cs.resets = max(0, cs.resets-1)
	cs.remember(&cs.returns)
}
