package correct

import "math"

// outgrows reports whether q, a lower bucket (sign 1), is more than s of p, or
// grew more; for an upper one (sign -1) whether it is or grew less.
func (q *part) outgrows(p *part, s Sample, sign float64) bool {
	cur, prev, prevT, ok := q.at(s.T)
	if !ok {
		return false
	}
	if sign*(cur-s.V) > 0 {
		return true
	}
	return p.c.flags&flagSeen != 0 && prevT == p.c.T && prevT != s.T && sign*((cur-prev)-(s.V-p.c.Raw)) > roundingShare*max(cur, s.V)
}

// at is the value at time t, which has gone out, and the one before it; ok is
// false when it is not remembered. Without one before, prevT is t.
func (p *part) at(t int64) (cur, prev float64, prevT int64, ok bool) {
	t1 := p.c.T - int64(p.c.lastMS)
	t2 := t1 - int64(p.olderMS)
	switch {
	case p.c.flags&flagSeen == 0:
		return 0, 0, t, false
	case t == p.c.T:
		return p.c.Raw, p.c.before, t1, true
	case t == t1:
		return p.c.before, p.older, t2, true
	}
	return 0, 0, t, false
}

// advance takes s in. What the step before was like is learned only now, when
// no sibling can give it away any more: so what is learned does not depend on
// the order in which the parts come.
func (p *part) advance(s Sample) {
	p.learnPending()
	p.c.kin.flags &^= partAway | partZeroed | partUnreal
	if p.c.flags&flagAway != 0 {
		p.c.kin.flags |= partAway
	}
	if p.c.kin.flags&partVirtual != 0 {
		p.c.kin.flags |= partUnreal
	}
	p.older, p.olderMS = p.c.before, p.c.lastMS
	p.c.move(s.T, s.V)
	p.c.ST = s.ST
	p.c.kin.flags = p.c.kin.flags&^partVirtual | partPending
}

func (p *part) learnPending() {
	if p.c.kin.flags&partPending == 0 {
		return
	}
	p.c.kin.flags &^= partPending
	if p.c.kin.role != RoleSum && p.c.lastMS > 0 {
		p.learn(p.c.Raw-p.c.before, float64(p.c.lastMS)/1000)
	}
}

// fewEvents a step: with fewer, the median says nothing about the mean.
const fewEvents = 1

// learn adds one step to what the part's steps are like.
func (p *part) learn(x, dt float64) {
	if p.c.sumX < fewEvents*float32(p.c.n) {
		p.c.median = 0
	}
	p.c.learn(x, dt)
}

// begin takes a part's first sample in.
func (p *part) begin(s Sample) {
	p.renew()
	p.c.T, p.c.Raw, p.c.ST, p.c.before, p.c.flags = s.T, s.V, s.ST, s.V, flagSeen
	p.older = s.V
}

// renew makes p a part that was never seen.
func (p *part) renew() {
	p.c = Counter{kin: p.c.kin}
	p.c.kin.flags &= partAnew
	p.older, p.olderMS = 0, 0
}

// rewind takes the last sample back, if nothing was learned from it yet, and
// reports whether it did. A second one cannot be taken back.
func (p *part) rewind() bool {
	switch {
	case p.c.kin.flags&partPending == 0 && p.c.lastMS == 0: // it was its first
		p.renew()
		return true
	case p.c.kin.flags&partPending == 0 || p.c.lastMS == math.MaxUint32:
		return false
	}
	p.c.T -= int64(p.c.lastMS)
	p.c.Raw, p.c.before, p.c.lastMS = p.c.before, p.older, p.olderMS
	p.older, p.olderMS = p.c.before, 0
	p.c.flags &^= flagAway | flagOdd
	if p.c.kin.flags&partAway != 0 {
		p.c.flags |= flagAway
	}
	if p.c.kin.flags&partUnreal != 0 {
		p.c.kin.flags |= partVirtual
	}
	p.c.kin.flags &^= partPending | partAway | partUnreal
	return true
}
