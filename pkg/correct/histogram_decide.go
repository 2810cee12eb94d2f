package correct

// Decide judges the oldest timestamp held with what is there; the caller calls
// it when that is Complete, or has waited long enough. It goes on with later
// timestamps as long as they are complete or nothing about them is suspicious,
// and gives back what was held for them, in order for each part.
//
// Each verdict gives one Correction, on the released sample that is most
// telling: the total's if it fell, else that of the part that fell most, else
// the total's or any. Its figures, FalseIncrease too, are those of that part.
func (h *Histogram) Decide(p Policy) (out []Release) {
	cs := h.cs
	if cs == nil {
		return nil
	}
	for first := true; len(cs.held) > 0; first = false {
		t := cs.held[0].s.T
		n := 1
		for n < len(cs.held) && cs.held[n].s.T == t {
			n++
		}
		group := cs.held[:n]
		if cs.judgeable(t) && (first || h.Complete()) {
			out = h.judge(p, t, group, out)
		} else if cs.whole(t) && cs.judgeable(t) {
			break
		} else if n, out = h.releaseCalm(group, out); n < len(group) {
			cs.drop(n)
			break
		}
		cs.drop(n)
	}
	return out
}

// drop takes the first n samples off what is held.
func (cs *histCase) drop(n int) {
	cs.held = append(cs.held[:0], cs.held[n:]...)
	cs.suspect = noTime
	for i := range cs.parts {
		cs.parts[i].first = noTime
	}
	for k := range cs.held {
		if x := &cs.held[k]; !x.pass {
			hp := &cs.parts[x.part]
			hp.first = min(hp.first, x.s.T)
			cs.suspect = min(cs.suspect, x.s.T)
		}
	}
}

// releaseCalm lets a group out up to the first suspicious sample, and says how many.
func (h *Histogram) releaseCalm(group []histHeld, out []Release) (int, []Release) {
	for k := range group {
		x := &group[k]
		r := Release{Part: int(x.part), Tag: x.tag, S: x.s, Out: Outcome{V: x.s.V, ST: x.s.ST}}
		p := &h.parts[x.part]
		switch {
		case x.pass:
			r.Out = h.pass(p, x.s, r.Out)
		case p.c.Seen() && x.s.T <= p.c.T:
			r.Out = h.again(r.Part, x.s, r.Out)
		default:
			v, ok := h.calm(r.Part, x.s)
			if !ok {
				return k, out
			}
			r.Out.V, r.Out.ST = v, h.start(x.s.ST)
		}
		out = append(out, r)
	}
	return len(group), out
}

// judge decides about timestamp t and lets its group out.
func (h *Histogram) judge(p Policy, t int64, group []histHeld, out []Release) []Release {
	told := h.heed(p, t)
	e := &histJudge{h: h, cs: h.cs, f: h.frame(t), whole: whole[[]histOwed]{book: &h.cs.book, p: p, takenOver: t == h.turn}}
	e.body = e
	e.run()
	e.commit()
	at := len(out)
	for k := range group {
		x := &group[k]
		r := Release{Part: int(x.part), Tag: x.tag, S: x.s, Out: Outcome{V: x.s.V, ST: x.s.ST}}
		switch {
		case x.pass:
			r.Out = h.pass(&h.parts[x.part], x.s, r.Out)
		case e.f.seats[x.part].gone || !e.f.seats[x.part].has:
			r.Out = h.again(r.Part, x.s, r.Out) // the same sample had gone out before
		default:
			r.Out.V, r.Out.ST = h.cs.parts[x.part].out, h.start(x.s.ST)
			if e.zeros != nil {
				r.Out.Marked, r.Out.MarkT = e.zeros[x.part].set, e.zeros[x.part].at
			}
		}
		out = append(out, r)
	}
	for k := at; k < len(out) && len(told) > 0; k++ {
		if r := &out[k]; !group[k-at].pass && !r.Out.Drop {
			r.Out.Corrections, told = told, nil
		}
	}
	if len(e.log) > 0 {
		i := e.telling()
		for k := at; k < len(out); k++ {
			if r := &out[k]; r.Part == i && !group[k-at].pass && !r.Out.Drop {
				r.Out.Corrections = append(r.Out.Corrections, e.corrections(i)...)
				break
			}
		}
	}
	return out
}

// telling is the part that the verdict is attributed to; it was held.
func (e *histJudge) telling() int {
	f, best, most := e.f, -1, 0.0
	total := f.total()
	if total >= 0 && f.seats[total].held.T == f.t && f.seats[total].cur < f.seats[total].prev {
		return total
	}
	for i := range f.seats {
		s := &f.seats[i]
		if !s.has || s.gone {
			continue
		}
		if fall := s.prev - s.cur; best < 0 || fall > most || i == total && most <= 0 {
			best, most = i, max(fall, 0)
		}
	}
	return best
}

// corrections puts the figures of part i into what was found.
func (e *histJudge) corrections(i int) []Correction {
	s, hp := &e.f.seats[i], &e.cs.parts[i]
	for k := range e.log {
		c := &e.log[k]
		c.T, c.PrevT, c.Prev, c.Raw, c.Out = e.f.t, s.prevT, s.prev, s.cur, hp.out
		if c.Settles != 0 {
			continue
		}
		c.Amount = hp.off - e.before[i]
		c.FalseIncrease = s.cur - s.prev
		if s.cur < s.prev {
			c.FalseIncrease = s.cur
		}
		if s.fresh {
			c.FalseIncrease, c.Prev, c.PrevT = 0, 0, e.f.t
			continue
		}
		c.FalseIncrease -= hp.tgt - s.due
	}
	return e.log
}
