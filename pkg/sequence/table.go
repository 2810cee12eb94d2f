package sequence

import (
	"pawl/pkg/correct"
	"pawl/pkg/rewrite"
)

// series is what is known of every series, counter or not. It holds no
// pointers, so the collector never walks the table.
type series struct {
	key     rewrite.Key
	last    uint64 // the last batch that held it; 0 none since the start
	counter uint32 // its place among the counters + 1; 0: it has none
	seen    uint32 // journal time of its last sample, s
	gen     uint32 // the generation of rules and metadata that decided its kind
	next    uint32 // the place of the series that came after it the last time
	policy  uint16 // its place among the rules' policies
	told    rewrite.MetricType
	flags   flags
	part    uint16 // which part of its histogram it is
}

type flags uint8

const (
	isCounter  flags = 1 << iota // its samples are corrected
	isTroubled                   // has an entry in table.troubles
	isFree                       // forgotten; the place is to be used again
	isGauge                      // said to be a gauge: its native histograms pass
	isPart                       // is part of a histogram: counter is the place of its group + 1
	isSign                       // no counter: says when something started, see target.go
)

// trouble is what only a counter that misbehaved has.
type trouble struct {
	rest   *correct.Case // nil when it has nothing to remember
	counts [kindSlots]uint32
}

// kindSlots is room for every correct.Kind, and some to come.
const kindSlots = 24

// table holds all series in places numbered from 0.
type table struct {
	series   arena[series]
	counters arena[correct.Counter]
	troubles map[uint32]*trouble
	index    index
	before   uint32   // the place that was found last; a batch's layout repeats from scrape to scrape
	free     []uint32 // places of forgotten series
	spare    []uint32 // places of forgotten counters
	pages    pages
	live     int
}

func newTable() *table {
	return &table{troubles: map[uint32]*trouble{}, index: newIndex()}
}

// find is the place of a series.
func (t *table) find(k rewrite.Key) (uint32, bool) {
	return t.index.find(k, &t.series)
}

// follow is find for the series of a batch in their order: the one after this
// is probably the one that came after it the last time. Places are given in
// the order of first sight, so a right guess reads memory in order, while the
// index is a miss of the cache for every series.
func (t *table) follow(k rewrite.Key) (uint32, bool) {
	if t.before >= t.series.n {
		return t.index.find(k, &t.series)
	}
	was := t.series.at(t.before)
	if id := was.next; id < t.series.n && t.series.at(id).key == k && t.series.at(id).flags&isFree == 0 {
		t.before = id
		return id, true
	}
	id, known := t.index.find(k, &t.series)
	if known {
		was.next, t.before = id, id
	}
	return id, known
}

// met notes that a batch showed a new series at a place.
func (t *table) met(id uint32) {
	if t.before < t.series.n {
		t.series.at(t.before).next = id
	}
	t.before = id
}

// vacant is the place that add gives to the next series.
func (t *table) vacant() uint32 {
	if n := len(t.free); n > 0 {
		return t.free[n-1]
	}
	return t.series.n
}

// add makes a place for a series that has none.
func (t *table) add(k rewrite.Key) uint32 {
	var id uint32
	if n := len(t.free); n > 0 {
		id, t.free = t.free[n-1], t.free[:n-1]
	} else {
		id = t.series.grow()
		t.pages.reach(id >> pageBits)
	}
	t.settle(k, id)
	return id
}

// addAt puts a series at the place that it had before the start. Places are
// filled upwards; those that are passed over are free.
func (t *table) addAt(k rewrite.Key, id uint32) {
	for t.series.n <= id {
		hole := t.series.grow()
		t.pages.reach(hole >> pageBits)
		if hole < id {
			t.series.at(hole).flags = isFree
			t.free = append(t.free, hole)
		}
	}
	t.settle(k, id)
}

func (t *table) settle(k rewrite.Key, id uint32) {
	*t.series.at(id) = series{key: k}
	t.index.add(k, id, &t.series)
	t.live++
}

// has tells whether there is a series at a place.
func (t *table) has(id uint32) bool { return id < t.series.n && t.series.at(id).flags&isFree == 0 }

// counterOf is the counter of a series, made when it has none yet.
func (t *table) counterOf(s *series) *correct.Counter {
	if s.counter == 0 {
		if n := len(t.spare); n > 0 {
			s.counter, t.spare = t.spare[n-1]+1, t.spare[:n-1]
		} else {
			s.counter = t.counters.grow() + 1
		}
	}
	return t.counters.at(s.counter - 1)
}

// forget empties the place of a series.
func (t *table) forget(id uint32) {
	s := t.series.at(id)
	t.index.remove(s.key, &t.series)
	t.freeCounter(s)
	delete(t.troubles, id)
	*s = series{flags: isFree}
	t.free = append(t.free, id)
	t.live--
}

// freeCounter gives the place of a series' counter back.
func (t *table) freeCounter(s *series) {
	if s.counter != 0 && s.flags&isPart == 0 {
		*t.counters.at(s.counter - 1) = correct.Counter{}
		t.spare = append(t.spare, s.counter-1)
	}
	s.counter = 0
}

// arena is a growing array in pieces: growing moves nothing, so there is
// neither a pause nor twice the memory.
type arena[T any] struct {
	pieces []*[pieceLen]T
	n      uint32
}

const (
	pieceBits = 12
	pieceLen  = 1 << pieceBits
)

func (a *arena[T]) at(i uint32) *T { return &a.pieces[i>>pieceBits][i&(pieceLen-1)] }

func (a *arena[T]) grow() uint32 {
	if int(a.n>>pieceBits) == len(a.pieces) {
		a.pieces = append(a.pieces, new([pieceLen]T))
	}
	a.n++
	return a.n - 1
}

// index finds a series' place by its key: open addressing with linear
// probing. The key is a hash already: its low bits are the slot, and some of
// its high bits stand in the slot, so that a probe leaves the slots only for
// the series that it looks for.
type index struct {
	slots []slot // place + 1; 0 empty
	used  int
}

// slot is the key's tag above the place + 1, 0 when empty.
type slot uint64

func slotOf(k rewrite.Key, id uint32) slot { return slot(k.Hi&^(1<<32-1)) | slot(id+1) }

func (s slot) place() uint32           { return uint32(s) - 1 }
func (s slot) fits(k rewrite.Key) bool { return uint64(s)>>32 == k.Hi>>32 }

func newIndex() index { return index{slots: make([]slot, 1<<10)} }

func (x *index) find(k rewrite.Key, s *arena[series]) (uint32, bool) {
	mask := uint64(len(x.slots) - 1)
	for i := k.Lo & mask; ; i = (i + 1) & mask {
		p := x.slots[i]
		if p == 0 {
			return 0, false
		}
		if p.fits(k) && s.at(p.place()).key == k {
			return p.place(), true
		}
	}
}

func (x *index) add(k rewrite.Key, id uint32, s *arena[series]) {
	if (x.used+1)*4 > len(x.slots)*3 {
		old := x.slots
		x.slots = make([]slot, 2*len(old))
		for _, p := range old {
			if p != 0 {
				x.put(s.at(p.place()).key, p)
			}
		}
	}
	x.put(k, slotOf(k, id))
	x.used++
}

func (x *index) put(k rewrite.Key, p slot) {
	mask := uint64(len(x.slots) - 1)
	i := k.Lo & mask
	for x.slots[i] != 0 {
		i = (i + 1) & mask
	}
	x.slots[i] = p
}

// remove empties the slot of k and closes the gap behind it.
func (x *index) remove(k rewrite.Key, s *arena[series]) {
	mask := uint64(len(x.slots) - 1)
	i := k.Lo & mask
	for {
		p := x.slots[i]
		if p == 0 {
			return
		}
		if p.fits(k) && s.at(p.place()).key == k {
			break
		}
		i = (i + 1) & mask
	}
	x.used--
	for j := (i + 1) & mask; x.slots[j] != 0; j = (j + 1) & mask {
		home := s.at(x.slots[j].place()).key.Lo & mask
		if (j-home)&mask >= (j-i)&mask {
			x.slots[i] = x.slots[j]
			i = j
		}
	}
	x.slots[i] = 0
}
