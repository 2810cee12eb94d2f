package correct

import "math"

// ahead is what has gone out of a histogram that nothing ever befell, and whose parts run ahead
// of each other: one value a sample, by timestamp. It stands for a histCase whose queue holds
// nothing else: every sample has gone out as it came, and is in order beside its neighbours. So a
// timestamp for which all parts have come needs no judgement. The first sample that is
// anything else makes a histCase of it (Histogram.newCase), and one that has become that again is made rows of (Histogram.compact).
type ahead struct {
	judged int64 // as histCase.judged
	seats  []aheadSeat
	t      []int64   // a ring of timestamps, ms
	v      []float64 // beside it, of each timestamp a row of values by rank; NaN: has not come
	head   uint32    // the timestamp that was judged last: its values spare a look at the parts
	rows   uint32    // timestamps after that whose turn has not come, 0: nothing runs ahead
	behind uint32    // living parts that have not come for the first of these or a later one
	cells  uint32    // samples in all rows
	room   rowBlock  // where seats, t and v are
}

// aheadSeat is where a part stands.
type aheadSeat struct {
	rank uint16 // its place in a row: buckets along le, the _count, the _sum
	next uint16 // how many rows it has come for or passed over
}

const (
	// aheadFirst is how many rows there is room for at first; a power of 2, as every later size is.
	aheadFirst = 4
	// aheadRows bounds them: a part that is further ahead of all others takes a queue.
	aheadRows = 128
	// youngFew and youngMost timestamps are enough to see which parts a histogram has; they fit into rows. See Expect.
	youngFew, youngMost = 3, maxAhead - 1
)

// running reports whether samples have gone out whose siblings are still behind, and nothing else is to be remembered.
func (h *Histogram) running() bool { return h.ahead != nil && h.ahead.rows > 0 }

// at is the place in the ring of row k; the one judged last is row -1.
func (a *ahead) at(k int) int { return (int(a.head) + 1 + k) & (len(a.t) - 1) }

// row are the values of row k.
func (a *ahead) row(k int) []float64 {
	n := len(a.seats)
	at := a.at(k) * n
	return a.v[at : at+n]
}

// aheadBefore is the sample of part i before row k: its time and value.
func (h *Histogram) aheadBefore(i, k int) (t int64, v float64) {
	a := h.ahead
	for k--; k >= 0; k-- {
		if v := a.row(k)[a.seats[i].rank]; v == v {
			return a.t[a.at(k)], v
		}
	}
	return h.parts[i].c.T, h.parts[i].c.Raw
}

// runs takes s, if it is an ordinary next sample of a part while some run ahead: it goes out
// untouched. Otherwise nothing has changed. It allocates only where there have never been as many rows.
func (h *Histogram) runs(i int, s Sample) bool {
	a, p := h.ahead, &h.parts[i]
	if p.c.flags&flagSeen == 0 {
		return h.joins(i, s)
	}
	seat := &a.seats[i]
	wasT, was := h.aheadBefore(i, int(seat.next))
	// NaN fails the first comparison.
	if !(s.V <= math.MaxFloat64) || s.T <= wasT || s.ST != p.c.ST {
		return false
	}
	if s.V < was && (!h.maySink(p, was) || s.V < -math.MaxFloat64) {
		return false
	}
	k := int(seat.next)
	for k < int(a.rows) && a.t[a.at(k)] < s.T {
		k++
	}
	switch {
	case k == int(a.rows):
		if k == aheadRows {
			return false
		}
		a.push(h.in, s.T)
		seat = &a.seats[i] // it may have moved
		if a.rows >= uint32(h.young) {
			h.young = 0
		}
	case a.t[a.at(k)] != s.T || p.c.kin.role != RoleSum && !h.keepsPlace(i, k, s, wasT, was):
		return false
	}
	a.row(k)[seat.rank] = s.V
	if seat.next == 0 && p.c.kin.flags&partAbsent == 0 {
		a.behind--
	}
	p.c.kin.flags &^= partAbsent
	seat.next = uint16(k) + 1
	a.cells++
	return true
}

// maySink: the value after was may be less, as that of a _sum of negative observations.
func (h *Histogram) maySink(p *part, was float64) bool {
	return p.c.kin.role == RoleSum && (was < 0 || h.negativeBuckets())
}

// keepsPlace: a bucket, or the _count above them all, keeps its place in row k between the nearest
// others that have come for it, in value and in growth. (wasT, was) is its sample before.
func (h *Histogram) keepsPlace(i, k int, s Sample, wasT int64, was float64) bool {
	a := h.ahead
	row, rank, last := a.row(k), int(a.seats[i].rank), a.lastRank(h)
	before, beforeT := a.row(k-1), a.t[a.at(k-1)]
	// order: what has come at another rank, lower (sign 1) or higher (sign -1), is in order with s.
	order := func(other int, sign float64) bool {
		v := row[other]
		if sign*(v-s.V) > 0 {
			return false
		}
		prevT, prev := beforeT, before[other]
		switch {
		case prev == prev:
		case wasT == beforeT:
			return true // it has passed that over, so the steps are not the same
		default:
			prevT, prev = h.aheadBefore(a.part(other), k)
		}
		return prevT != wasT || sign*((v-prev)-(s.V-was)) <= roundingShare*max(v, s.V)
	}
	for at := rank - 1; at >= 0; at-- {
		if row[at] == row[at] {
			if !order(at, 1) {
				return false
			}
			break
		}
	}
	for at := rank + 1; at <= last; at++ {
		if row[at] == row[at] {
			return order(at, -1)
		}
	}
	return true
}

// lastRank is that of the highest part that keeps a place among others: not the _sum.
func (a *ahead) lastRank(h *Histogram) int {
	if h.sum != 0 {
		return len(a.seats) - 2
	}
	return len(a.seats) - 1
}

// part is the part of a rank.
func (a *ahead) part(rank int) int {
	for i := range a.seats {
		if int(a.seats[i].rank) == rank {
			return i
		}
	}
	return -1
}

// push adds a row.
func (a *ahead) push(sh *Shared, t int64) {
	if int(a.rows)+1 == len(a.t) {
		a.grow(sh, 2*len(a.t))
	}
	a.t[a.at(int(a.rows))] = t
	row := a.row(int(a.rows))
	for k := range row {
		row[k] = math.NaN()
	}
	a.rows++
}

// grow makes room for n rows, the one judged last included.
func (a *ahead) grow(sh *Shared, n int) {
	was := *a
	a.lie(sh, len(was.seats), n)
	copy(a.seats, was.seats)
	for k := range int(was.rows) + 1 {
		a.t[k] = was.t[was.at(k-1)]
		copy(a.v[k*len(a.seats):], was.row(k-1))
	}
	a.head = 0
	sh.rows.give(was.room, sh.Unused)
}

// lie gives it new room for so many parts and rows. What there was before is the caller's.
func (a *ahead) lie(sh *Shared, parts, rows int) {
	a.room = sh.rows.take(rowWords(parts, rows))
	a.seats, a.t, a.v = cutRows(a.room.words, parts, rows)
}

// seat gives every part of h its place, and empties the rows.
func (a *ahead) seat(h *Histogram) {
	if n := len(h.parts); len(a.seats) != n || len(a.t) == 0 {
		h.in.rows.give(a.room, h.in.Unused)
		a.lie(h.in, n, aheadFirst)
	}
	rank := uint16(0)
	put := func(at uint16) {
		if at != 0 {
			a.seats[at-1] = aheadSeat{rank: rank}
			rank++
		}
	}
	for at := h.first; at != 0; at = h.parts[at-1].c.kin.upper {
		put(at)
	}
	put(h.count)
	put(h.sum)
	a.head, a.rows, a.behind, a.cells, a.judged = 0, 0, 0, 0, math.MinInt64
}

// aheadBase notes where the parts stand: in the row that was judged last, those that came for it.
func (h *Histogram) aheadBase() {
	a := h.ahead
	a.t[a.at(-1)] = a.judged
	row := a.row(-1)
	a.behind = 0
	for i := range h.parts {
		p, seat := &h.parts[i], &a.seats[i]
		if row[seat.rank] = math.NaN(); p.c.T == a.judged && p.c.Seen() {
			row[seat.rank] = p.c.Raw
		}
		if seat.next == 0 && p.c.Seen() && p.c.kin.flags&partAbsent == 0 {
			a.behind++
		}
	}
}
