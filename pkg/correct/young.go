package correct

// youngSteps is how many steps make a pace that is not to be moved by a few of unusual size. Until then
// a rise past the value before a drop is not learned: it may be the return itself, which, once learned
// as a usual step, makes every later one look usual, too (the evaluator: a native histogram read in
// part from a stale cache was 0.015 off for all of ten hours).
const youngSteps = 20

// crosses: the step passes the value before the drop d.
func (d *debt) crosses(s *step) bool { return s.prev < d.top && s.raw >= d.top }

// crosses: the step passes the value before the fold.
func (f *fold) crosses(s *step) bool { return s.prev < f.top && s.raw >= f.top }

// doubtful: the counter is young, and the step may be a return that was not taken for one.
func (e *enactor) doubtful() bool {
	if e.c.n >= youngSteps {
		return false
	}
	for i := range e.cs.debts {
		if e.cs.debts[i].crosses(&e.step) {
			return true
		}
	}
	return e.justFolded && e.cs.fold.crosses(&e.step)
}

// doubtful is that of a scalar counter.
func (w *whole[V]) doubtful() bool {
	if w.c.n >= youngSteps {
		return false
	}
	for k := range w.debts {
		if w.debts[k].crosses(&w.s) {
			return true
		}
	}
	return w.past
}
