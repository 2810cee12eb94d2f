package correct

// enter enters what this frame changed as a debt, or as a fold that may be a glitch.
func (e *histJudge) enter() {
	if e.owes == nil {
		return
	}
	cs := e.cs
	parts := make([]histOwed, len(cs.parts))
	for i := range parts {
		top := e.h.parts[i].c.Raw
		if s := &e.f.seats[i]; s.has {
			top = s.prev
		}
		parts[i] = histOwed{amount: cs.parts[i].off - e.base[i], top: top}
	}
	switch {
	case !e.change.fold:
		e.owe(e.newDebt(*e.owes, parts[e.f.total()].amount, parts))
	case !e.restarted():
		cs.fold = e.newFold(e.s.prev, parts)
	}
}

// shift changes every offset by what give says, as a debt or a fold is taken back or turned.
func (e *histJudge) shift(d *histDebt, give func(o histOwed) float64) {
	for i := range d.parts {
		e.cs.parts[i].off += give(d.parts[i])
	}
	for k, i := range e.f.chain {
		e.f.off[k] = e.cs.parts[i].off
	}
}

func (e *histJudge) revoke(d *histDebt) {
	e.shift(d, func(o histOwed) float64 { return -o.amount })
	for i := range d.parts {
		d.parts[i].amount = 0
	}
}

func (e *histJudge) turn(d *histDebt) {
	e.shift(d, func(o histOwed) float64 { return o.top - o.amount })
	e.cs.folded = true
}

func (e *histJudge) refold(d *histDebt) {
	for i := range d.parts {
		d.parts[i].amount = d.parts[i].top
	}
	d.amount, d.age, d.open = d.top, 1, false
	e.cs.fold = *d
}

// places are the densities along the chain. Their shares are those of
// everything that has been counted, through all resets. Within the first life of a
// histogram they are those before the drop, and tell nothing.
func (e *histJudge) places(d *histDebt) []place {
	f, share := e.f, e.shares()
	out := make([]place, len(f.chain))
	below, top := 0.0, 0.0
	for k, i := range f.chain {
		below = top
		if d != nil && i < len(d.parts) {
			top = max(top, d.parts[i].top)
		}
		out[k] = place{top: top - below, before: density(f.prev, k), now: density(f.cur, k), share: share[k]}
	}
	return out
}

// shares are those in which the densities come.
func (e *histJudge) shares() []float64 {
	f := e.f
	out := make([]float64, len(f.chain))
	sum := f.tgt[len(f.chain)-1] + shareEvents*float64(len(f.chain))
	for k := range f.chain {
		out[k] = (density(f.tgt, k) + shareEvents) / sum
	}
	return out
}
