package rewrite

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

// Memory remembers the label sets that Decode found good in 1.0 requests, so
// that the same bytes are neither parsed, checked nor hashed into a key again.
//
// A sender's series come in the same order at every scrape, though the cut into
// requests may move. So label sets are kept in pages in the order of first
// sight, and a series is held against the one that followed the last one when
// that was met: one keyed hash over its label bytes, no lock. Where another
// one comes, an index finds its place.
//
// What is remembered is not checked again, so it holds for one set of limits
// only: Decode passes over a Memory that was made for others. It is safe for
// concurrent use.
type Memory struct {
	maxLabels, maxValue int        // the limits it was made for
	most                func() int // bytes that it may take, now
	hash                blockHash

	mu      sync.RWMutex
	pages   []*page  // nil: given back
	held    int      // pages that are not nil
	slots   []uint32 // by hash, open addressing: place + 1 in the low places, some of the hash above; 0 empty
	used    int
	places  uint   // the bits of a slot that its place takes
	any     uint32 // see touch
	filling int    // the page that takes what is learned
	hand    int    // the page to be asked next whether it is still used

	sweepAt atomic.Int64 // ms, when the next pages are asked
}

// page is a stretch of label sets, side by side what else would be padded. What is below n does not change.
type page struct {
	n      atomic.Uint32
	seen   atomic.Int64 // ms, when a request last found its place in it
	hashes [pageLen]uint64
	keys   [pageLen]Key
	lens   [pageLen]uint16
}

// labelBlock is one label set: hash and length of its Label messages as they
// stand side by side in a TimeSeries, and the key they give.
type labelBlock struct {
	hash uint64
	key  Key
	len  uint16 // mostBlock at most
}

const (
	pageBits  = 10
	pageMask  = 1<<pageBits - 1
	pageLen   = 1 << pageBits // of 27 KB with its head, a size that is allocated with little waste
	pageBytes = int(unsafe.Sizeof(page{}))
	leastSlot = 1 << 8
	fewSlots  = 1 << 20 // up to 4 MB, which grow fourfold at a time

	// forgetAfter is how long a page is kept for nobody, in ms. Prometheus'
	// longest useful interval between scrapes is its lookback of 5 minutes.
	forgetAfter = 10 * 60 * 1000
	// sweepEvery and sweepPages bound how much is given back at once: a page takes 0.1 ms.
	sweepEvery, sweepPages = 1000, 4
)

// leastPlaces is room for four million label sets.
const leastPlaces = 22

// NewMemory makes a Memory for requests under these limits. most says how many bytes it may take (31 to 37 a label set) and may be
// called by anybody: where that becomes less, it takes no more until so much is given back.
func NewMemory(most func() int, under Limits) *Memory {
	under = under.bounded()
	return &Memory{
		maxLabels: under.MaxLabels, maxValue: under.MaxLabelValueBytes, most: most,
		hash: newBlockHash(), slots: make([]uint32, leastSlot), places: leastPlaces,
	}
}

// slot is what stands for a label set at a place: the rest of it, next to always, tells without
// a look at the place that this is another one. A look there is a miss of the cache.
func (m *Memory) slot(hash uint64, place uint32) uint32 {
	return uint32(hash>>32)>>m.places<<m.places | place + 1
}

// place is the place that a slot stands for.
func (m *Memory) place(slot uint32) uint32 { return slot&(1<<m.places-1) - 1 }

// differs tells whether a slot is certainly not that of a hash.
func (m *Memory) differs(slot uint32, hash uint64) bool {
	return (slot^uint32(hash>>32))>>m.places != 0
}

// Bytes is what the Memory holds on to.
func (m *Memory) Bytes() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.size()
}

func (m *Memory) size() int { return m.held*pageBytes + 4*len(m.slots) }

// find looks for label sets by their hashes. The slots are looked at first, so that the misses of the cache overlap.
func (m *Memory) find(list []sought) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	mask := uint64(len(m.slots) - 1)
	for i := range list {
		list[i].slot = m.slots[list[i].hash&mask]
	}
	for i := range list {
		s := &list[i]
		s.page, s.at = nil, 0
		if s.slot != 0 {
			s.page, s.at = m.lookup(s.hash, s.n)
		}
	}
}

// sought is a label set that is looked for.
type sought struct {
	from, n int32 // where it stands in the message, and its length in bytes
	hash    uint64
	slot    uint32
	at      uint32 // where it was found in the page
	page    *page  // nil: it is not known
}

func (m *Memory) lookup(hash uint64, n int32) (p *page, at uint32) {
	mask := uint64(len(m.slots) - 1)
	for i := hash & mask; m.slots[i] != 0; i = (i + 1) & mask {
		if m.differs(m.slots[i], hash) {
			continue
		}
		place := m.place(m.slots[i])
		p, at := m.pages[place>>pageBits], place&pageMask
		if p.hashes[at] == hash && int32(p.lens[at]) == n {
			return p, at
		}
	}
	return nil, 0
}

// learn takes in what was found good, as far as there is room.
func (m *Memory) learn(blocks []labelBlock, now int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range blocks {
		if !m.room(now) {
			return
		}
		b := &blocks[i]
		if slot, known := m.vacant(b.hash); !known {
			m.add(b, slot)
		}
	}
}

// vacant is the slot that a hash would get, if it is not known.
func (m *Memory) vacant(hash uint64) (slot uint64, known bool) {
	mask := uint64(len(m.slots) - 1)
	for slot = hash & mask; m.slots[slot] != 0; slot = (slot + 1) & mask {
		if !m.differs(m.slots[slot], hash) && m.hashAt(m.slots[slot]) == hash {
			return slot, true
		}
	}
	return slot, false
}

// hashAt is the hash of what a slot that is not empty stands for.
func (m *Memory) hashAt(slot uint32) uint64 {
	place := m.place(slot)
	return m.pages[place>>pageBits].hashes[place&pageMask]
}

// room makes room for one more label set, if there may be.
func (m *Memory) room(now int64) bool {
	if m.held == 0 || m.pages[m.filling] == nil || m.pages[m.filling].n.Load() == pageLen {
		if !m.open(now) {
			return false
		}
	}
	if (m.used+1)*4 > len(m.slots)*3 {
		room := (m.most() - m.size()) / 4 // for the new slots beside the old ones
		switch n := len(m.slots); {
		case n < fewSlots && 4*n <= room:
			m.resize(4 * n)
		case 2*n <= room:
			m.resize(2 * n)
		default:
			return false
		}
	}
	return true
}

// add puts a label set behind the last one, where there is room, and into a vacant slot.
func (m *Memory) add(b *labelBlock, slot uint64) {
	p := m.pages[m.filling]
	at := p.n.Load()
	p.hashes[at], p.keys[at], p.lens[at] = b.hash, b.key, b.len
	p.n.Store(at + 1)
	m.slots[slot] = m.slot(b.hash, uint32(m.filling)<<pageBits+at)
	m.used++
}

// open begins a page. Where all room is taken, one that nobody uses makes way; the others stay:
// were the oldest to go, more series than there is room for would drive one another out.
func (m *Memory) open(now int64) bool {
	if most := m.most(); m.size()+pageBytes > most {
		m.sweep(now, len(m.pages), 1)
		if m.size()+pageBytes > most {
			return false
		}
	}
	m.filling = -1
	for i, p := range m.pages {
		if p == nil {
			m.filling = i
			break
		}
	}
	if m.filling < 0 {
		m.filling = len(m.pages)
		m.pages = append(m.pages, nil)
		if (len(m.pages)<<pageBits)>>m.places != 0 { // the last of them would be place + 1
			m.places++
			m.resize(len(m.slots))
		}
	}
	p := new(page)
	p.seen.Store(now)
	m.pages[m.filling] = p
	m.held++
	return true
}

// sweep asks the next pages whether they are still used and gives back at most most of those that are not.
func (m *Memory) sweep(now int64, ask, most int) {
	for ; ask > 0 && most > 0 && len(m.pages) > 0; ask-- {
		m.hand = (m.hand + 1) % len(m.pages)
		if p := m.pages[m.hand]; p != nil && now-p.seen.Load() > forgetAfter {
			m.drop(m.hand)
			most--
		}
	}
}

// drop gives a page back. Whoever is reading it still may.
func (m *Memory) drop(i int) {
	p := m.pages[i]
	for at := range p.n.Load() {
		hash := p.hashes[at]
		m.remove(hash, m.slot(hash, uint32(i)<<pageBits+at))
	}
	m.pages[i] = nil
	m.held--
	if len(m.slots) > leastSlot && m.used*8 < len(m.slots) {
		m.resize(len(m.slots) / 2)
	}
}

// remove empties a slot and closes the gap behind it.
func (m *Memory) remove(hash uint64, slot uint32) {
	mask := uint64(len(m.slots) - 1)
	i := hash & mask
	for m.slots[i] != slot {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; m.slots[j] != 0; j = (j + 1) & mask {
		if home := m.hashAt(m.slots[j]) & mask; (j-home)&mask >= (j-i)&mask {
			m.slots[i] = m.slots[j]
			i = j
		}
	}
	m.slots[i] = 0
	m.used--
}

// resize makes the index anew. It goes by the pages, which are read in order; by the slots each would be a miss of the cache.
func (m *Memory) resize(n int) {
	m.slots = make([]uint32, n)
	clear(m.slots) // a page of memory that is read before it is written costs two faults
	for i, p := range m.pages {
		if p == nil {
			continue
		}
		place := uint32(i) << pageBits
		for hashes := p.hashes[:p.n.Load()]; len(hashes) > 0; {
			some := hashes[:min(touched, len(hashes))]
			m.touch(some)
			for k, hash := range some {
				m.put(hash, place+uint32(k))
			}
			hashes, place = hashes[len(some):], place+uint32(len(some))
		}
	}
}

// touched is how many slots are looked at together.
const touched = 16

// touch looks at the slots of some hashes, so that the misses of the cache overlap.
func (m *Memory) touch(hashes []uint64) {
	slots, any := m.slots, uint32(0)
	mask := uint64(len(slots) - 1)
	for _, h := range hashes {
		any |= slots[h&mask]
	}
	m.any = any // so that it is not left out
}

func (m *Memory) put(hash uint64, place uint32) {
	slots := m.slots
	mask := uint64(len(slots) - 1)
	i := hash & mask
	for slots[i] != 0 {
		i = (i + 1) & mask
	}
	slots[i] = m.slot(hash, place)
}

// maybeSweep gives some of what nobody uses back, now and then.
func (m *Memory) maybeSweep(now int64) {
	if at := m.sweepAt.Load(); now < at || !m.sweepAt.CompareAndSwap(at, now+sweepEvery) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now, sweepPages, sweepPages)
}
