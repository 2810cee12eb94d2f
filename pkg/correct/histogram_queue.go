package correct

import (
	"math"
	"slices"
	"sort"
)

// Samples of a histogram wait in its queue, by timestamp, until that timestamp's turn comes:
// those that are held, and those that have gone out but whose siblings are still behind. The
// parts themselves stand where all of them were last, so each timestamp is judged by the
// true steps of all its parts, in whatever order they came. A healthy histogram whose parts come
// within a scrape of each other has no queue.

// queued is a sample whose timestamp's turn has not come.
type queued struct {
	part uint16
	pass bool // no value that the part can have: it keeps its place
	gone bool // it has gone out
	anew bool // gone, as the first of a part that was to begin at 0
	tag  uint64
	s    Sample
	out  float64 // what went out, if it has gone
}

// maxAhead bounds the queue: so many samples a part on average. One more, and
// the oldest timestamp is judged with what is there, as if the time to wait were over.
const maxAhead = 64

// insert puts x behind what came before for the same timestamp.
func (cs *histCase) insert(x queued) {
	at := sort.Search(len(cs.queue), func(k int) bool { return cs.queue[k].s.T > x.s.T })
	cs.queue = slices.Insert(cs.queue, at, x)
	cs.note(&cs.queue[at])
}

// note keeps what is known at once of a queued sample.
func (cs *histCase) note(x *queued) {
	hp := &cs.parts[x.part]
	hp.reach = max(hp.reach, x.s.T)
	if !x.gone && !x.pass {
		hp.first = min(hp.first, x.s.T)
		cs.suspect = min(cs.suspect, x.s.T)
	}
}

// drop takes the first n samples off the queue.
func (cs *histCase) drop(n int) {
	cs.queue = append(cs.queue[:0], cs.queue[n:]...)
	cs.suspect = noTime
	for i := range cs.parts {
		cs.parts[i].first, cs.parts[i].reach = noTime, math.MinInt64
	}
	for k := range cs.queue {
		cs.note(&cs.queue[k])
	}
}

// find is the first queued sample of a part at a timestamp.
func (cs *histCase) find(i int, t int64) *queued {
	if cs.parts[i].reach < t {
		return nil
	}
	at := sort.Search(len(cs.queue), func(k int) bool { return cs.queue[k].s.T >= t })
	for ; at < len(cs.queue) && cs.queue[at].s.T == t; at++ {
		if x := &cs.queue[at]; int(x.part) == i && !x.pass {
			return x
		}
	}
	return nil
}

// has reports whether the same value, that no part has, is held for the same part and timestamp.
func (cs *histCase) has(x queued) bool {
	at := sort.Search(len(cs.queue), func(k int) bool { return cs.queue[k].s.T >= x.s.T })
	for ; at < len(cs.queue) && cs.queue[at].s.T == x.s.T; at++ {
		y := &cs.queue[at]
		if y.part == x.part && y.pass && !y.gone && math.Float64bits(y.s.V) == math.Float64bits(x.s.V) {
			return true
		}
	}
	return false
}

// prior is the last queued sample of a part before time t.
func (cs *histCase) prior(i int, t int64) *queued {
	if cs.parts[i].reach == math.MinInt64 {
		return nil
	}
	k := sort.Search(len(cs.queue), func(k int) bool { return cs.queue[k].s.T >= t })
	for k--; k >= 0; k-- {
		if x := &cs.queue[k]; int(x.part) == i && !x.pass {
			return x
		}
	}
	return nil
}

// ahead is the last queued sample of a part that has gone out.
func (cs *histCase) ahead(i int) *queued {
	if cs.parts[i].reach == math.MinInt64 {
		return nil
	}
	for k := len(cs.queue) - 1; k >= 0; k-- {
		if x := &cs.queue[k]; int(x.part) == i && !x.pass && x.gone {
			return x
		}
	}
	return nil
}

// last is the newest timestamp that a part has come for.
func (h *Histogram) last(i int) int64 {
	t := int64(math.MinInt64)
	if c := &h.parts[i].c; c.Seen() {
		t = c.T
	}
	if h.cs != nil {
		t = max(t, h.cs.parts[i].reach)
	}
	if h.running() && h.ahead.seats[i].next > 0 {
		t = h.ahead.t[h.ahead.at(int(h.ahead.seats[i].next)-1)]
	}
	return t
}

// before is the sample of a part before time t, queued or not; ok is false if there is none.
func (h *Histogram) before(i int, t int64) (s Sample, ok bool) {
	if x := h.cs.prior(i, t); x != nil {
		return x.s, true
	}
	c := &h.parts[i].c
	return Sample{T: c.T, V: c.Raw, ST: c.ST}, c.Seen()
}

// sent is what went out for a part at time t, if that is known.
func (h *Histogram) sent(i int, t int64) (float64, bool) {
	cs := h.cs
	if x := cs.find(i, t); x != nil && x.gone {
		return x.out, true
	}
	c := &h.parts[i].c
	return cs.parts[i].out, c.Seen() && c.T == t && cs.ahead(i) == nil
}

// gather takes what went out for timestamps from t on back into the queue, so
// that all parts stand where they were before.
func (h *Histogram) gather(t int64) {
	cs := h.cs
	if cs == nil {
		cs = h.newCase()
	}
	for i := range h.parts {
		p := &h.parts[i]
		if !p.c.Seen() || p.c.T < t {
			continue
		}
		x := queued{part: uint16(i), gone: true, anew: p.c.kin.flags&partZeroed != 0, s: Sample{T: p.c.T, V: p.c.Raw, ST: p.c.ST}, out: cs.parts[i].out}
		if p.c.T <= cs.judged {
			continue
		}
		odd := p.c.flags & (flagAway | flagOdd)
		if !p.rewind() {
			continue
		}
		cs.insert(x)
		if odd != 0 {
			// A value that no part has came after it: when, is not known, but no sample came in between.
			y := queued{part: uint16(i), pass: true, gone: true, s: Sample{T: x.s.T + 1, V: -1}}
			if odd&flagAway != 0 {
				y.s.V = math.Float64frombits(staleBits)
			}
			cs.insert(y)
		}
	}
	cs.judged = max(cs.judged, h.recount())
}

// recount finds out anew for which timestamp how many parts have come, and gives the latest for which any has.
func (h *Histogram) recount() int64 {
	latest := int64(math.MinInt64)
	h.newest, h.high, h.have = 0, 0, 0
	for i := range h.parts {
		if p := &h.parts[i]; p.c.Seen() {
			absent := p.c.kin.flags & partAbsent
			h.came(i, p.c.T)
			p.c.kin.flags |= absent
			latest = max(latest, p.c.T)
		}
	}
	return latest
}

// enqueue takes a sample that is newer than what came of its part before, while there is a
// queue. It goes out at once if nothing before it or about it is suspicious.
func (h *Histogram) enqueue(i int, s Sample, tag uint64, out Outcome) (_ Outcome, held bool) {
	cs, p := h.cs, &h.parts[i]
	p.c.kin.flags &^= partAbsent
	if s.T >= cs.suspect || cs.keeps(s.T) || !h.easy(i, s) {
		cs.insert(queued{part: uint16(i), tag: tag, s: s})
		h.grown()
		return out, true
	}
	x := h.letGo(i, s)
	cs.insert(x)
	h.grown()
	out.V, out.ST = x.out, h.start(s.ST)
	if x.anew && x.out != s.V {
		out.Corrections = fromZero(s)
		out.Corrections[0].Out = x.out
	}
	return out, false
}

// grown ends the wait for parts that nobody knows of, once there are as many timestamps as are enough to see them all.
func (h *Histogram) grown() {
	if h.young == 0 {
		return
	}
	q, n := h.cs.queue, 0
	for k := 0; k < len(q); n++ {
		t := q[k].s.T
		k += sort.Search(len(q)-k, func(j int) bool { return q[k+j].s.T > t })
	}
	if n >= int(h.young) {
		h.young = 0
	}
}

// letGo lets a sample out whose timestamp's turn has not come.
func (h *Histogram) letGo(i int, s Sample) queued {
	hp, p := &h.cs.parts[i], &h.parts[i]
	x := queued{part: uint16(i), gone: true, s: s}
	if _, seen := h.before(i, s.T); !seen {
		x.anew = p.c.kin.flags&partAnew != 0
		x.out = h.place(i, s)
	} else {
		x.out = h.onward(i, s)
	}
	hp.out = x.out
	h.went(i, s, false)
	return x
}

// easy reports whether a sample is, for all that is queued, an ordinary next
// one: its part grew or stood, and keeps its place between its neighbours, in value and in growth.
func (h *Histogram) easy(i int, s Sample) bool {
	p := &h.parts[i]
	was, seen := h.before(i, s.T)
	if !seen {
		if h.moved(s) {
			return false
		}
	} else if s.ST != was.ST || s.V < was.V && !(p.c.kin.role == RoleSum && h.negative()) {
		return false
	}
	if p.c.kin.role == RoleSum {
		return true
	}
	at := h.under(p)
	for ; at != 0; at = h.parts[at-1].c.kin.lower {
		if x := h.cs.find(int(at)-1, s.T); x != nil {
			if h.crosses(x, s, was, seen, 1) {
				return false
			}
			break
		}
	}
	if p.c.kin.role == RoleCount {
		return true
	}
	for at = p.c.kin.upper; at != 0; at = h.parts[at-1].c.kin.upper {
		if x := h.cs.find(int(at)-1, s.T); x != nil {
			return !h.crosses(x, s, was, seen, -1)
		}
	}
	if h.count != 0 {
		if x := h.cs.find(int(h.count)-1, s.T); x != nil {
			return !h.crosses(x, s, was, seen, -1)
		}
	}
	return true
}

// crosses is part.outgrows for a queued x beside s; was is what was before s, if seen.
func (h *Histogram) crosses(x *queued, s, was Sample, seen bool, sign float64) bool {
	if sign*(x.s.V-s.V) > 0 {
		return true
	}
	prev, ok := h.before(int(x.part), s.T)
	return seen && ok && prev.T == was.T && sign*((x.s.V-prev.V)-(s.V-was.V)) > roundingShare*max(x.s.V, s.V)
}
