package correct

import "math"

// A counter whose state was lost while it carried an offset starts again from
// 0, never from raw: a reader takes its fall for a restart and adds what it falls to, and
// that is to be nothing. What it counts from then on goes out in full.

// fromZero is the one entry of the log about it.
func fromZero(s Sample) []Correction {
	return []Correction{{Kind: KindLostState, T: s.T, PrevT: s.T, Prev: s.V, Raw: s.V, Amount: -s.V, FalseIncrease: s.V,
		Evidence: []Evidence{{Test: "lost state", Text: "what was known of it was dropped while it carried an offset: it starts again from 0"}}}}
}

// FromZero is Apply for the samples of a counter whose state was lost, until the first that it can count from.
func (c *Counter) FromZero(cs *Case, p Policy, s Sample) (*Case, Outcome) {
	if c.Seen() || !(s.V > 0) || s.V > math.MaxFloat64 {
		return c.Apply(cs, p, s)
	}
	_, out := c.Apply(nil, p, s)
	cs = newCase(c)
	cs.epochs[0].offset, cs.epochs[0].folded = -s.V, true
	out.V, out.ST = cs.at(s.T, s.V, s.ST)
	out.Corrections = fromZero(s)
	return cs, out
}

// FromZero says of a part that has not been seen that its state was lost. Parts
// that come after others have begun to count go on from these.
func (h *Histogram) FromZero(i int) {
	if p := &h.parts[i]; !p.c.Seen() {
		p.c.kin.flags |= partAnew
		if h.cs == nil {
			h.newCase()
		}
	}
}

// atZero begins a part at 0, if it is to. Beside siblings that have begun to
// count already a bucket begins with what goes out for the one below it.
func (h *Histogram) atZero(i int, s Sample) bool {
	p := &h.parts[i]
	if p.c.kin.flags&partAnew == 0 {
		return false
	}
	p.c.kin.flags = p.c.kin.flags&^partAnew | partZeroed
	h.cs.folded = true
	v, least := 0.0, math.Inf(-1)
	if p.c.kin.role == RoleCount && h.inf != 0 && h.parts[h.inf-1].c.Seen() {
		v = s.V + h.cs.parts[h.inf-1].off
	}
	if p.c.kin.role == RoleBucket {
		for at := p.c.kin.lower; at != 0; at = h.parts[at-1].c.kin.lower {
			if h.parts[at-1].c.Seen() {
				v = h.cs.parts[at-1].out
				break
			}
		}
		for at := p.c.kin.upper; at != 0; at = h.parts[at-1].c.kin.upper {
			if q := &h.parts[at-1]; q.c.Seen() && q.c.kin.flags&partAnew == 0 {
				least = h.cs.parts[at-1].off
				break
			}
		}
	}
	hp := &h.cs.parts[i]
	hp.off = max(v-s.V, least)
	hp.out = s.V + hp.off
	hp.tgt = hp.out
	return true
}

// FromZero says that the state of the histogram was lost; it holds until the next sample that it can count from.
func (n *Native) FromZero() { n.anew = !n.c.Seen() }

// atZero begins at 0 with the sample just kept.
func (n *Native) atZero(t int64) {
	cs := n.open()
	x := cellsOf(&n.last)
	nothing := cells{grid: x.grid}
	if math.IsNaN(x.sum) || math.IsInf(x.sum, 0) {
		x.sum = 0
	}
	cs.epochs[0] = nativeEpoch{from: t, prev: t, off: zip(nothing, x, minus), floor: nothing, folded: true}
	n.anew = false
}
