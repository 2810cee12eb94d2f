package correct

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
