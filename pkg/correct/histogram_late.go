package correct

// newcomer takes a part's first sample. A part that appears beside others with
// another start timestamp is a sign that they have moved, too.
func (h *Histogram) newcomer(i int, s Sample) (v float64, ok bool) {
	if h.moved(s) {
		return 0, false
	}
	p := &h.parts[i]
	p.begin(s)
	h.came(i, s.T)
	if h.cs == nil {
		return s.V, true
	}
	v = h.place(i, s)
	h.went(i, s, false)
	return v, true
}

// moved: s, the first of its part, has a later start timestamp than others had before.
func (h *Histogram) moved(s Sample) bool {
	if s.ST == 0 {
		return false
	}
	for j := range h.parts {
		if q := &h.parts[j].c; q.Seen() && q.ST != 0 && q.ST < s.ST && q.T < s.T {
			return true
		}
	}
	return false
}

// place is where a new part begins: with the offset that its lower neighbour had then,
// between what goes out for that and for its upper one. What was lost since is still to come to a part that is late.
func (h *Histogram) place(i int, s Sample) float64 {
	p, cs := &h.parts[i], h.cs
	hp := &cs.parts[i]
	if h.atZero(i, s) {
		return hp.out
	}
	if p.c.kin.role == RoleCount && h.inf != 0 {
		hp.off = cs.offset(int(h.inf)-1, s.T)
	}
	if p.c.kin.role != RoleBucket {
		hp.out = s.V + hp.off
		hp.tgt = hp.out
		return hp.out
	}
	v := s.V
	for at := p.c.kin.lower; at != 0; at = h.parts[at-1].c.kin.lower {
		if q := &h.parts[at-1]; q.c.Seen() {
			hp.off = cs.offset(int(at)-1, s.T)
			v += hp.off
			if out, ok := h.sent(int(at)-1, s.T); ok {
				v = max(v, out)
			}
			break
		}
	}
	for at := p.c.kin.upper; at != 0; at = h.parts[at-1].c.kin.upper {
		if out, ok := h.sent(int(at)-1, s.T); ok {
			v = max(min(v, out), s.V+min(hp.off, 0))
			break
		}
	}
	hp.out, hp.tgt = v, v
	return v
}

// again answers a sample that is not newer than the part's last: the same bits
// for the same sample, of another value at the same timestamp the first stands.
func (h *Histogram) again(i int, s Sample, out Outcome) Outcome {
	p := &h.parts[i]
	if s.T == p.c.T && s.V != p.c.Raw && p.c.kin.flags&partVirtual == 0 {
		return p.duplicate(s, p.c.Raw, out)
	}
	if h.cs != nil {
		out.V, out.ST = h.cs.at(i, s)
	}
	return out
}

// late answers a part whose siblings' timestamp has been judged without it: it
// follows the verdict, within its neighbours.
func (h *Histogram) late(i int, s Sample, out Outcome) Outcome {
	p, cs := &h.parts[i], h.cs
	hp := &cs.parts[i]
	if !p.c.Seen() {
		p.begin(s)
		h.came(i, s.T)
		h.place(i, s)
	} else {
		fell := s.V < p.c.Raw
		p.advance(s)
		h.came(i, s.T)
		p.c.kin.flags &^= partPending
		v := s.V + hp.off
		if fell && v < hp.out && !(p.c.kin.role == RoleSum && h.negative()) {
			// A loss that nobody could divide without this part.
			hp.off = hp.out - s.V
			v = hp.out
		}
		hp.tgt = v
		hp.out = max(h.between(i, s.T, v), hp.out)
		if p.c.kin.role == RoleCount && h.inf != 0 {
			if q, at := &h.parts[h.inf-1].c, &cs.parts[h.inf-1]; q.T == s.T && q.Raw == s.V {
				hp.off, hp.tgt = at.off, max(at.tgt, hp.out) // it is +Inf where they agree
			}
		}
	}
	out.V, out.ST = hp.out, h.start(s.ST)
	h.went(i, s, false)
	if out.V != s.V {
		out.Corrections = []Correction{{Kind: KindLoss, T: s.T, PrevT: p.c.T - int64(p.c.lastMS), Prev: p.c.before, Raw: s.V, Out: out.V,
			Evidence: []Evidence{{Test: "siblings", Text: "came after its timestamp had been judged: follows the verdict, within its neighbours"}}}}
	}
	return out
}

// between holds v within what went out for the neighbours at time t.
func (h *Histogram) between(i int, t int64, v float64) float64 {
	p := &h.parts[i]
	if p.c.kin.role != RoleBucket {
		if p.c.kin.role == RoleCount && h.inf != 0 {
			if out, ok := h.sent(int(h.inf)-1, t); ok && h.parts[h.inf-1].c.T == t && h.parts[h.inf-1].c.Raw == p.c.Raw {
				return out
			}
		}
		return v
	}
	if p.c.kin.upper != 0 {
		if out, ok := h.sent(int(p.c.kin.upper)-1, t); ok {
			v = min(v, out)
		}
	}
	if p.c.kin.lower != 0 {
		if out, ok := h.sent(int(p.c.kin.lower)-1, t); ok {
			v = max(v, out)
		}
	}
	return v
}
