package sequence

import (
	"pawl/pkg/correct"
	"pawl/pkg/rewrite"
)

// series is what is known of every series, counter or not. It holds no
// pointers, so the collector never walks the table.
type series struct {
	key     rewrite.Key
	last    uint32 // the last batch that held it, see earlier
	counter uint32 // its place among the counters + 1; 0: it has none
	seen    uint32 // journal time of its last sample, s
	gen     uint32 // the generation of rules and metadata that decided its kind
	next    int16  // how much further the place of the series is that came after it the last time; 0 too far to say
	policy  uint16 // its place among the rules' policies
	part    uint16 // which part of its histogram it is
	told    rewrite.MetricType
	flags   flags
}

// earlier is the batch that series.last stands for, which has the low half of its number, when seq is at hand. One that is 2^32
// batches back is taken for a later one, and so is none at all (0) once there were so many: whoever waits for that waits for no
// less than it must.
func earlier(last uint32, seq uint64) uint64 { return seq - uint64(uint32(seq)-last) }

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
	if id := t.before + uint32(int32(was.next)); id < t.series.n && t.series.at(id).key == k && t.series.at(id).flags&isFree == 0 {
		t.before = id
		return id, true
	}
	id, known := t.index.find(k, &t.series)
	if known {
		was.next, t.before = distance(t.before, id), id
	}
	return id, known
}

// distance is how much further one place is than another, 0 when that is more than a series remembers.
func distance(from, to uint32) int16 {
	if d := int64(to) - int64(from); d == int64(int16(d)) {
		return int16(d)
	}
	return 0
}

// met notes that a batch showed a new series at a place.
func (t *table) met(id uint32) {
	if t.before < t.series.n {
		t.series.at(t.before).next = distance(t.before, id)
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
		piece := new([pieceLen]T)
		clear(piece[:]) // a page of memory that is read before it is written costs two faults
		a.pieces = append(a.pieces, piece)
	}
	a.n++
	return a.n - 1
}

// index finds a series' place by its key: open addressing with linear
// probing. The key is a hash already: its low bits are the slot, and of its
// high bits as many stand above the place as there is room, so that a probe
// leaves the index, which is a miss of the cache, only for the series that it
// looks for and next to none of the others on its way.
type index struct {
	slots     []uint32 // place + 1, the key's high bits above it; 0 empty
	placeBits uint
	used      int
	any       uint32 // see touch
}

const leastSlots = 1 << 10

func newIndex() index { return index{slots: make([]uint32, leastSlots), placeBits: leastPlaceBits} }

// leastPlaceBits is room for as many places as the smallest index has slots. There are more only after a start with
// many places that nobody has any more.
const leastPlaceBits = 10

// of is what stands for a key at a place.
func (x *index) of(k rewrite.Key, id uint32) uint32 {
	return uint32(k.Hi>>32)>>x.placeBits<<x.placeBits | id + 1
}

// place is the place that a slot that is not empty stands for.
func (x *index) place(slot uint32) uint32 { return slot&(1<<x.placeBits-1) - 1 }

// slot is where k is, or where it would come to.
func (x *index) slot(k rewrite.Key, s *arena[series]) (i uint64, known bool) {
	mask, high := uint64(len(x.slots)-1), uint32(k.Hi>>32)
	for i = k.Lo & mask; x.slots[i] != 0; i = (i + 1) & mask {
		if (x.slots[i]^high)>>x.placeBits == 0 && s.at(x.place(x.slots[i])).key == k {
			return i, true
		}
	}
	return i, false
}

func (x *index) find(k rewrite.Key, s *arena[series]) (uint32, bool) {
	i, known := x.slot(k, s)
	return x.place(x.slots[i]), known
}

// touched is how many series' slots are looked at together.
const touched = 16

// touch looks at the slots of the first of some series, so that the misses of the cache overlap, and returns how many.
func (x *index) touch(next []rewrite.Series) int {
	next = next[:min(len(next), touched)]
	mask, any := uint64(len(x.slots)-1), uint32(0)
	for i := range next {
		any |= x.slots[next[i].Key.Lo&mask]
	}
	x.any = any // so that it is not left out
	return len(next)
}

// add takes in the series at a place, which has its key already.
func (x *index) add(k rewrite.Key, id uint32, s *arena[series]) {
	for (x.used+1)*4 > len(x.slots)*3 || (id+1)>>x.placeBits != 0 {
		x.grow(id, s)
	}
	x.put(k, id)
	x.used++
}

// fewSlots are up to 4 MB, which grow fourfold at a time: a third fewer places are filled anew on the way to a million series.
const fewSlots = 1 << 20

// grow makes two or four times as many slots, or only more places that they have room for. It takes the series in the order of their
// places: in that of the slots each would be a miss of the cache. The one that is about to be added is left out.
func (x *index) grow(adding uint32, s *arena[series]) {
	bits := uint(1)
	if (x.used+1)*4 > len(x.slots)*3 {
		if len(x.slots) < fewSlots {
			bits = 2
		}
		x.slots = make([]uint32, len(x.slots)<<bits)
	}
	clear(x.slots) // new ones too: a page of memory that is read before it is written costs two faults
	x.placeBits += bits
	for from := uint32(0); from < s.n; from += touched {
		some := s.pieces[from>>pieceBits][from&(pieceLen-1):]
		some = some[:min(touched, s.n-from)]
		x.touchSeries(some)
		for k := range some {
			if id := from + uint32(k); id != adding && some[k].flags&isFree == 0 {
				x.put(some[k].key, id)
			}
		}
	}
}

// touchSeries does what touch does for some of the table.
func (x *index) touchSeries(some []series) {
	slots, any := x.slots, uint32(0)
	mask := uint64(len(slots) - 1)
	for k := range some {
		any |= slots[some[k].key.Lo&mask]
	}
	x.any = any
}

func (x *index) put(k rewrite.Key, id uint32) {
	slots := x.slots
	mask := uint64(len(slots) - 1)
	i := k.Lo & mask
	for slots[i] != 0 {
		i = (i + 1) & mask
	}
	slots[i] = x.of(k, id)
}

// remove empties the slot of k and closes the gap behind it.
func (x *index) remove(k rewrite.Key, s *arena[series]) {
	i, known := x.slot(k, s)
	if !known {
		return
	}
	x.used--
	mask := uint64(len(x.slots) - 1)
	for j := (i + 1) & mask; x.slots[j] != 0; j = (j + 1) & mask {
		home := s.at(x.place(x.slots[j])).key.Lo & mask
		if (j-home)&mask >= (j-i)&mask {
			x.slots[i] = x.slots[j]
			i = j
		}
	}
	x.slots[i] = 0
}
