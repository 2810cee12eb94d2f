package correct

import "math"

// staleBits is the NaN that marks the end of a series (Prometheus' model/value).
const staleBits = 0x7ff0000000000002

// Apply decides about any sample. cs may be nil; what comes back (it may be
// nil, or cs changed in place) is to be kept with c.
func (c *Counter) Apply(cs *Case, p Policy, s Sample) (*Case, Outcome) {
	out := Outcome{V: s.V, ST: s.ST}
	switch {
	case !(s.V >= 0) || s.V > math.MaxFloat64:
		return cs, c.pass(s, out)
	case !c.Seen():
		c.T, c.Raw, c.ST, c.before = s.T, s.V, s.ST, s.V
		c.flags = flagSeen
		return cs, out
	case s.T < c.T:
		if cs != nil {
			out.V, out.ST = cs.at(s.T, s.V, s.ST)
		}
		return cs, out
	case s.T == c.T:
		return cs, c.again(cs, s, out)
	}
	return c.next(cs, p, s)
}

// pass lets a value through that no counter has. The state stays, but after a
// stale marker the next sample comes after a gap.
func (c *Counter) pass(s Sample, out Outcome) Outcome {
	if math.Float64bits(s.V) == staleBits {
		if c.Seen() && s.T > c.T {
			c.flags |= flagAway
		}
		return out
	}
	if c.Seen() && s.T > c.T {
		c.flags |= flagOdd
	}
	out.Corrections = []Correction{{Kind: KindInvalid, T: s.T, PrevT: c.T, Prev: c.Raw, Raw: s.V, Out: s.V}}
	return out
}

// again answers a sample with the timestamp of the last: the same value gets
// the same answer, of another the first stands.
func (c *Counter) again(cs *Case, s Sample, out Outcome) Outcome {
	if s.V != c.Raw {
		out.Drop = true
		out.Corrections = []Correction{{Kind: KindDuplicate, T: s.T, PrevT: c.T, Prev: c.Raw, Raw: s.V, Out: c.Raw}}
		return out
	}
	if cs != nil {
		out.V, out.ST = cs.at(s.T, s.V, s.ST)
	}
	return out
}

// next takes the sample after the last one.
func (c *Counter) next(cs *Case, p Policy, s Sample) (*Case, Outcome) {
	if cs != nil {
		cs.count(c)
	}
	e := enactor{c: c, cs: cs, p: p, s: s}
	if cs != nil && cs.words.any() {
		e.heed()
	}
	if s.V >= c.Raw && s.ST == c.ST && (cs == nil || cs.quiet()) {
		c.step(s.T, s.V, s.V-c.Raw, elapsed(c.T, s.T))
		return cs, cs.answer(s, e.log)
	}
	e.step = c.stepTo(s)
	e.run()
	out := e.cs.answer(s, e.log)
	out.Marked, out.MarkT = e.zero.set, e.zero.at
	return e.cs, out
}

// quiet: nothing is open that a rise could settle.
func (cs *Case) quiet() bool {
	return len(cs.debts) == 0 && !cs.fold.set && cs.resets < hiddenResets
}

// answer is what goes out for the newest sample.
func (cs *Case) answer(s Sample, log []Correction) Outcome {
	out := Outcome{V: s.V, ST: s.ST, Corrections: log}
	if cs != nil {
		e := cs.now()
		out.V, out.ST = e.out(s.V), cs.start(e, s.ST)
	}
	for i := range log {
		if log[i].T == s.T { // else it is about the sample before, by what was heard since
			log[i].Out = out.V
		}
	}
	return out
}
