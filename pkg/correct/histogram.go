package correct

import (
	"math"
)

// Histogram is what is remembered of one classic histogram, or of a summary's
// _count and _sum, whose parts are judged as one. The zero value is ready.
//
//   - A part is asked for by Part, once, and named by its index from then on.
//   - Healthy is asked first: a part that grew, in order, of a histogram that
//     nothing ever befell goes out untouched, in whatever order and batch the
//     parts come. Only what it refuses is for Offer.
//   - Only a suspicious histogram waits: a part fell or grew less than a lower
//     bucket did, a start timestamp moved, or a drop of the last few samples may
//     still be revised. Then Offer holds samples until Decide gives them back,
//     to be called when Complete, or when the caller has waited long enough.
//   - Buckets are judged and corrected as densities (what one bucket holds
//     above the next lower one), so that neither the corrected buckets nor their
//     increase between two timestamps ever decrease along le.
//   - A part that had gone out before a sibling gave a reset or a loss away gets
//     its offset from its next sample on; what is decided later at the same
//     timestamps is held down until then, so that increases stay in order.
//   - A part that runs ahead of the others by more than one timestamp goes out, and is
//     remembered (histogram_queue.go), so that every timestamp is judged as if all had come together.
type Histogram struct {
	parts []part  // in Shared.parts
	in    *Shared // nil until it has parts
	first uint16  // the lowest bucket; here and below an index plus 1, 0 none
	inf   uint16  // +Inf
	count uint16
	sum   uint16
	cs    *histCase // nil until something was suspicious
	ahead *ahead    // what has gone out ahead of siblings, without a cs; nil or empty: nothing has

	newest int64  // timestamp of the newest bucket or _count
	high   uint16 // the highest bucket that has come for it, or some bucket below that
	have   uint16 // how many parts have come for it
	young  uint8  // the timestamps that it comes for until its parts are all known, see Expect; 0: they are
	turn   int64  // at which another replica took over, 0 none; the caller's to keep
}

// Role is what a series is to its histogram.
type Role uint8

const (
	RoleBucket Role = iota
	RoleCount
	RoleSum
)

// part is one series of a histogram.
type part struct {
	c       Counter // its last step is learned only when the next one is taken, if then
	older   float64 // value before c.before: siblings may come one sample late
	olderMS uint32  // length of the step from older, ms
	le      uint32  // of a bucket, its place in Shared.bounds
}

const (
	partPending   = 1 << iota // the last step has still to be learned
	partAway                  // a stale marker came before the last sample
	partVirtual               // c.Raw is not what came last: the part missed a full reset
	partAnew                  // not seen yet, and its state was lost: it is to begin at 0
	partAbsent                // its siblings went on without it: nobody waits for it until it has caught up
	partZeroed                // its last sample is its first, and began at 0
	partUnreal                // it was partVirtual before its last sample
	partFlags     = partPending | partAway | partVirtual | partAnew | partAbsent | partZeroed | partUnreal
	maxParts      = math.MaxUint16 - 1
	roundingShare = 1.0 / (1 << 50) // of a value: what increases may differ by from rounding alone
)

// Part is the index of the part with this role and, for a bucket, upper bound;
// it is added if it is not known. le compares as a number. It is -1 when there
// can be no such part: le is NaN, or there are too many.
func (h *Histogram) Part(role Role, le float64) int {
	known := len(h.parts)
	i := h.seek(role, le)
	if len(h.parts) > known && h.running() {
		h.reseat()
	}
	return i
}

// Room makes room for n parts at once, where so many are foreseen.
func (h *Histogram) Room(n int) {
	if n > cap(h.parts) && n <= maxParts {
		h.resize(n)
	}
}

// seek finds a part, or adds it.
func (h *Histogram) seek(role Role, le float64) int {
	switch role {
	case RoleCount, RoleSum:
		at := &h.count
		if role == RoleSum {
			at = &h.sum
		}
		if *at == 0 {
			*at = h.add(part{c: Counter{kin: kin{role: role}}})
		}
		return int(*at) - 1
	}
	if le != le {
		return -1
	}
	lower, at := uint16(0), h.first
	if n := len(h.parts); n > 0 && h.parts[n-1].c.kin.role == RoleBucket && h.le(&h.parts[n-1]) < le {
		lower, at = uint16(n), h.parts[n-1].c.kin.upper // they mostly come in order
	}
	for ; at != 0; at = h.parts[at-1].c.kin.upper {
		if other := h.le(&h.parts[at-1]); other == le {
			return int(at) - 1
		} else if other > le {
			break
		}
		lower = at
	}
	return h.insert(lower, le)
}

// insert adds a bucket above lower.
func (h *Histogram) insert(lower uint16, le float64) int {
	upper := h.first
	if lower != 0 {
		upper = h.parts[lower-1].c.kin.upper
	}
	if len(h.parts) >= maxParts {
		return -1
	}
	at := h.add(part{c: Counter{kin: kin{role: RoleBucket, lower: lower, upper: upper}}, le: h.shared().bounds.of(le)})
	if lower == 0 {
		h.first = at
	} else {
		h.parts[lower-1].c.kin.upper = at
	}
	if upper != 0 {
		h.parts[upper-1].c.kin.lower = at
	}
	if math.IsInf(le, 1) {
		h.inf = at
	}
	return int(at) - 1
}

func (h *Histogram) add(p part) uint16 {
	if len(h.parts) >= maxParts {
		return 0
	}
	if n := len(h.parts); n == cap(h.parts) {
		h.resize(min(h.roomFor(n), maxParts))
	}
	h.parts = append(h.parts, p)
	if h.cs != nil {
		h.cs.parts = append(h.cs.parts, newHistPart(0))
	}
	return uint16(len(h.parts))
}

// leastRoom is how many parts there is room for at least, while more may come: a summary's.
const leastRoom = 2

// roomFor is how many parts there is to be room for when there are n and one more comes: of a new histogram, many more.
func (h *Histogram) roomFor(n int) int {
	if h.young != 0 || n < leastParts {
		return max(2*n, leastRoom)
	}
	return n + n/16 + 1
}

// Healthy reports whether s is an ordinary next sample of a part of a
// histogram that nothing ever befell. Then it goes out untouched and has been
// taken in; otherwise nothing has changed and Offer decides. It does not allocate, but for
// room where parts run further ahead than ever. A histogram that was Waiting may be Complete then.
func (h *Histogram) Healthy(i int, s Sample) bool {
	if h.cs != nil {
		return false
	}
	if h.running() {
		return h.runs(i, s)
	}
	p := &h.parts[i]
	if !h.ordinary(p, s) || p.c.kin.role != RoleSum && !h.fits(p, s) || h.leaves(p, s.T) {
		return false
	}
	p.advance(s)
	h.came(i, s.T)
	return true
}

// leaves reports whether a part that goes on to timestamp t leaves one behind
// that has not come for the timestamp before, and may still.
func (h *Histogram) leaves(p *part, t int64) bool {
	if h.young != 0 && p.c.flags&flagSeen != 0 {
		return true
	}
	if t < h.newest {
		return p.c.flags&flagSeen != 0 && p.c.kin.flags&partAbsent == 0 // another one skipped t
	}
	if t == h.newest {
		return false
	}
	from := max(h.newest, p.c.T)
	if h.sum != 0 {
		// The _sum, which newest does not follow.
		if q := &h.parts[h.sum-1].c; q.flags&flagSeen != 0 && q.T < t {
			from = max(from, q.T)
		}
	}
	if int(h.have) == len(h.parts) && from <= h.newest {
		return false
	}
	for j := range h.parts {
		if q := &h.parts[j]; q != p && q.c.flags&flagSeen != 0 && q.c.kin.flags&partAbsent == 0 && q.c.T < from {
			return true
		}
	}
	return false
}

// Expect says that the histogram is new, and that more parts of it may be on their way: what comes after
// a part's first sample waits for them as for parts that are known, until Known or for three timestamps, as
// one connection may be a request ahead of another and have one more under way; if its sender brings several in a request,
// for as many as there is room for.
func (h *Histogram) Expect(several bool) {
	n := uint8(youngFew)
	if several {
		n = youngMost
	}
	h.young = max(h.young, n)
}

// Expecting reports whether more parts may be on their way.
func (h *Histogram) Expecting() bool { return h.young != 0 }

// Known ends that.
func (h *Histogram) Known() { h.young = 0 }

// ordinary: a part that was seen before grew or stood, in order, and its start timestamp did not move.
func (h *Histogram) ordinary(p *part, s Sample) bool {
	c := &p.c
	// NaN fails the first comparison.
	if !(s.V <= math.MaxFloat64) || s.T <= c.T || s.ST != c.ST || c.flags&flagSeen == 0 {
		return false
	}
	return s.V >= c.Raw || p.c.kin.role == RoleSum && s.V >= -math.MaxFloat64 && h.negative()
}

// fits: a bucket, or the _count above them all, keeps its place between the
// nearest others that have come for the same timestamp, in value and in growth.
func (h *Histogram) fits(p *part, s Sample) bool {
	if s.T > h.newest || h.high == 0 {
		return true // it is the first
	}
	at := h.under(p)
	for ; at != 0; at = h.parts[at-1].c.kin.lower {
		if q := &h.parts[at-1]; q.c.T >= s.T {
			if q.outgrows(p, s, 1) {
				return false
			}
			break
		}
	}
	if p.c.kin.role == RoleCount {
		return true
	}
	at = 0
	if s.T < h.newest || h.le(&h.parts[h.high-1]) > h.le(p) {
		at = p.c.kin.upper
	}
	for ; at != 0; at = h.parts[at-1].c.kin.upper {
		if q := &h.parts[at-1]; q.c.T >= s.T {
			return !q.outgrows(p, s, -1)
		}
	}
	if h.count != 0 {
		if q := &h.parts[h.count-1]; q.c.T >= s.T {
			return !q.outgrows(p, s, -1)
		}
	}
	return true
}

// under is the highest bucket below a part, an index plus 1, 0 none. All are below the _count, and while +Inf has
// not come yet, the highest of those that have.
func (h *Histogram) under(p *part) uint16 {
	if p.c.kin.role != RoleCount {
		return p.c.kin.lower
	}
	if h.inf != 0 || h.first == 0 {
		return h.inf
	}
	at := h.first
	for h.parts[at-1].c.kin.upper != 0 {
		at = h.parts[at-1].c.kin.upper
	}
	return at
}

// came notes that part i has come for timestamp t.
func (h *Histogram) came(i int, t int64) {
	p := &h.parts[i]
	if t < h.newest {
		return
	}
	p.c.kin.flags &^= partAbsent
	if p.c.kin.role == RoleSum {
		if t == h.newest {
			h.have++
		}
		return
	}
	if t > h.newest || h.high == 0 {
		h.newest, h.high, h.have = t, h.first, 0
		if h.first == 0 {
			h.high = uint16(i) + 1
		}
		if h.sum != 0 {
			if q := &h.parts[h.sum-1].c; q.flags&flagSeen != 0 && q.T == t {
				h.have++
			}
		}
	}
	h.have++
	if p.c.kin.role == RoleBucket && h.le(p) > h.le(&h.parts[h.high-1]) {
		h.high = uint16(i) + 1
	}
}

// negative reports whether negative observations have been seen, so that _sum may fall and be right.
func (h *Histogram) negative() bool {
	return h.negativeBuckets() || h.sum != 0 && h.parts[h.sum-1].c.Raw < 0
}

// negativeBuckets: buckets say that negative observations have been seen.
func (h *Histogram) negativeBuckets() bool {
	if h.first == 0 {
		return false
	}
	p := &h.parts[h.first-1]
	if h.le(p) > 0 {
		return false
	}
	for p.c.kin.upper != 0 && h.le(&h.parts[p.c.kin.upper-1]) <= 0 {
		p = &h.parts[p.c.kin.upper-1]
	}
	return p.c.Raw > 0
}

// Interleaved reports whether several sources seem to answer for the histogram.
func (h *Histogram) Interleaved() bool { return h.cs != nil && h.cs.history.Interleaved() }

// Last is what is remembered of a part: its last sample, what went out for it
// (or would, if it is virtual), and the offset of the samples to come.
func (h *Histogram) Last(i int) (t int64, raw, out, offset float64, seen bool) {
	p := &h.parts[i]
	t, raw, out, seen = p.c.T, p.c.Raw, p.c.Raw, p.c.Seen()
	if h.running() {
		t, raw = h.aheadBefore(i, int(h.ahead.seats[i].next))
		return t, raw, raw, 0, seen
	}
	if h.cs != nil {
		out, offset = h.cs.parts[i].out, h.cs.parts[i].off
		if x := h.cs.ahead(i); x != nil {
			t, raw, seen = x.s.T, x.s.V, true
		}
	}
	return t, raw, out, offset, seen
}
