package correct

// whole judges a histogram, classic or native, through its total (+Inf, _count,
// or a native histogram's count) as the counter that is looked at, and by what
// its densities add. It follows the enactor of a scalar counter step by step.
// The judges of both kinds embed it: they prepare the step and the densities,
// and carry out what is decided. V is what a debt keeps of the densities.
type whole[V any] struct {
	body[V]
	*book[V]
	s step     // of the total
	c *Counter // of the total
	p Policy

	fell       float64 // what the densities that fell lost in sum
	lesson     lesson
	taken      *wholeDebt[V] // the drop that was taken back, which lessonReturn is learned against
	justFolded bool          // the sample before was a full reset
	past       bool          // and this one is past the value before it
	takenOver  bool          // the sample is another replica's first
	log        []Correction
}

// body is what the judges of the two kinds know how to do with densities.
type body[V any] interface {
	// places are the densities before and now; d (it may be nil) is an open drop.
	places(d *wholeDebt[V]) []place
	// revoke takes what d added out of the offset: then it has added nothing.
	revoke(d *wholeDebt[V])
	// turn makes a full reset of d, which was put back as a loss.
	turn(d *wholeDebt[V])
	// refold makes of d, which was turned, the fold that may still be revoked.
	refold(d *wholeDebt[V])
	// imputeLate puts the usual growth in for d, which turned out to be a loss.
	imputeLate(d *wholeDebt[V])
}

// book is what a histogram that misbehaved remembers of its drops.
type book[V any] struct {
	history Case           // counts of what it did before, when it was reset last, and the start timestamp of the folded series
	debts   []wholeDebt[V] // oldest first
	fold    wholeDebt[V]   // the fold that may still be revoked; age 1 if there is one
}

// wholeDebt is a drop of the whole that may still be taken back.
type wholeDebt[V any] struct {
	debt    // of the total
	parts V // of the densities: what it added to their offsets, and what they were before
}

// lesson is what is learned of the usual growth from the step.
type lesson uint8

const (
	lessonStep   lesson = iota // an ordinary step
	lessonNone                 // it says nothing about the usual growth
	lessonReturn               // growth since before the drop that was taken back
)

// restarted: a start timestamp that no synthesis gives moved into the step.
func (w *whole[V]) restarted() bool {
	s := &w.s
	return s.st != 0 && s.st != s.prevST && s.st > s.prevT && s.st <= s.t && s.st != s.t-1
}

// suspect: while a drop is open, an unusual growth x within dt is not to be learned from.
func (w *whole[V]) suspect(x, dt float64) bool {
	if w.doubtful() {
		return true
	}
	if w.c.n < 2 || len(w.debts) == 0 && !w.justFolded {
		return false
	}
	mean, sigma := w.s.pace.usual(dt)
	if median := float64(w.c.median) * dt; 2*median > mean {
		return x > suspectMedians*median
	}
	return x > mean+suspectSigma*sigma
}

// judgeDrop is the ladder of the scalar judgeDrop, on what the densities lost
// in sum. extra is what only one kind of histogram has.
func (w *whole[V]) judgeDrop(extra findings) verdict {
	var v verdict
	s := w.s
	// Had nothing been lost, the total would be this much.
	s.prev = max(s.prev, s.raw+w.fell)
	if w.takenOver {
		if v, ok := judgeTakeOver(&s, w.p); ok {
			return v
		}
	}
	v.found, v.base = weighDrop(&s, &w.history)
	v.found.join(&extra)
	v.base += extra.sum
	list := w.places(nil)
	w.compose(&v.found, list)
	w.liken(&v.found, list)
	s.densities = len(list) > 1
	v.decide(&s, &w.s, fits(s.pace, s.raw, s.dt), w.c, &w.history, w.p)
	return v
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

// settled logs that a debt is decided.
func (w *whole[V]) settled(d *wholeDebt[V], k Kind, why *findings) {
	if d.back && k != KindReset {
		return // it was settled when it came back
	}
	c := Correction{Kind: k, Settles: d.t}
	switch k {
	case KindJitter, KindGlitch:
		c.Amount, c.FalseIncrease = -d.amount, max(0, d.top-d.value)
	case KindReset:
		c.Amount, c.FalseIncrease = d.top-d.amount, -d.told()
	}
	if why != nil {
		c.Evidence = why.words()
	}
	w.log = append(w.log, c)
}

// settleAll closes all debts as losses: their raw level is gone.
func (w *whole[V]) settleAll() {
	for k := range w.debts {
		w.settled(&w.debts[k], KindLoss, nil)
	}
	w.debts = w.debts[:0]
}

// owe enters a debt. One too many settles the oldest as a loss.
func (w *whole[V]) owe(d wholeDebt[V]) {
	if len(w.debts) == maxDebts {
		w.settled(&w.debts[0], KindLoss, nil)
		if !w.debts[0].back {
			w.history.remember(&w.history.losses)
		}
		w.debts = append(w.debts[:0], w.debts[1:]...)
	}
	w.debts = append(w.debts, d)
}

// newDebt is a drop of the total that v says may be taken back.
func (w *whole[V]) newDebt(v verdict, amount float64, parts V) wholeDebt[V] {
	s := &w.s
	return wholeDebt[V]{debt: debt{
		t: s.t, prev: s.prevT, top: s.prev, value: s.raw, amount: amount, jitter: v.jitter,
		open: v.action == actAsk, gap: s.gap, base: v.base, sum: v.found.sum,
	}, parts: parts}
}

// newFold is a full reset of the whole that may still be revoked.
func (w *whole[V]) newFold(amount float64, parts V) wholeDebt[V] {
	s := &w.s
	return wholeDebt[V]{debt: debt{t: s.t, prev: s.prevT, top: s.prev, value: s.raw, amount: amount, age: 1}, parts: parts}
}

// burstFrom remembers that the whole was reset at t (ms), so that for a while unusual growth is a burst.
func (w *whole[V]) burstFrom(t int64) { w.history.fold.t = t }

func (w *whole[V]) undecided() int {
	for k := range w.debts {
		if w.debts[k].open {
			return k
		}
	}
	return -1
}
