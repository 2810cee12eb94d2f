package correct

// A restart may be followed by a burst, and what came first then looks like what a loss left, or like
// a return to the value before. That it was none shows in the samples after, which the burst is still in.

// mayTurn makes of a drop that the step took back one that the next samples may still show to have been
// a full reset with a burst. odds are those of that against a return.
func (d *debt) mayTurn(s *step, odds float64) bool {
	if !s.pace.known || odds < -askSamples*regrowthMax {
		return false
	}
	d.open, d.back, d.age, d.amount, d.sum = false, true, 0, 0, odds
	d.rise, d.took = s.raw-s.prev, s.dt
	return true
}

// told is the false increase that was told of a drop that turns out to be a full reset: at the drop, and
// what it grew back by if it seemed to come back. Once it is taken back, all that the log says of the drop adds up.
func (d *debt) told() float64 {
	if d.back {
		return d.value + max(0, d.top-d.value)
	}
	return d.value
}

// weighOn is the evidence of a growth x within dt after a drop that was decided to be no full reset:
// what had come goes on coming at about the same pace. ok is false where it does not, and nothing is learned.
func (d *debt) weighOn(p pace, x, dt float64) (odds float64, ok bool) {
	if d.open || d.gap || d.age > askSamples || !p.known {
		return 0, false
	}
	came, took := d.value, elapsed(d.prev, d.t)
	if d.back {
		came, took = d.rise, d.took
	}
	if x < came/took*dt/burstFades {
		return 0, false
	}
	return weighAfter(p, came, took, x, dt), true
}

// burstFades: a burst of less than so much of its first pace is none any more.
const burstFades = 3

// goesOn looks at the last drop, if it was decided to be no full reset, with one more sample, and reports whether it was one.
func (e *enactor) goesOn(x, dt float64) bool {
	k := len(e.cs.debts) - 1
	if k < 0 {
		return false
	}
	d := &e.cs.debts[k]
	why, ok := d.goesOn(e.step.pace, x, dt)
	if ok {
		e.lateFold(d, &why)
	}
	return ok
}

// goesOn is that of a scalar counter.
func (w *whole[V]) goesOn(x, dt float64) bool {
	k := len(w.debts) - 1
	if k < 0 {
		return false
	}
	why, ok := w.debts[k].goesOn(w.s.pace, x, dt)
	if ok {
		w.lateFold(k, &why)
	}
	return ok
}

func (d *debt) goesOn(p pace, x, dt float64) (why findings, ok bool) {
	odds, ok := d.weighOn(p, x, dt)
	if !ok {
		return why, false
	}
	why.add(testPrior, d.sum, 0, 0, 0)
	mean, _ := p.usual(dt)
	why.add(testAfter, odds, x, dt, mean)
	d.sum = why.sum
	return why, d.sum >= clearOdds
}

// turned remembers that d was a full reset after all.
func (cs *Case) turned(d *debt) {
	if d.back {
		cs.returns = max(0, cs.returns-1) // it was none
	}
	cs.remember(&cs.resets)
}
