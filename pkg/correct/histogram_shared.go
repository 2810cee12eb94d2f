package correct

import "math"

// Shared is what histograms have in common, so that each needs less: the bounds of their buckets, and the memory that their parts
// and rows lie in. The zero value is ready. It is for one goroutine at a time, as its histograms are.
type Shared struct {
	// Unused, if not nil, is told of memory whose pages are not needed for the time being; what is in them may be lost.
	Unused func(pages []uint64)

	bounds bounds
	parts  partRoom
	rows   rowRoom
	spare  []*ahead // without rows
}

// spareMost is how many of those without rows are kept for the next histograms whose parts run ahead.
const spareMost = 2048

// Histogram makes h, which has no parts yet, one of those that share.
func (sh *Shared) Histogram(h *Histogram) { h.in = sh }

// Trim gives up what is kept only because it may be needed again.
func (sh *Shared) Trim() {
	sh.spare = nil
	sh.rows.trim(sh.Unused)
}

// lend gives what holds rows, with no room for any yet.
func (sh *Shared) lend() *ahead {
	last := len(sh.spare) - 1
	if last < 0 {
		return &ahead{}
	}
	a := sh.spare[last]
	sh.spare = sh.spare[:last]
	return a
}

// takeBack takes it back, and its room.
func (sh *Shared) takeBack(a *ahead) {
	sh.rows.give(a.room, sh.Unused)
	*a = ahead{}
	if len(sh.spare) < spareMost {
		sh.spare = append(sh.spare, a)
	}
}

// shared is what h shares, with nobody if it was not said.
func (h *Histogram) shared() *Shared {
	if h.in == nil {
		h.in = &Shared{}
	}
	return h.in
}

// Rest gives back room that h does not need as it is now: to be called when it was judged, or was offered a sample.
func (h *Histogram) Rest() {
	if h.ahead != nil && h.ahead.rows == 0 {
		h.in.takeBack(h.ahead)
		h.ahead = nil
	}
	// A new one may have more parts to come. Who gets one more once in a while keeps a little room for the next.
	if n := len(h.parts); h.young == 0 && cap(h.parts)-n > n/16 {
		h.resize(n)
	}
}

// Release gives back all that h has. It is not to be used any more.
func (h *Histogram) Release() {
	for i := range h.parts {
		if p := &h.parts[i]; p.c.kin.role == RoleBucket {
			h.in.bounds.drop(p.le)
		}
	}
	if h.ahead != nil {
		h.in.takeBack(h.ahead)
	}
	if h.in != nil {
		h.in.parts.give(h.parts)
	}
	*h = Histogram{}
}

// le is the upper bound of a bucket; 0 of others.
func (h *Histogram) le(p *part) float64 { return h.in.bounds.all[p.le].le }

// bounds are the upper bounds that buckets have, each once: a service has a dozen, and so have a million of its series.
type bounds struct {
	all    []bound
	places map[uint64]uint32 // by the bits of le
	free   []uint32
}

type bound struct {
	le   float64
	used uint32 // by so many buckets
}

// of is the place of a bound, which has one more user.
func (b *bounds) of(le float64) uint32 {
	bits := math.Float64bits(le)
	at, known := b.places[bits]
	if !known {
		if n := len(b.free); n > 0 {
			at, b.free = b.free[n-1], b.free[:n-1]
		} else {
			at = uint32(max(len(b.all), 1)) // 0 is that of what is no bucket
			b.all = append(b.all, make([]bound, int(at)+1-len(b.all))...)
		}
		if b.places == nil {
			b.places = map[uint64]uint32{}
		}
		b.places[bits] = at
		b.all[at] = bound{le: le}
	}
	b.all[at].used++
	return at
}

// drop takes a user away.
func (b *bounds) drop(at uint32) {
	x := &b.all[at]
	if x.used--; x.used == 0 {
		delete(b.places, math.Float64bits(x.le))
		b.free = append(b.free, at)
	}
}
