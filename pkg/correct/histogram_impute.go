package correct

// impute puts the usual growth in the place of what a loss hides.
func (e *histJudge) impute() {
	if !e.p.Impute || !e.s.pace.known {
		return
	}
	f, share := e.f, e.shares()
	last := len(f.chain) - 1
	// The share of everything that was lost is that of the workers that went, on
	// average; who came in their place counted through half of the step.
	gone := min(1, f.fell/max(f.prev[last], 1))
	sum := 0.0
	f.usual = make([]float64, last+1)
	for k := range f.chain {
		usual := (1 - gone/2) * share[k] * e.s.pace.rate * e.s.dt
		if now, before := density(f.cur, k), density(f.prev, k); now >= before {
			// It may hide a loss, too: as much as the others lost is put back.
			usual = min(max(0, usual-(now-before)), gone*before)
		}
		sum += usual
		f.usual[k] = sum
	}
	e.change.imput = f.usual
}

// imputeLate does so for a drop that turned out to be a loss only later.
func (e *histJudge) imputeLate(d *histDebt) {
	share, sum := e.shares(), 0.0
	gone := min(1, d.amount/max(d.top, 1))
	add := make([]histOwed, len(d.parts))
	for k, i := range e.f.chain {
		sum += (1 - gone/2) * share[k] * e.s.pace.rate * elapsed(d.prev, d.t)
		if i < len(add) {
			add[i].amount = sum
			d.parts[i].amount += sum
		}
	}
	if i := e.f.count; i >= 0 && i < len(add) {
		add[i].amount = sum
		d.parts[i].amount += sum
	}
	if i := e.f.sum; i >= 0 && i < len(add) {
		if count := e.f.prev[len(e.f.prev)-1]; count > 0 {
			add[i].amount = sum * e.f.seats[i].prev / count // at the usual mean
			d.parts[i].amount += add[i].amount
		}
	}
	d.amount += sum
	e.shift(&histDebt{parts: add}, func(o histOwed) float64 { return o.amount })
}
