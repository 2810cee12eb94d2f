package correct

// putBack looks whether what was lost after a gap is the whole back at one moment, as a crash leaves a page that is written
// now and then: some density, or the _sum, is less than it was a scrape before the last, by no more than a scrape usually brings. Then
// nothing that came after that scrape is there any more, in any density, and whatever is there beyond it has come since. So
// the last scrape is taken as if it had shown no more than that one did; what it had more stays in the offsets.
func (e *histJudge) putBack(found *findings) {
	f := e.f
	if !e.s.gap || !e.earlier(found) {
		return
	}
	for i := range f.seats {
		if s, before := &f.seats[i], e.h.parts[i].c.before; s.has {
			e.cs.parts[i].off += s.prev - before
			s.prev = before
		}
	}
	top := 0.0
	for k, i := range f.chain {
		top = max(top, f.seats[i].prev)
		f.off[k] += f.prev[k] - top
		f.prev[k] = top
	}
	f.fell, f.up = 0, 0
	f.compare()
	e.fell = f.fell
}

// earlier: it was put back to a moment before its last scrape but one.
func (e *histJudge) earlier(found *findings) bool {
	f, step := e.f, e.c.lastMS
	if !e.inStep(step, e.s.prevT) {
		return false
	}
	below, before := 0.0, 0.0
	for k, i := range f.chain {
		then := e.h.parts[i].c.before - before
		if then < 0 || density(f.prev, k) < then {
			return false // it fell with the last scrape
		}
		below += max(0, then-density(f.cur, k))
		before += then
	}
	mean, sigma := e.s.pace.usual(float64(step) / 1000)
	switch {
	case below > mean+usualSigma*sigma:
		return false
	case below == 0 && (f.sum < 0 || e.h.negative() || f.seats[f.sum].cur >= e.h.parts[f.sum].c.before*(1-noiseShare)):
		return false
	}
	found.add(testPutBack, 0, below, mean, float64(step)/1000)
	return true
}

// latest is what the last step brought, if no density, and not the _sum, is less than it was before that: all that is gone
// may be of it. 0: it is not so, or not known.
func (e *histJudge) latest() float64 {
	f := e.f
	total := &e.h.parts[f.total()].c
	if total.lastMS == 0 || !e.inStep(total.lastMS, f.seats[f.total()].prevT) {
		return 0
	}
	before := 0.0
	for k, i := range f.chain {
		then := e.h.parts[i].c.before - before
		if then < 0 || density(f.prev, k) < then || density(f.cur, k) < then {
			return 0
		}
		before += then
	}
	if f.sum >= 0 && !e.h.negative() && f.seats[f.sum].cur < e.h.parts[f.sum].c.before*(1-noiseShare) {
		return 0
	}
	return f.prev[len(f.prev)-1] - before
}

// inStep: of every part the last sample and the one before are those of the same two scrapes, ms apart, and no other is known.
func (e *histJudge) inStep(ms uint32, prevT int64) bool {
	for i := range e.f.seats {
		s, p := &e.f.seats[i], &e.h.parts[i]
		if s.has && (s.fresh || s.past || p.c.kin.flags&(partVirtual|partUnreal) != 0 || p.c.lastMS != ms || s.prevT != prevT) {
			return false
		}
	}
	return true
}
