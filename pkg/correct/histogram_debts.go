package correct

import "math"

// shift changes every offset by what give says, as a debt or a fold is taken back or turned.
func (e *histJudge) shift(d *histDebt, give func(o histOwed) float64) {
	for i := range d.parts {
		e.cs.parts[i].off += give(d.parts[i])
	}
	for k, i := range e.f.chain {
		e.f.off[k] = e.cs.parts[i].off
	}
}

func (o histOwed) revoked() float64 { return -o.amount }
func (o histOwed) turned() float64  { return o.top - o.amount } // a loss that was a reset

const (
	// shareClip bounds what the shares of the densities say about a return.
	shareClip = 3
	// fallOdds: that a density falls once more, by chance at the very place of an old top, is unlikely.
	fallOdds = 4
)

// takeBack tries the frame against what was there before every open drop. The
// best explanation, or none, is taken, with all younger drops.
func (e *histJudge) takeBack() bool {
	cs := e.cs
	best, bestOdds := -1, 0.0
	hazard := float64(returnHazard)
	if cs.history.Interleaved() {
		hazard = returnHazardInterleaved
	}
	for k := range cs.debts {
		d := &cs.debts[k]
		if d.gap || e.p.Losses == Restore {
			continue
		}
		odds := weighReturn(&e.s, &d.debt, hazard, cs.history.returns > 0) + e.composeReturn(d)
		if d.open {
			odds -= e.againstReset(d)
		}
		if odds > bestOdds {
			best, bestOdds = k, odds
		}
		d.jitter += math.Log(1 - hazard)
	}
	if best < 0 {
		return false
	}
	d := cs.debts[best]
	cs.history.remember(&cs.history.returns)
	var why findings
	why.add(testReturn, bestOdds, e.s.raw-e.s.prev, e.s.raw-d.top, elapsed(d.prev, e.s.t))
	for k := len(cs.debts) - 1; k >= best; k-- {
		e.shift(&cs.debts[k], histOwed.revoked)
		e.settled(&cs.debts[k], KindJitter, &why)
	}
	cs.debts = cs.debts[:best]
	e.lesson, e.taken = lessonReturn, &d
	if e.s.raw < d.top {
		e.lesson = lessonNone
	}
	return true
}

// composeReturn is what the densities add to the odds of a return: whether
// their growth since before the drop, or since the last timestamp, is in the
// usual shares, and in none negative.
func (e *histJudge) composeReturn(d *histDebt) float64 {
	f := e.f
	if len(f.chain) < 2 {
		return 0
	}
	share := e.shares()
	since, step := make([]float64, len(f.chain)), make([]float64, len(f.chain))
	low, falls, below, top := 0.0, 0.0, 0.0, 0.0
	for k, i := range f.chain {
		below = top
		if i < len(d.parts) {
			top = max(top, d.parts[i].top)
		}
		since[k] = density(f.cur, k) - (top - below)
		step[k] = density(f.cur, k) - density(f.prev, k)
		low += max(0, -since[k])
		falls += max(0, -step[k])
	}
	odds := clip((multinomial(since, share)-multinomial(step, share))/max(1, e.s.pace.unit), -shareClip, shareClip)
	if falls > 0 {
		odds += fallOdds
	}
	if low > 0 && e.s.raw >= d.top {
		odds -= fallOdds // everything came back but for some density: no return
	}
	return odds
}

// multinomial is the logarithm of how likely n events fall like x, given the shares.
func multinomial(x, share []float64) float64 {
	l, n := 0.0, 0.0
	for k := range x {
		v := max(x[k], 0)
		n += v
		l += v*math.Log(share[k]) - lgamma(v+1)
	}
	return l + lgamma(n+1)
}

func (e *histJudge) againstReset(d *histDebt) float64 {
	if !e.s.pace.known {
		return 0
	}
	return max(0, d.sum+after(e.s.pace, d.value, elapsed(d.prev, d.t), e.s.raw-e.s.prev, e.s.dt))
}

// ageDebts counts one more timestamp for every debt and settles those that are too old as losses.
func (e *histJudge) ageDebts() {
	cs := e.cs
	limit := uint8(debtAge)
	if cs.history.Interleaved() {
		limit = debtAgeInterleaved
	}
	kept := cs.debts[:0]
	for _, d := range cs.debts {
		if d.age++; d.age > limit && !d.open || d.age > debtAgeInterleaved {
			if why, ok := e.cameBack(&d); ok {
				cs.history.remember(&cs.history.returns)
				e.shift(&d, histOwed.revoked)
				e.settled(&d, KindJitter, &why)
				continue
			}
			cs.history.remember(&cs.history.losses)
			e.settled(&d, KindLoss, nil)
			continue
		}
		kept = append(kept, d)
	}
	cs.debts = kept
}

// cameBack reports whether a drop that nothing took back, of a histogram that
// is known to interleave, came back in small steps: its growth since fits the
// level before the drop as well as the one after.
func (e *histJudge) cameBack(d *histDebt) (why findings, ok bool) {
	p, cs := e.s.pace, e.cs
	if !cs.history.Interleaved() || d.gap || e.p.Losses != Auto || !p.known || e.s.raw < d.top {
		return why, false
	}
	since := elapsed(d.prev, e.s.t)
	odds := math.Log((float64(cs.history.returns)+returnPrior)/(float64(cs.history.losses)+returnPrior)) +
		p.plain(e.s.raw-d.top, since) - p.plain(e.s.raw-d.value, since)
	why.add(testReturn, odds, e.s.raw-d.value, e.s.raw-d.top, since)
	return why, odds > 0
}

// owe enters what this frame changed as a debt, or as a fold that may be a glitch.
func (e *histJudge) owe() {
	if e.owes == nil {
		return
	}
	cs := e.cs
	d := histDebt{debt: *e.owes, parts: make([]histOwed, len(cs.parts))}
	for i := range d.parts {
		top := e.h.parts[i].c.Raw
		if s := &e.f.seats[i]; s.has {
			top = s.prev
		}
		d.parts[i] = histOwed{amount: cs.parts[i].off - e.before[i], top: top}
	}
	if e.change.fold {
		cs.fold = d
		return
	}
	d.amount = d.parts[e.f.total()].amount
	if len(cs.debts) == maxDebts {
		e.settled(&cs.debts[0], KindLoss, nil)
		cs.history.remember(&cs.history.losses)
		cs.debts = append(cs.debts[:0], cs.debts[1:]...)
	}
	cs.debts = append(cs.debts, d)
}

// settled logs that a debt is decided.
func (e *histJudge) settled(d *histDebt, k Kind, why *findings) {
	c := Correction{Kind: k, Settles: d.t}
	switch k {
	case KindJitter, KindGlitch:
		c.Amount, c.FalseIncrease = -d.amount, max(0, d.top-d.value)
	case KindReset:
		c.Amount, c.FalseIncrease = d.top-d.amount, -d.value
	}
	if why != nil {
		c.Evidence = why.words()
	}
	e.log = append(e.log, c)
}

// settleAll closes all debts as losses: their raw level is gone.
func (e *histJudge) settleAll() {
	for k := range e.cs.debts {
		e.settled(&e.cs.debts[k], KindLoss, nil)
	}
	e.cs.debts = e.cs.debts[:0]
}

func (e *histJudge) undecided() int {
	for k := range e.cs.debts {
		if e.cs.debts[k].open {
			return k
		}
	}
	return -1
}

// askAgain looks at the undecided drop with one more timestamp, and reports whether it was a full reset.
func (e *histJudge) askAgain(x, dt float64) bool {
	k := e.undecided()
	if k < 0 {
		return false
	}
	d := &e.cs.debts[k]
	p := e.s.pace
	dt0 := elapsed(d.prev, d.t)
	if !p.known {
		if x == 0 && d.age <= debtAge {
			return false // holds until the first increment
		}
		// This very increment is all that is known of the pace.
		c := e.h.parts[e.f.total()].c
		c.learn(x, dt)
		p = c.pace()
		var again findings
		again.sum = d.base
		again.regrowth(p, d.top, d.value, dt0, x/dt)
		d.sum = again.sum
	}
	var why findings
	why.add(testPrior, d.sum, 0, 0, 0)
	mean, _ := p.usual(dt)
	why.add(testAfter, after(p, d.value, dt0, x, dt), x, dt, mean)
	d.sum = why.sum
	switch {
	case d.sum >= clearOdds, d.age >= askSamples && d.sum > evenOdds:
		e.lateFold(k, &why)
		return true
	case d.sum <= -clearOdds, d.age >= askSamples:
		e.wasLoss(k, &why)
	}
	return false
}

// closeOpen decides what is undecided when another drop comes.
func (e *histJudge) closeOpen() {
	k := e.undecided()
	if k < 0 {
		return
	}
	var why findings
	why.add(testPrior, e.cs.debts[k].sum, 0, 0, 0)
	if e.cs.debts[k].sum > evenOdds {
		e.lateFold(k, &why)
		return
	}
	e.wasLoss(k, &why)
}

// lateFold turns an undecided drop into the full reset that it was.
func (e *histJudge) lateFold(k int, why *findings) {
	cs := e.cs
	was := cs.debts[k]
	cs.history.remember(&cs.history.resets)
	cs.debts = append(cs.debts[:k], cs.debts[k+1:]...)
	e.settleAll()
	e.settled(&was, KindReset, why)
	e.shift(&was, histOwed.turned)
	cs.folded = true
}

// wasLoss closes the question whether an undecided drop was a full reset. It may still come back.
func (e *histJudge) wasLoss(k int, why *findings) {
	d := &e.cs.debts[k]
	d.open = false
	e.imputeLate(d)
	if e.p.Losses != Restore && !d.gap {
		return
	}
	e.cs.history.remember(&e.cs.history.losses)
	e.settled(d, KindLoss, why)
	e.cs.debts = append(e.cs.debts[:k], e.cs.debts[k+1:]...)
}

// revokeFold tries whether the last fold was a glitch: the very next timestamp
// is on the old trend again, and that fits better than a burst after a restart.
func (e *histJudge) revokeFold() bool {
	cs, s := e.cs, &e.s
	d := cs.fold
	cs.fold = histDebt{}
	if d.age != 1 || s.raw < d.top || !s.pace.known || d.t != s.prevT {
		return false
	}
	since := elapsed(d.prev, s.t)
	g, x := s.raw-d.top, s.raw-s.prev
	p := s.pace
	burst := logSum(p.step(x, s.dt), math.Log(burstWeight)+spread(x, p.unit, burstReach*(p.rate*s.dt+p.unit)))
	odds := glitchOdds + math.Log((float64(cs.history.returns)+1)/max(float64(cs.history.resets), 1)) + p.plain(g, since) - burst
	odds += min(0, e.composeReturn(&d))
	if odds <= 0 {
		return false
	}
	cs.history.remember(&cs.history.returns)
	var why findings
	why.add(testReturn, odds, x, g, since)
	d.amount = d.top
	e.settled(&d, KindGlitch, &why)
	e.shift(&d, histOwed.revoked)
	e.lesson = lessonNone
	return true
}

// after is weighAfter, but one event more than usual is no burst either: it is
// the least that can be seen of a histogram with little traffic.
func after(p pace, v, dt0, x, dt float64) float64 {
	if fits(p, v, dt0) {
		return 0
	}
	return weighAfter(p, v, dt0, x, dt)
}

// fits: v may have grown from 0 within dt without a burst.
func fits(p pace, v, dt float64) bool {
	mean, sigma := p.usual(dt)
	return p.known && v <= mean+usualSigma*sigma+p.unit
}
