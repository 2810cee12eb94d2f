package correct

import "math"

// When another replica of a pair of senders is elected, its first sample is held
// against the last one of the replica before. Both saw the same target, but at other
// times, and by other clocks: so the value may be a few steps behind. That is jitter, what
// went out is held until raw has passed it, though the silence in between would
// else speak for a loss. A restart in between is seen as ever, and so is a loss of more than
// a few steps.

// TakeOver is Apply for the first sample of another replica that is newer than
// the last one. Older ones are not to be applied at all: the replica before told that time.
func (c *Counter) TakeOver(cs *Case, p Policy, s Sample) (*Case, Outcome) {
	// NaN fails the first comparison.
	if !(s.V < c.Raw) || s.V < 0 || s.T <= c.T || !c.Seen() {
		return c.Apply(cs, p, s)
	}
	e := enactor{c: c, cs: cs, p: p, s: s, step: c.stepTo(s)}
	v, ok := judgeTakeOver(&e.step, p)
	if !ok {
		return c.Apply(cs, p, s)
	}
	if e.cs == nil {
		e.cs = newCase(c)
	}
	if e.cs.seen < math.MaxUint32 {
		e.cs.seen++
	}
	e.cs.fold.set = false
	e.ageDebts()
	e.closeOpen()
	e.enact(v)
	c.move(s.T, s.V)
	c.ST = s.ST
	return e.cs, e.cs.answer(s, e.log)
}

// TakenOver says at which timestamp (ms) another replica's first samples of the
// histogram are, 0 for none: a fall there is judged as TakeOver does.
func (h *Histogram) TakenOver(t int64) { h.turn = t }

// Newest is the latest timestamp (ms) that any part came for, what is held
// included; the least of all when nothing came yet.
func (h *Histogram) Newest() int64 {
	newest := int64(math.MinInt64)
	for i := range h.parts {
		if c := &h.parts[i].c; c.Seen() {
			newest = max(newest, c.T)
		}
	}
	switch {
	case h.running():
		newest = max(newest, h.ahead.t[h.ahead.at(int(h.ahead.rows)-1)])
	case h.Waiting():
		newest = max(newest, h.cs.queue[len(h.cs.queue)-1].s.T)
	}
	return newest
}

// TakenOver says whether the next sample is another replica's first: a fall
// there is judged as Counter.TakeOver does.
func (n *Native) TakenOver(yes bool) { n.turn = yes }

// Newest is the timestamp (ms) of the last sample; the least of all when none came yet.
func (n *Native) Newest() int64 {
	if !n.c.Seen() {
		return math.MinInt64
	}
	return n.c.T
}

const (
	// replicaDip, replicaReset and replicaLoss: what a fall at a failover is. A node that dies may
	// take one replica and the target along, so a restart is nearly as likely as a clock that lags.
	replicaDip, replicaReset, replicaLoss = 0.5, 0.4, 0.1
)

// judgeTakeOver decides whether a fall at the first sample of another replica
// is no more than that replica being some steps behind; ok is false when it is anything else.
func judgeTakeOver(s *step, p Policy) (v verdict, ok bool) {
	if s.raw == 0 && s.prev > 0 && !s.pace.known || s.st > s.prevT && s.st <= s.t && s.st != s.t-1 {
		return v, false
	}
	if _, wraps := judgeWrap(s, p, &v.found); wraps {
		return v, false
	}
	d := s.prev - s.raw
	if !s.pace.known {
		// As for any counter without a history: by the share that is gone.
		if d > ratioFold*s.prev {
			return v, false
		}
		v.found.add(testReplica, -ratioOdds, d, 0, 0)
		v.action, v.kind = actHold, KindJitter
		return v, true
	}
	scale := max(s.pace.rate*s.pace.interval, s.pace.unit)
	mean := s.pace.rate * s.dt
	dip := math.Log(replicaDip) - math.Log(dipSteps*scale) - d/(dipSteps*scale)
	reset := math.Log(replicaReset) + logSum(math.Log(1-burstWeight)+s.pace.regrowth(s.raw, s.dt),
		math.Log(burstWeight)+spread(s.raw, s.pace.unit, burstReach*(mean+s.pace.unit)))
	if s.raw == 0 {
		reset += zeroOdds
	}
	if s.st != 0 && s.st == s.prevST {
		reset -= startOdds
	}
	loss := math.Log(replicaLoss) + logSum(math.Log(anyShare)-math.Log(s.prev), math.Log(1-anyShare)+spread(d, scale, s.prev))
	odds := dip - logSum(reset, loss)
	if odds <= 0 {
		return v, false
	}
	v.found.add(testReplica, -odds, d, scale, 0)
	v.action, v.kind = actHold, KindJitter
	return v, true
}
