package correct

import "math"

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
