package correct

import "math"

// steps reports whether all that keeps s from going out is that its part leaves another one behind.
func (h *Histogram) steps(p *part, s Sample) bool {
	return h.cs == nil && h.ordinary(p, s) && h.leaves(p, s.T)
}

// open begins rows with what went out for timestamps from t on, so that all parts stand where they
// were before. If that is anything but ordinary next samples, nothing has changed; if they are not in order, a histCase has them.
func (h *Histogram) open(t int64) bool {
	const never = partAnew | partVirtual | partZeroed | partUnreal
	some := false
	for i := range h.parts {
		p := &h.parts[i]
		if !p.c.Seen() || p.c.T < t {
			continue
		}
		some = true
		if p.c.T == noTime || p.c.kin.flags&partPending == 0 || p.c.lastMS == math.MaxUint32 || p.c.lastMS == 0 ||
			p.c.kin.flags&never != 0 || p.c.flags&(flagAway|flagOdd) != 0 {
			return false
		}
	}
	if !some && h.young == 0 {
		return false
	}
	a := h.ahead
	if a == nil {
		a = h.in.lend()
		h.ahead = a
	}
	a.seat(h)
	for from := t; ; {
		next := int64(noTime)
		for i := range h.parts {
			if c := &h.parts[i].c; c.Seen() && c.T >= from {
				next = min(next, c.T)
			}
		}
		if next == noTime {
			break
		}
		if a.rows == aheadRows {
			a.rows = 0
			return false
		}
		a.push(h.in, next)
		from = next + 1
	}
	for i := range h.parts {
		p := &h.parts[i]
		if !p.c.Seen() || p.c.T < t {
			continue
		}
		k := 0
		for a.t[a.at(k)] != p.c.T {
			k++
		}
		a.put(i, k, p.c.Raw)
		p.rewind()
	}
	a.judged = h.recount()
	h.aheadBase()
	if !h.orderly() {
		h.newCase()
	}
	return true
}

// reseat makes room in the rows for a part that is new.
func (h *Histogram) reseat() {
	a, old := h.ahead, *h.ahead
	a.seats, a.t, a.v, a.room = nil, nil, nil, rowBlock{}
	a.seat(h)
	for k := range int(old.rows) {
		a.push(h.in, old.t[old.at(k)])
		for i := range old.seats {
			if v := old.row(k)[old.seats[i].rank]; v == v {
				a.put(i, k, v)
			}
		}
	}
	h.in.rows.give(old.room, h.in.Unused)
	a.judged = old.judged
	h.aheadBase()
}

// joins takes the first sample of a part that comes for the timestamp that was judged last, if it is in its place.
func (h *Histogram) joins(i int, s Sample) bool {
	a, p := h.ahead, &h.parts[i]
	if s.T != a.judged || !h.countable(p, s.V) || p.c.kin.flags&partAnew != 0 || h.moved(s) {
		return false
	}
	row, rank, last := a.row(-1), int(a.seats[i].rank), a.lastRank(h)
	if p.c.kin.role != RoleSum {
		for at := rank - 1; at >= 0; at-- {
			if row[at] > s.V {
				return false
			}
		}
		for at := rank + 1; at <= last; at++ {
			if row[at] < s.V {
				return false
			}
		}
	}
	p.begin(s)
	h.came(i, s.T)
	row[rank] = s.V
	a.behind++
	return true
}

// put notes that part i has come for row k.
func (a *ahead) put(i, k int, v float64) {
	a.row(k)[a.seats[i].rank] = v
	a.seats[i].next = uint16(k) + 1
	a.cells++
}

// orderly: every sample in the rows is in order with the part's before and its neighbours.
func (h *Histogram) orderly() bool {
	a := h.ahead
	for i := range h.parts {
		p := &h.parts[i]
		for k := range int(a.seats[i].next) {
			v := a.row(k)[a.seats[i].rank]
			if v != v {
				continue
			}
			s := Sample{T: a.t[a.at(k)], V: v, ST: p.c.ST}
			t, was := h.aheadBefore(i, k)
			if s.T <= t || s.T <= a.judged || v < was && !h.maySink(p, was) || p.c.kin.role != RoleSum && !h.keepsPlace(i, k, s, t, was) {
				return false
			}
		}
	}
	return true
}

// takeTurns is Decide where nothing is to be judged.
func (h *Histogram) takeTurns() {
	a := h.ahead
	for first := true; a.rows > 0; first = false {
		if !h.Complete() {
			if !first {
				return
			}
			h.goWithout(a.t[a.at(0)])
		}
		h.takeRow()
	}
	for i := range h.parts {
		if h.lags(&h.parts[i]) {
			h.newCase().judged = a.judged
			return
		}
	}
}

// takeRow moves the parts on to the first row, all of whose samples have gone out as they came.
func (h *Histogram) takeRow() {
	a := h.ahead
	t, row := a.t[a.at(0)], a.row(0)
	a.head = uint32(a.at(0))
	a.rows--
	a.judged, a.behind = t, 0
	for i := range h.parts {
		p, seat := &h.parts[i], &a.seats[i]
		if v := row[seat.rank]; v == v {
			p.advance(Sample{T: t, V: v, ST: p.c.ST})
			h.came(i, t)
			a.cells--
		}
		if seat.next > 0 {
			seat.next--
		}
		if seat.next == 0 && p.c.flags&flagSeen != 0 && p.c.kin.flags&partAbsent == 0 {
			a.behind++
		}
	}
}

// spill puts what runs ahead into the queue of a new histCase.
func (h *Histogram) spill() {
	a, cs := h.ahead, h.cs
	cs.judged = a.judged
	for k := range int(a.rows) {
		t, row := a.t[a.at(k)], a.row(k)
		for i := range h.parts {
			if v := row[a.seats[i].rank]; v == v {
				cs.queue = append(cs.queue, queued{part: uint16(i), gone: true, s: Sample{T: t, V: v, ST: h.parts[i].c.ST}, out: v})
				cs.parts[i].out = v
			}
		}
	}
	a.rows = 0
	cs.drop(0)
}

// compact makes rows of a queue that holds nothing but what rows hold.
func (h *Histogram) compact() {
	cs := h.cs
	if !cs.compacts(h) {
		return
	}
	a := h.ahead
	if a == nil {
		a = h.in.lend()
		h.ahead = a
	}
	a.seat(h)
	for k := range cs.queue {
		x := &cs.queue[k]
		if last := int(a.rows) - 1; last < 0 || a.t[a.at(last)] != x.s.T {
			a.push(h.in, x.s.T)
		}
		a.put(int(x.part), int(a.rows)-1, x.s.V)
	}
	a.judged = cs.judged
	h.aheadBase()
	if !h.orderly() {
		a.rows = 0
		return
	}
	h.cs = nil
}

// compacts: all that is queued went out as it came, as the next samples of known parts, and of no part two for a timestamp.
func (cs *histCase) compacts(h *Histogram) bool {
	rows, t := 0, int64(math.MinInt64)
	for k := range cs.queue {
		x, c := &cs.queue[k], &h.parts[cs.queue[k].part].c
		if !x.gone || x.pass || x.anew || x.out != x.s.V || x.s.ST != c.ST || !c.Seen() || x.s.T <= cs.judged {
			return false
		}
		if x.s.T != t {
			rows, t = rows+1, x.s.T
		}
		if cs.find(int(x.part), t) != x {
			return false
		}
	}
	for i := range h.parts {
		hp, p := &cs.parts[i], &h.parts[i]
		out := p.c.Raw
		if x := cs.ahead(i); x != nil {
			out = x.out
		}
		if hp.off != 0 || len(hp.epochs) > 0 || hp.out != out || p.c.kin.flags&(partAnew|partVirtual) != 0 || p.c.Seen() && p.c.T > cs.judged {
			return false
		}
	}
	return rows <= aheadRows/2
}
