package correct

// youngSteps is how many steps make a pace that is not to be moved by a few of unusual size. Until then
// a rise past the value before a drop is not learned: it may be the return itself, which, once learned
// as a usual step, makes every later one look usual, too (the evaluator: a native histogram read in
// part from a stale cache was 0.015 off for all of ten hours).
const youngSteps = 20

const (
	// unsureSteps: until then the fold of a counter is as likely wrong as right. Nothing tells a read that is behind, as from a
	// cache or the other replica, from a restart but the pace, and that is not known well yet (see clipAfter).
	unsureSteps = clipAfter
	// passedByChance: a value of one is passed by the next observation, wherever that comes from.
	passedByChance = 1
)

// unsure: the fold of a young counter from top at t (ms), before which the last sample was at prev, may still have been a read that
// was behind. It may stay so for some scrapes; after a gap nothing comes back.
func (c *Counter) unsure(prev, t int64, top float64, s *step) bool {
	usual := 1000 * max(s.pace.interval, s.dt)
	return c.n < unsureSteps && top > passedByChance && !s.gap && float64(s.t-t) <= debtAge*usual && float64(t-prev) <= gapFactor*usual
}

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
