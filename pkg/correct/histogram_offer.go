package correct

import "math"

// noTime is later than every timestamp.
const noTime = math.MaxInt64

// histCase is what only a histogram that was once suspicious remembers.
type histCase struct {
	book[[]histOwed]
	parts   []histPart // beside Histogram.parts
	words   words      // what was heard from outside
	queue   []queued   // by timestamp, then as they came
	suspect int64      // oldest timestamp of which anything is held, noTime if none
	judged  int64      // latest timestamp whose turn came: what comes for it now is late
	acted   int64      // latest timestamp at which a verdict changed or held something
	owed    int64      // up to here parts had gone out without what was decided before
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
	reach int64   // latest timestamp queued, the least of all if none

	epochs []histEpoch // oldest first; the last one is in force
}

func newHistPart(out float64) histPart {
	return histPart{out: out, tgt: math.Inf(-1), first: noTime, reach: math.MinInt64}
}

// Release is a held sample that goes out. If it has gone out before, only its
// corrections are new.
type Release struct {
	Part int
	Tag  uint64
	S    Sample
	Out  Outcome
	Gone bool
}

// newCase begins to remember more. What runs ahead goes into its queue.
func (h *Histogram) newCase() *histCase {
	cs := &histCase{suspect: noTime, judged: math.MinInt64, acted: math.MinInt64, owed: math.MinInt64, parts: make([]histPart, len(h.parts))}
	for i := range cs.parts {
		p := &h.parts[i]
		cs.parts[i] = newHistPart(p.c.Raw)
		if p.c.Seen() && cs.history.startST == 0 {
			cs.history.startST = p.c.ST
		}
	}
	h.cs = cs
	if h.running() {
		h.spill()
	}
	return cs
}

// Offer takes any sample. Either it is answered at once, or it is held: then it
// comes out of Decide, with its tag.
func (h *Histogram) Offer(i int, p Policy, s Sample, tag uint64) (out Outcome, held bool) {
	out = Outcome{V: s.V, ST: s.ST}
	pt := &h.parts[i]
	if !h.countable(pt, s.V) {
		return h.odd(i, s, tag, out)
	}
	if h.running() {
		if pt.c.Seen() && s.T <= pt.c.T {
			return h.again(i, s, out), false
		}
		h.newCase()
	}
	if cs := h.cs; cs != nil && len(cs.queue) > 0 {
		if x := cs.find(i, s.T); x != nil {
			return h.repeated(i, x, s, out), false
		}
	}
	if pt.c.Seen() && s.T <= pt.c.T {
		return h.again(i, s, out), false
	}
	switch cs := h.cs; {
	case cs == nil || len(cs.queue) == 0 && s.T > cs.judged && !cs.keeps(s.T):
		if out, ok := h.direct(i, s, out); ok {
			return out, false
		}
		if h.steps(pt, s) && h.open(h.since(s.T)) {
			if h.cs == nil && h.runs(i, s) { // the first row, where open had nothing to begin with
				return out, false
			}
			if h.cs == nil {
				h.newCase()
			}
		} else {
			h.gather(h.since(s.T))
		}
		if s.T <= h.cs.judged {
			return h.late(i, s, out), false
		}
	case s.T <= cs.judged:
		return h.late(i, s, out), false
	case len(cs.queue) == 0:
		h.gather(h.since(s.T))
	default:
		if x := cs.ahead(i); x != nil && s.T < x.s.T {
			out.V, out.ST = cs.at(i, s) // older than what went out last
			return out, false
		}
	}
	return h.enqueue(i, s, tag, out)
}

// since is from when on what came is to be judged beside a sample at time t:
// after the last timestamp for which all living parts have come.
func (h *Histogram) since(t int64) int64 {
	low := t - 1
	for i := range h.parts {
		if p := &h.parts[i]; p.c.Seen() && p.c.kin.flags&partAbsent == 0 {
			low = min(low, p.c.T)
		}
	}
	return low + 1
}

// direct takes an ordinary sample of a histogram that has no queue.
func (h *Histogram) direct(i int, s Sample, out Outcome) (Outcome, bool) {
	p := &h.parts[i]
	anew := p.c.kin.flags&partAnew != 0
	if h.leaves(p, s.T) {
		return out, false
	}
	v, ok := h.calm(i, s)
	if !ok {
		return out, false
	}
	out.V, out.ST = v, h.start(s.ST)
	if anew && v != s.V {
		out.Corrections = fromZero(s)
		out.Corrections[0].Out = v
	}
	return out, true
}

// repeated answers a sample of a timestamp that is queued. One that is held goes out once, in its own time.
func (h *Histogram) repeated(i int, first *queued, s Sample, out Outcome) Outcome {
	switch {
	case first.s.V != s.V:
		return h.parts[i].duplicate(s, first.s.V, out)
	case first.gone:
		out.V, out.ST = h.cs.at(i, s)
	default:
		out.Drop = true
	}
	return out
}

// countable: a value that the part can have.
func (h *Histogram) countable(p *part, v float64) bool {
	return v >= 0 && v <= math.MaxFloat64 || p.c.kin.role == RoleSum && v >= -math.MaxFloat64 && v < 0
}

// odd takes a value that no part has: it passes, in its place among its part's samples.
func (h *Histogram) odd(i int, s Sample, tag uint64, out Outcome) (Outcome, bool) {
	if h.running() {
		h.newCase()
	}
	p, cs := &h.parts[i], h.cs
	if cs == nil || len(cs.queue) == 0 {
		return h.pass(p, s, out), false
	}
	x := queued{part: uint16(i), pass: true, tag: tag, s: s}
	if cs.parts[i].first != noTime {
		if out.Drop = cs.has(x); !out.Drop {
			cs.insert(x)
		}
		return out, !out.Drop
	}
	if s.T <= max(cs.judged, h.last(i)) {
		return h.pass(p, s, out), false
	}
	x.gone = true
	cs.insert(x)
	return p.told(s, out), false
}

// pass lets a value through that no part has. The state stays.
func (h *Histogram) pass(p *part, s Sample, out Outcome) Outcome {
	p.skip(s)
	return p.told(s, out)
}

// skip notes that a value came that no part has.
func (p *part) skip(s Sample) {
	if !p.c.Seen() || s.T <= p.c.T {
		return
	}
	if math.Float64bits(s.V) == staleBits {
		p.c.flags |= flagAway
	} else {
		p.c.flags |= flagOdd
	}
}

// told says so. The sum of infinite observations is NaN or infinite, and right.
func (p *part) told(s Sample, out Outcome) Outcome {
	if math.Float64bits(s.V) != staleBits && p.c.kin.role != RoleSum {
		out.Corrections = []Correction{{Kind: KindInvalid, T: s.T, PrevT: p.c.T, Prev: p.c.Raw, Raw: s.V, Out: s.V}}
	}
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
	if p.c.kin.role != RoleSum && !h.fits(p, s) {
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
	v = h.onward(i, s)
	h.cs.parts[i].out = v
	h.went(i, s, false)
	return v, true
}

// onward is what goes out for an ordinary next sample of a part.
func (h *Histogram) onward(i int, s Sample) float64 {
	hp, v := &h.cs.parts[i], s.V
	if hp.off != 0 {
		v += hp.off
	}
	if v < hp.out && !(h.parts[i].c.kin.role == RoleSum && h.negative()) {
		v = hp.out
	}
	return v
}

func (h *Histogram) start(st int64) int64 {
	if h.cs != nil && h.cs.folded && st != 0 {
		return h.cs.history.startST
	}
	return st
}

// whole: timestamp t is to be judged with all its parts.
func (cs *histCase) whole(t int64) bool { return cs.watch || cs.words.before(t) }

// keeps: what comes for timestamp t waits for its turn.
func (cs *histCase) keeps(t int64) bool { return cs.whole(t) || t <= cs.owed }

// Waiting reports whether samples are held, or have run ahead of their siblings.
func (h *Histogram) Waiting() bool { return h.cs != nil && len(h.cs.queue) > 0 || h.running() }

// Complete reports whether all parts that are still alive have come for the
// oldest timestamp in the queue, or it has grown too long.
func (h *Histogram) Complete() bool {
	if h.running() {
		return h.ahead.behind == 0 && h.young == 0 || int(h.ahead.cells) > maxAhead*len(h.parts)
	}
	if !h.Waiting() {
		return false
	}
	cs := h.cs
	if len(cs.queue) > maxAhead*len(h.parts) || !cs.judgeable() {
		return true
	}
	if h.young != 0 {
		return false
	}
	t := cs.queue[0].s.T
	for i := range h.parts {
		if last := h.last(i); last < t && last != math.MinInt64 && h.parts[i].c.kin.flags&partAbsent == 0 {
			return false
		}
	}
	return true
}

// judgeable: of what is queued for the oldest timestamp, some is to be judged.
func (cs *histCase) judgeable() bool {
	for k := 0; k < len(cs.queue) && cs.queue[k].s.T == cs.queue[0].s.T; k++ {
		if !cs.queue[k].pass {
			return true
		}
	}
	return false
}
