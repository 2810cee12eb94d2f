package correct

import "math"

const (
	// nativeShareClip bounds what the shares of the buckets say about a return.
	nativeShareClip = 3
	// nativeFallOdds: that a bucket falls once more, by chance at the very place of an old top, is unlikely.
	nativeFallOdds = 4
	// nativeShareEvents of every bucket are assumed before any was seen.
	nativeShareEvents = 0.5
)

// takeBack tries the sample against what was there before every open drop. The
// best explanation, or none, is taken, with all younger drops.
func (j *nativeJudge) takeBack() bool {
	cs := j.cs
	best, bestOdds := -1, 0.0
	hazard := float64(returnHazard)
	if cs.history.Interleaved() {
		hazard = returnHazardInterleaved
	}
	for k := range cs.debts {
		d := &cs.debts[k]
		if d.gap || j.p.Losses == Restore {
			continue
		}
		odds := weighReturn(&j.s, &d.debt, hazard, cs.history.returns > 0) + j.composeReturn(d)
		if d.open {
			odds -= j.againstReset(d)
		}
		if odds > bestOdds {
			best, bestOdds = k, odds
		}
		// It did not come back with this sample.
		d.jitter += math.Log(1 - hazard)
	}
	if best < 0 {
		return false
	}
	d := cs.debts[best]
	cs.history.remember(&cs.history.returns)
	j.anew, j.lesson = true, nativeReturned
	j.growth, j.since = j.s.raw-d.top, elapsed(d.prev, j.t)
	if j.growth < 0 {
		j.lesson = nativeSuspect
	}
	var why findings
	why.add(testReturn, bestOdds, j.s.raw-j.s.prev, j.s.raw-d.top, j.since)
	for k := len(cs.debts) - 1; k >= best; k-- {
		j.off = zip(j.off, cs.debts[k].amount, minus)
		j.settled(&cs.debts[k], KindJitter, &why)
	}
	cs.debts = cs.debts[:best]
	return true
}

// composeReturn is what the buckets add to the odds of a return: whether their
// growth since before the drop, or since the last sample, is in the usual shares, and in none negative.
func (j *nativeJudge) composeReturn(d *nativeDebt) float64 {
	total := j.x0.total() + nativeShareEvents*float64(len(j.x0.list)+1)
	var back, step multi
	low := 0.0
	each(d.before, j.x1, func(_ int64, top, now float64) { low += lost(top, now) })
	each(zip(j.x1, d.before, minus), j.x0, func(_ int64, grown, before float64) {
		back.add(max(grown, 0), (before+nativeShareEvents)/total)
	})
	each(j.x0, j.x1, func(_ int64, before, now float64) {
		step.add(max(now-before, 0), (before+nativeShareEvents)/total)
	})
	odds := clip((back.log()-step.log())/max(1, j.s.pace.unit), -nativeShareClip, nativeShareClip)
	if j.fell > 0 {
		odds += nativeFallOdds
	}
	if low > 0 && j.s.raw >= d.top {
		odds -= nativeFallOdds // everything came back but for some bucket: no return
	}
	return odds
}

// multi adds up the logarithm of how likely events fall as they did, given the shares.
type multi struct{ l, n float64 }

func (m *multi) add(x, share float64) {
	m.n += x
	m.l += x*math.Log(share) - lgamma(x+1)
}

func (m *multi) log() float64 { return m.l + lgamma(m.n+1) }

// againstReset is how much likelier an undecided drop was a restart with a burst than a loss, given the rise.
func (j *nativeJudge) againstReset(d *nativeDebt) float64 {
	if !j.s.pace.known {
		return 0
	}
	return max(0, d.sum+weighAfter(j.s.pace, d.value, elapsed(d.prev, d.t), j.s.raw-j.s.prev, j.s.dt))
}

// ageDebts counts one more sample for every debt and settles those that are too old as losses.
func (j *nativeJudge) ageDebts() {
	cs := j.cs
	limit := uint8(debtAge)
	if cs.history.Interleaved() {
		limit = debtAgeInterleaved
	}
	kept := cs.debts[:0]
	for _, d := range cs.debts {
		if d.age++; d.age > limit && !d.open || d.age > debtAgeInterleaved {
			cs.history.remember(&cs.history.losses)
			j.settled(&d, KindLoss, nil)
			continue
		}
		kept = append(kept, d)
	}
	cs.debts = kept
}

// settled logs that a debt is decided.
func (j *nativeJudge) settled(d *nativeDebt, k Kind, why *findings) {
	c := Correction{Kind: k, Settles: d.t}
	switch k {
	case KindJitter, KindGlitch:
		c.Amount, c.FalseIncrease = -d.amount.total(), max(0, d.top-d.value)
	case KindReset:
		c.Amount, c.FalseIncrease = d.top-d.amount.total(), -d.value
	}
	if why != nil {
		c.Evidence = why.words()
	}
	j.note(c)
}

// settleAll closes all debts as losses: their raw level is gone.
func (j *nativeJudge) settleAll() {
	for k := range j.cs.debts {
		j.settled(&j.cs.debts[k], KindLoss, nil)
	}
	j.cs.debts = j.cs.debts[:0]
}

func (j *nativeJudge) undecided() int {
	for k := range j.cs.debts {
		if j.cs.debts[k].open {
			return k
		}
	}
	return -1
}

// askAgain looks at the undecided drop with one more sample, and reports whether it was a full reset.
func (j *nativeJudge) askAgain(x, dt float64) bool {
	k := j.undecided()
	if k < 0 {
		return false
	}
	d := &j.cs.debts[k]
	p := j.s.pace
	dt0 := elapsed(d.prev, d.t)
	if !p.known {
		if x == 0 && d.age <= debtAge {
			return false // holds until the first increment
		}
		// This very increment is all that is known of the pace.
		c := j.n.c
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
	why.add(testAfter, weighAfter(p, d.value, dt0, x, dt), x, dt, mean)
	d.sum = why.sum
	switch {
	case d.sum >= clearOdds, d.age >= askSamples && d.sum > evenOdds:
		j.lateFold(k, &why)
		return true
	case d.sum <= -clearOdds, d.age >= askSamples:
		j.wasLoss(k, &why)
	}
	return false
}

// closeOpen decides what is undecided when another drop comes.
func (j *nativeJudge) closeOpen() {
	k := j.undecided()
	if k < 0 {
		return
	}
	var why findings
	why.add(testPrior, j.cs.debts[k].sum, 0, 0, 0)
	if j.cs.debts[k].sum > evenOdds {
		j.lateFold(k, &why)
		return
	}
	j.wasLoss(k, &why)
}

// lateFold turns an undecided drop into the full reset that it was.
func (j *nativeJudge) lateFold(k int, why *findings) {
	cs := j.cs
	was := cs.debts[k]
	cs.history.remember(&cs.history.resets)
	cs.debts = append(cs.debts[:k], cs.debts[k+1:]...)
	j.settleAll()
	j.settled(&was, KindReset, why)
	if j.p.Resets == PassResets {
		j.pass()
		return
	}
	before := was.before
	if math.IsNaN(before.sum) || math.IsInf(before.sum, 0) {
		before.sum = was.amount.sum
	}
	j.off = zip(zip(j.off, was.amount, minus), before, plus)
	j.anew, j.folded = true, true
}

// wasLoss closes the question whether an undecided drop was a full reset. It may still come back.
func (j *nativeJudge) wasLoss(k int, why *findings) {
	d := &j.cs.debts[k]
	d.open = false
	if j.p.Impute && j.s.pace.known {
		hidden := j.usual(elapsed(d.prev, d.t), nil)
		d.amount = zip(d.amount, hidden, plus)
		j.off = zip(j.off, hidden, plus)
		j.anew = true
	}
	if j.p.Losses != Restore && !d.gap {
		return
	}
	j.cs.history.remember(&j.cs.history.losses)
	j.settled(d, KindLoss, why)
	j.cs.debts = append(j.cs.debts[:k], j.cs.debts[k+1:]...)
}

// revokeFold tries whether the last fold was a glitch: the very next sample is
// on the old trend again, and that fits better than a burst after a restart.
func (j *nativeJudge) revokeFold() bool {
	cs, s := j.cs, &j.s
	d := cs.fold
	cs.fold = nativeDebt{}
	if d.age != 1 || s.raw < d.top || !s.pace.known || d.t != s.prevT {
		return false
	}
	since := elapsed(d.prev, s.t)
	g, x := s.raw-d.top, s.raw-s.prev
	p := s.pace
	burst := logSum(p.step(x, s.dt), math.Log(burstWeight)+spread(x, p.unit, burstReach*(p.rate*s.dt+p.unit)))
	odds := glitchOdds + math.Log((float64(cs.history.returns)+1)/max(float64(cs.history.resets), 1)) + p.plain(g, since) - burst
	odds += j.composeReturn(&d)
	if odds <= 0 {
		return false
	}
	cs.history.remember(&cs.history.returns)
	var why findings
	why.add(testReturn, odds, x, g, since)
	j.settled(&d, KindGlitch, &why)
	j.off = zip(j.off, d.amount, minus)
	j.anew, j.lesson = true, nativeSuspect
	return true
}
