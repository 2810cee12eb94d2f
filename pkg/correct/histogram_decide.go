package correct

import "slices"

// Decide takes the oldest timestamp queued with what is there; the caller calls
// it when that is Complete, or has waited long enough: then who has not come is not waited for
// any more. It goes on with later timestamps as long as they are complete, and gives
// back what was held for them, and what was held behind them and need not be, in order for each part.
//
// Each verdict gives one Correction, on the released sample that is most
// telling: the total's if it fell, else that of the part that fell most, else
// the total's or any. Its figures, FalseIncrease too, are those of that part.
func (h *Histogram) Decide(p Policy) (out []Release) {
	if h.running() {
		h.takeTurns()
		return nil
	}
	cs := h.cs
	if cs == nil {
		return nil
	}
	for first := true; len(cs.queue) > 0; first = false {
		if !h.Complete() {
			if !first {
				break
			}
			h.goWithout(cs.queue[0].s.T)
		}
		n := 1
		for n < len(cs.queue) && cs.queue[n].s.T == cs.queue[0].s.T {
			n++
		}
		out = h.turnOf(p, cs.queue[:n], out)
		cs.drop(n)
	}
	out = h.release(out)
	switch {
	case !cs.nothing():
	case len(cs.queue) == 0:
		if h.plain() {
			h.cs = nil
		}
	default:
		h.compact()
	}
	return out
}

// goWithout: who has not come for timestamp t is not waited for.
func (h *Histogram) goWithout(t int64) {
	for i := range h.parts {
		if h.last(i) < t {
			h.parts[i].c.kin.flags |= partAbsent
		}
	}
}

// turnOf takes the oldest timestamp: its group is all that is queued for it.
func (h *Histogram) turnOf(p Policy, group []queued, out []Release) []Release {
	cs, t := h.cs, group[0].s.T
	if !cs.judgeable() {
		return h.skipped(group, out)
	}
	var f *frame
	if !cs.whole(t) {
		f = h.frame(t)
		if h.calmFrame(f) && t > cs.owed {
			out = h.pay(group, out)
			cs.judged = max(cs.judged, t)
			return out
		}
	}
	return h.judge(p, t, f, group, out)
}

// skipped lets values go that no part has.
func (h *Histogram) skipped(group []queued, out []Release) []Release {
	for k := range group {
		x := &group[k]
		p := &h.parts[x.part]
		p.skip(x.s)
		if !x.gone {
			out = append(out, Release{Part: int(x.part), Tag: x.tag, S: x.s, Out: p.told(x.s, Outcome{V: x.s.V, ST: x.s.ST})})
		}
	}
	return out
}

// pay takes a group of which nothing is suspicious.
func (h *Histogram) pay(group []queued, out []Release) []Release {
	for k := range group {
		x := &group[k]
		i, p := int(x.part), &h.parts[x.part]
		if x.pass {
			out = h.skipped(group[k:k+1], out)
			continue
		}
		r := Release{Part: i, Tag: x.tag, S: x.s, Out: Outcome{V: x.s.V, ST: x.s.ST}}
		switch {
		case p.c.Seen() && x.s.T <= p.c.T:
			r.Out = h.again(i, x.s, r.Out)
		case !p.c.Seen():
			h.begin(x)
			r.Out.V, r.Out.ST = h.cs.parts[i].out, h.start(x.s.ST)
		default:
			p.advance(x.s)
			h.came(i, x.s.T)
			if !x.gone {
				h.cs.parts[i].out = h.onward(i, x.s)
				h.went(i, x.s, false)
				r.Out.V, r.Out.ST = h.cs.parts[i].out, h.start(x.s.ST)
			}
		}
		if !x.gone {
			out = append(out, r)
		}
	}
	return out
}

// begin takes the first sample of a part, whose turn has come.
func (h *Histogram) begin(x *queued) {
	i := int(x.part)
	hp := &h.cs.parts[i]
	h.parts[i].begin(x.s)
	h.came(i, x.s.T)
	if !x.gone {
		h.place(i, x.s)
		h.went(i, x.s, false)
		return
	}
	if !x.anew {
		// Between its neighbours as they are now; what went out stays.
		out := hp.out
		h.place(i, x.s)
		hp.out = out
	}
}

// release lets out what was held only because of what has been decided now: up to the
// first timestamp that is suspicious.
func (h *Histogram) release(out []Release) []Release {
	cs := h.cs
	if cs.suspect == noTime {
		return out
	}
	for k, n := 0, 0; k < len(cs.queue); k = n {
		t := cs.queue[k].s.T
		for n = k; n < len(cs.queue) && cs.queue[n].s.T == t; n++ {
			if x := &cs.queue[n]; cs.keeps(t) || !x.gone && !x.pass && !h.easy(int(x.part), x.s) {
				cs.drop(0)
				return out
			}
		}
		for j := k; j < n; j++ {
			x := &cs.queue[j]
			if x.gone {
				continue
			}
			r := Release{Part: int(x.part), Tag: x.tag, S: x.s, Out: Outcome{V: x.s.V, ST: x.s.ST}}
			switch first := cs.find(r.Part, t); {
			case x.pass:
				r.Out = h.parts[r.Part].told(x.s, r.Out)
			case first != x:
				r.Out.V, r.Out.ST = cs.at(r.Part, x.s)
			default:
				*x = h.letGo(r.Part, x.s)
				r.Out.V, r.Out.ST = x.out, h.start(x.s.ST)
			}
			x.gone = true
			out = append(out, r)
		}
	}
	cs.drop(0)
	return out
}

// nothing: of the histogram as a whole nothing is remembered that a healthy one has not.
func (cs *histCase) nothing() bool {
	b := &cs.history
	return !cs.watch && !cs.folded && !cs.words.any() && len(cs.debts) == 0 && cs.fold.age != 1 &&
		b.resets == 0 && b.losses == 0 && b.returns == 0 && b.seen == 0
}

// plain: nor is anything of its parts, of which none has a sample in the queue.
func (h *Histogram) plain() bool {
	for i := range h.parts {
		hp, p := &h.cs.parts[i], &h.parts[i]
		if h.lags(p) || hp.off != 0 || len(hp.epochs) > 0 || hp.out != p.c.Raw || p.c.kin.flags&partAnew != 0 {
			return false
		}
	}
	return true
}

// lags: a part is to come for what was judged already, which is to be remembered therefore.
func (h *Histogram) lags(p *part) bool {
	return p.c.Seen() && p.c.T < h.newest && p.c.kin.flags&partAbsent == 0
}

// judge decides about timestamp t and lets its group out. f is its frame if nothing about it is
// suspicious: then it is only held down to what had gone out; nil if it is still to be looked at.
func (h *Histogram) judge(p Policy, t int64, f *frame, group []queued, out []Release) []Release {
	told := h.heed(p, t)
	calm := f != nil && h.calmFrame(f)
	if f == nil {
		f = h.frame(t)
	}
	e := &histJudge{h: h, cs: h.cs, f: f, whole: whole[[]histOwed]{book: &h.cs.book, p: p, takenOver: t == h.turn}}
	e.body = e
	e.noteOffsets()
	if e.change.calm = calm; !calm {
		e.run()
	}
	e.commit()
	at := len(out)
	for k := range group {
		x := &group[k]
		r := Release{Part: int(x.part), Tag: x.tag, S: x.s, Out: Outcome{V: x.s.V, ST: x.s.ST}, Gone: x.gone}
		switch s := &e.f.seats[x.part]; {
		case x.pass:
			out = h.skipped(group[k:k+1], out)
			continue
		case x.gone:
		case s.gone || !s.has:
			r.Out = h.again(r.Part, x.s, r.Out) // the same sample had gone out before
		default:
			r.Out.V, r.Out.ST = h.cs.parts[x.part].out, h.start(x.s.ST)
			if e.zeros != nil {
				r.Out.Marked, r.Out.MarkT = e.zeros[x.part].set, e.zeros[x.part].at
			}
		}
		out = append(out, r)
	}
	e.attribute(told, out[at:])
	// What has gone out comes back only where it carries what was found.
	kept := out[:at]
	for _, r := range out[at:] {
		if !r.Gone || len(r.Out.Corrections) > 0 {
			kept = append(kept, r)
		}
	}
	return kept
}

// attribute gives what was told and what was found to the samples that are most telling.
func (e *histJudge) attribute(told []Correction, out []Release) {
	countable := func(r *Release) bool { return !r.Out.Drop && e.h.countable(&e.h.parts[r.Part], r.S.V) }
	for _, gone := range []bool{false, true} {
		for k := range out {
			if r := &out[k]; len(told) > 0 && r.Gone == gone && countable(r) {
				r.Out.Corrections, told = told, nil
			}
		}
	}
	if len(e.log) == 0 {
		return
	}
	i := e.telling()
	for k := range out {
		if r := &out[k]; r.Part == i && countable(r) {
			r.Out.Corrections = append(r.Out.Corrections, e.corrections(i)...)
			return
		}
	}
}

// telling is the part that the verdict is attributed to: one that was held, if any was.
func (e *histJudge) telling() int {
	f, best, most, alone := e.f, -1, 0.0, slices.ContainsFunc(e.f.seats, func(s seat) bool { return s.has && !s.gone })
	total := f.total()
	if total >= 0 && f.seats[total].held.T == f.t && f.seats[total].cur < f.seats[total].prev {
		return total
	}
	for i := range f.seats {
		s := &f.seats[i]
		if !s.has || s.gone && alone {
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
		c.Amount = hp.off - e.base[i]
		c.FalseIncrease = s.cur - s.prev
		if s.cur < s.prev {
			c.FalseIncrease = s.cur
		}
		if s.fresh {
			c.FalseIncrease, c.Prev, c.PrevT = 0, 0, e.f.t
			continue
		}
		c.FalseIncrease -= hp.tgt - s.due - (e.base[i] - e.before[i])
	}
	return e.log
}
