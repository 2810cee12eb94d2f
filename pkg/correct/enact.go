package correct

// enactor applies verdicts about one sample to its counter.
type enactor struct {
	c    *Counter
	cs   *Case
	p    Policy
	s    Sample
	step step
	log  []Correction

	justFolded bool // the sample before was a full reset
	zero       zeroMark
}

// run takes the sample: what is open is settled first where it can be, then the
// sample itself is judged, and at last the counter moves on to it.
func (e *enactor) run() {
	if e.s.V < e.step.prev {
		e.drop()
	} else {
		e.rise()
	}
	e.c.ST = e.s.ST
}

func (e *enactor) drop() {
	if e.cs == nil {
		e.cs = newCase(e.c)
	}
	e.ageDebts()
	e.closeOpen()
	e.cs.fold.set = false
	e.enact(judgeDrop(&e.step, e.c, e.cs, e.p))
	e.c.move(e.s.T, e.s.V)
}

func (e *enactor) rise() {
	if v, ok := judgeRise(&e.step, e.cs); ok {
		if e.cs == nil {
			e.cs = newCase(e.c)
		}
		e.cs.fold.set = false
		e.enact(v)
		e.c.move(e.s.T, e.s.V)
		return
	}
	x, dt := e.step.raw-e.step.prev, e.step.dt
	if e.cs != nil {
		e.justFolded = e.cs.fold.set
		if e.revokeFold() {
			e.c.move(e.s.T, e.s.V)
			return
		}
		if g, since, ok := e.takeBack(); ok {
			e.c.step(e.s.T, e.s.V, g, since)
			return
		}
		suspect := e.suspect(x, dt)
		e.ageDebts()
		if e.askAgain(x, dt) || suspect {
			e.c.move(e.s.T, e.s.V)
			return
		}
	}
	e.c.step(e.s.T, e.s.V, x, dt)
}

const (
	// suspectSigma: a growth this far over the usual may be a return or a burst that nobody recognised.
	suspectSigma = 3
	// suspectMedians is the same in medians, which returns that were learned wrongly do not raise.
	suspectMedians = 1.5
)

// suspect: while a drop is open, an unusual growth is not to be learned from.
func (e *enactor) suspect(x, dt float64) bool {
	if e.doubtful() {
		return true
	}
	if e.c.n < 2 || len(e.cs.debts) == 0 && !e.justFolded {
		return false
	}
	mean, sigma := e.step.pace.usual(dt)
	if median := float64(e.c.median) * dt; 2*median > mean {
		return x > suspectMedians*median
	}
	return x > mean+suspectSigma*sigma
}

// enact applies a verdict about this sample.
func (e *enactor) enact(v verdict) {
	cs, s := e.cs, &e.step
	now := *cs.now()
	held := now.out(s.prev)
	d := s.prev - s.raw
	c := Correction{Kind: v.kind, T: s.t, PrevT: s.prevT, Prev: s.prev, Raw: s.raw, FalseIncrease: s.raw, Evidence: v.found.words()}
	switch v.action {
	case actHold:
		e.begin(now.offset, held)
	case actFold:
		c.FalseIncrease = 0
		if v.kind == KindHiddenReset {
			c.FalseIncrease = -s.prev
		}
		told := s.st != s.prevST && s.st != s.t-1 // by the start timestamp: not to be revoked
		e.foldFrom(now.offset, s.prev, held, v.kind, told)
	case actLoss:
		cs.remember(&cs.losses)
		e.begin(now.offset+d+e.imputed(s.prev, s.raw, s.dt), held)
	case actDebt, actAsk:
		extra := 0.0
		if v.action == actDebt {
			extra = e.imputed(s.prev, s.raw, s.dt)
		}
		e.begin(now.offset+d+extra, held)
		e.owe(debt{t: s.t, prev: s.prevT, top: s.prev, value: s.raw, amount: d + extra, offset: now.offset, jitter: v.jitter, open: v.action == actAsk, gap: s.gap, base: v.base, sum: v.found.sum})
		c.Pending = true
	case actWrap:
		c.FalseIncrease = s.prev - v.amount
		e.begin(now.offset+v.amount, held)
		e.settleAll()
	case actReanchor:
		c.FalseIncrease = s.raw - s.prev
		e.settleAll()
		e.begin(now.offset-(s.raw-s.prev), held)
		cs.now().folded = true
	}
	c.Amount = cs.now().offset - now.offset
	e.log = append(e.log, c)
}

// foldFrom enacts a full reset from raw value top.
func (e *enactor) foldFrom(offset, top, held float64, kind Kind, told bool) {
	cs := e.cs
	e.settleAll()
	if kind == KindReset {
		cs.remember(&cs.resets)
	}
	if e.passes(held) {
		e.beginFree()
		return
	}
	if e.p.Resets == MarkResets && e.mark(held) {
		return
	}
	cs.fold = fold{t: e.step.t, prev: e.step.prevT, top: top, offset: offset, set: kind == KindReset && !told}
	e.begin(offset+top, held)
	cs.now().folded = true
}

// begin opens an epoch with this sample; floor is what went out last.
func (e *enactor) begin(offset, floor float64) {
	e.cs.begin(epoch{from: e.step.t, prev: e.step.prevT, offset: offset, floor: floor, folded: e.cs.now().folded})
}

// passes reports whether the rule lets this full reset out as it is, and a reader
// of it counts what one of the fold counts; held is what went out last. It does not where
// nothing falls, where a drop before was decided at this sample and what that adds has not gone out
// yet, and where what is held above raw is still to be made up for.
func (e *enactor) passes(held float64) bool {
	s, now := &e.step, e.cs.now()
	return e.p.Resets == PassResets && now.from != s.t && held <= s.prev+now.offset && (s.raw < held || held == 0)
}

// beginFree lets a reset out as it is. It is remembered, but not to be revoked.
func (e *enactor) beginFree() {
	e.cs.fold = fold{t: e.step.t}
	e.cs.begin(epoch{from: e.step.t, prev: e.step.prevT, free: true})
}

// imputedShare of the usual step is what a loss hides where the share that was
// lost is not known: 1 - 1/2N for N workers, on average over 2 to 16.
const imputedShare = 0.88

// imputed is the growth that a loss from prev to raw within dt hides, when the
// rule wants it: the usual step of those who survived, and half a step of the one who
// started again. Who took a share of the value took about that share of the pace.
func (e *enactor) imputed(prev, raw, dt float64) float64 {
	if !e.p.Impute || !e.step.pace.known {
		return 0
	}
	return e.step.pace.rate * dt * (1 - (prev-raw)/(2*prev))
}

func (e *enactor) owe(d debt) {
	if old, full := e.cs.owe(d); full && !old.back {
		e.settled(&old, KindLoss, 0, nil)
		e.cs.remember(&e.cs.losses)
	}
}

// settled logs that a debt is decided.
func (e *enactor) settled(d *debt, k Kind, amount float64, why *findings) {
	if d.back && k != KindReset {
		return // it was settled when it came back
	}
	s := &e.step
	c := Correction{Kind: k, T: s.t, PrevT: s.prevT, Prev: s.prev, Raw: s.raw, Amount: amount, Settles: d.t}
	switch k {
	case KindJitter:
		c.FalseIncrease = d.top - d.value // raw grew back what it had dipped by
	case KindReset:
		c.FalseIncrease = -d.told()
	}
	if why != nil {
		c.Evidence = why.words()
	}
	e.log = append(e.log, c)
}

// settleAll closes all debts as losses: their raw level is gone.
func (e *enactor) settleAll() {
	for i := range e.cs.debts {
		e.settled(&e.cs.debts[i], KindLoss, 0, nil)
	}
	e.cs.debts = e.cs.debts[:0]
}
