package correct

import (
	"math"
	"slices"
	"sort"
)

// noTime is later than every timestamp.
const noTime = math.MaxInt64

// histCase is what only a histogram that was once suspicious remembers.
type histCase struct {
	book[[]histOwed]
	parts   []histPart // beside Histogram.parts
	words   words      // what was heard from outside
	held    []histHeld // by timestamp, then as they came
	suspect int64      // oldest suspicious timestamp, noTime if none
	judged  int64      // latest timestamp that was judged
	acted   int64      // latest timestamp at which a verdict changed or held something
	watch   bool       // every timestamp is judged whole
	folded  bool       // start timestamps go out as those of the folded series
	holds   uint8      // timestamps in a row at which a density was held
}

// histPart is what a part adds to the raw value. All of it is cumulative along le.
type histPart struct {
	off   float64 // corrected minus raw, of the samples to come
	tgt   float64 // what is due for the last judged timestamp; out may have been held down below it
	out   float64 // what went out last
	first int64   // earliest timestamp held, noTime if none

	epochs []histEpoch // oldest first; the last one is in force
}

// histHeld is a sample that waits. pass: it goes out untouched, it only keeps its place.
type histHeld struct {
	part uint16
	pass bool
	tag  uint64
	s    Sample
}

// Release is a held sample that goes out.
type Release struct {
	Part int
	Tag  uint64
	S    Sample
	Out  Outcome
}

func (h *Histogram) newCase() *histCase {
	cs := &histCase{suspect: noTime, judged: math.MinInt64, acted: math.MinInt64, parts: make([]histPart, len(h.parts))}
	for i := range cs.parts {
		p := &h.parts[i]
		cs.parts[i] = histPart{out: p.c.Raw, tgt: math.Inf(-1), first: noTime}
		if p.c.Seen() && cs.history.startST == 0 {
			cs.history.startST = p.c.ST
		}
	}
	h.cs = cs
	return cs
}

// Offer takes any sample. Either it is answered at once, or it is held: then it
// comes out of Decide, with its tag.
func (h *Histogram) Offer(i int, p Policy, s Sample, tag uint64) (out Outcome, held bool) {
	out = Outcome{V: s.V, ST: s.ST}
	pt := &h.parts[i]
	switch {
	case !h.countable(pt, s.V):
		if h.cs != nil && h.cs.parts[i].first != noTime {
			h.hold(i, s, tag, true)
			return out, true
		}
		return h.pass(pt, s, out), false
	case pt.c.Seen() && s.T <= pt.c.T:
		return h.again(i, s, out), false
	}
	if cs := h.cs; cs != nil {
		if first := cs.find(i, s.T); first != nil && first.s.V != s.V {
			return pt.duplicate(s, first.s.V, out), false
		}
		switch {
		case s.T <= cs.judged && s.T < cs.suspect:
			return h.late(i, s, out), false
		case cs.whole(s.T) || s.T >= cs.suspect:
			h.hold(i, s, tag, false)
			return out, true
		}
	}
	anew := pt.flags&partAnew != 0
	if v, ok := h.calm(i, s); ok {
		out.V, out.ST = v, h.start(s.ST)
		if anew && v != s.V {
			out.Corrections = fromZero(s)
			out.Corrections[0].Out = v
		}
		return out, false
	}
	h.hold(i, s, tag, false)
	return out, true
}

// countable: a value that the part can have.
func (h *Histogram) countable(p *part, v float64) bool {
	return v >= 0 && v <= math.MaxFloat64 || p.role == RoleSum && v >= -math.MaxFloat64 && v < 0
}

// pass lets a value through that no part has. The state stays.
func (h *Histogram) pass(p *part, s Sample, out Outcome) Outcome {
	if math.Float64bits(s.V) == staleBits || p.role == RoleSum {
		// The sum of infinite observations is NaN or infinite, and right.
		if math.Float64bits(s.V) == staleBits && p.c.Seen() && s.T > p.c.T {
			p.c.flags |= flagAway
		} else if p.c.Seen() && s.T > p.c.T {
			p.c.flags |= flagOdd
		}
		return out
	}
	if p.c.Seen() && s.T > p.c.T {
		p.c.flags |= flagOdd
	}
	out.Corrections = []Correction{{Kind: KindInvalid, T: s.T, PrevT: p.c.T, Prev: p.c.Raw, Raw: s.V, Out: s.V}}
	return out
}

func (p *part) duplicate(s Sample, first float64, out Outcome) Outcome {
	out.Drop = true
	out.Corrections = []Correction{{Kind: KindDuplicate, T: s.T, PrevT: p.c.T, Prev: p.c.Raw, Raw: s.V, Out: first}}
	return out
}

// calm takes an ordinary sample of a histogram that is not suspicious; ok is
// false when it is. It does not allocate.
func (h *Histogram) calm(i int, s Sample) (v float64, ok bool) {
	p := &h.parts[i]
	if p.role != RoleSum && !h.fits(p, s) {
		return 0, false
	}
	if !p.c.Seen() {
		return h.newcomer(i, s)
	}
	if !h.ordinary(p, s) {
		return 0, false
	}
	p.advance(s)
	h.came(i, s.T)
	if h.cs == nil {
		return s.V, true
	}
	hp := &h.cs.parts[i]
	v = s.V
	if hp.off != 0 {
		v += hp.off
	}
	if v < hp.out && !(p.role == RoleSum && h.negative()) {
		v = hp.out
	}
	hp.out = v
	h.went(i, s, false)
	return v, true
}

func (h *Histogram) start(st int64) int64 {
	if h.cs != nil && h.cs.folded && st != 0 {
		return h.cs.history.startST
	}
	return st
}

// hold keeps a sample until its timestamp is judged.
func (h *Histogram) hold(i int, s Sample, tag uint64, pass bool) {
	cs := h.cs
	if cs == nil {
		cs = h.newCase()
	}
	x := histHeld{part: uint16(i), pass: pass, tag: tag, s: s}
	at := sort.Search(len(cs.held), func(k int) bool { return cs.held[k].s.T > s.T })
	cs.held = slices.Insert(cs.held, at, x)
	if !pass {
		cs.parts[i].first = min(cs.parts[i].first, s.T)
		cs.suspect = min(cs.suspect, s.T)
	}
}

// whole: timestamp t is to be judged with all its parts.
func (cs *histCase) whole(t int64) bool { return cs.watch || cs.words.before(t) }

// find is the first held sample of a part at a timestamp.
func (cs *histCase) find(i int, t int64) *histHeld {
	if cs.parts[i].first > t {
		return nil
	}
	for k := range cs.held {
		if x := &cs.held[k]; x.s.T == t && int(x.part) == i && !x.pass {
			return x
		}
	}
	return nil
}

// Waiting reports whether samples are held.
func (h *Histogram) Waiting() bool { return h.cs != nil && len(h.cs.held) > 0 }

// Complete reports whether all parts that are still alive have come for the
// oldest timestamp held. Alive is who came at one of the last two timestamps before it.
func (h *Histogram) Complete() bool {
	if !h.Waiting() {
		return false
	}
	t := h.cs.held[0].s.T
	if !h.cs.judgeable(t) {
		return true
	}
	newest, alive := int64(math.MinInt64), int64(math.MinInt64)
	for i := range h.parts {
		if _, at, ok := h.parts[i].before(t); ok && at > newest {
			newest = at
			if _, before, ok := h.parts[i].before(at); ok {
				alive = before
			} else {
				alive = at
			}
		}
	}
	for i := range h.parts {
		if p := &h.parts[i]; p.c.Seen() && p.c.T < t && p.c.T >= alive && h.cs.parts[i].first != t {
			return false
		}
	}
	return true
}

// judgeable: of what is held for the oldest timestamp t, some is to be judged.
func (cs *histCase) judgeable(t int64) bool {
	for k := 0; k < len(cs.held) && cs.held[k].s.T == t; k++ {
		if !cs.held[k].pass {
			return true
		}
	}
	return false
}

// Retag changes the tags of all samples held.
func (h *Histogram) Retag(fn func(part int, tag uint64) uint64) {
	if h.cs == nil {
		return
	}
	for k := range h.cs.held {
		x := &h.cs.held[k]
		x.tag = fn(int(x.part), x.tag)
	}
}

// Recall takes back a sample that was answered at once, and reports whether it
// was: then it is held, and comes out of Decide. It is for a caller that finds
// a histogram suspicious while earlier parts of the same timestamp have not
// left its hands yet. Only the last sample of a part can be recalled, and only
// if the histogram waits for its timestamp.
func (h *Histogram) Recall(i int, s Sample, tag uint64) bool {
	cs, p := h.cs, &h.parts[i]
	if cs == nil || s.T < cs.suspect || p.c.T != s.T || p.c.Raw != s.V || p.flags&partPending == 0 || s.T <= cs.judged {
		return false
	}
	hp := &cs.parts[i]
	p.c.T -= int64(p.c.lastMS)
	p.c.Raw, p.c.before, p.c.lastMS = p.c.before, p.older, p.olderMS
	p.older, p.olderMS = p.c.before, 0
	p.flags &^= partPending
	if p.flags&partAway != 0 {
		p.c.flags |= flagAway
	}
	cs.recalled(i, s.T)
	hp.out, _ = cs.at(i, Sample{T: p.c.T, V: p.c.Raw})
	h.hold(i, s, tag, false)
	return true
}
