package sequence

import (
	"bytes"
	"context"
	"sync"
	"time"

	"pawl/pkg/store"
)

// draft is the checkpoint under way: what the writer knew after record seq.
//
// Two goroutines make it. The writer copies the pages that changed since the
// last draft, a few between two requests, and before a request changes a page
// that is still due it copies that page first: so every copy is as of seq,
// however long the copying takes. What it copied the checkpointer takes,
// compresses, joins with the labels and writes.
type draft struct {
	seq   uint64
	began time.Time

	// The writer's: what it has still to copy.
	dueSeries, dueGroups, dueNatives []uint32

	// Handed over when the draft begins, and unchanged from then on.
	labels   *identities
	history  []Entry
	families map[string]family
	meta     []sheet
	trim     int // so many of the oldest entries of the corrections log are to go

	// The checkpointer's word on how it went, to be read when it has ended.
	trimmed int
	busy    time.Duration // without its rests, and its waiting for the writer and for the upstream

	haste    chan struct{} // closed once it must not rest any more
	hastened bool          // the writer's: it is closed

	packing, unpacked, opened, named []byte // the checkpointer's scratch: a page

	mu     sync.Mutex
	sheets []sheet // copied, not yet taken
	spare  [][]byte
	copied bool // there are no more to come
	more   chan struct{}
}

// sheet is a page, or a key of its own, on its way to disk.
type sheet struct {
	prefix  byte
	page    uint32
	records []byte // none: the page is empty now
	packed  []byte // the page's value, instead of records
	key     []byte // set where the value is no page: it is in records, or the key is to go if there are none
	named   bool   // of series: the labels of the page changed too
}

// compare orders sheets by their keys: neighbours are compared with what the
// database holds in one walk, and tables of them are merged with few others.
func (s sheet) compare(other sheet) int {
	if c := int(s.prefix) - int(other.prefix); c != 0 {
		return c
	}
	if c := int(s.page) - int(other.page); c != 0 {
		return c
	}
	return bytes.Compare(s.key, other.key)
}

// put and delete change what is in no page: copied at once when the draft begins.
func (d *draft) put(prefix byte, key, value []byte) {
	d.meta = append(d.meta, sheet{key: append([]byte{prefix}, key...), records: value})
}

func (d *draft) delete(prefix byte, key []byte) {
	d.meta = append(d.meta, sheet{key: append([]byte{prefix}, key...)})
}

// buffer is an empty slice for the next page.
func (d *draft) buffer() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.spare); n > 0 {
		b := d.spare[n-1]
		d.spare = d.spare[:n-1]
		return b
	}
	return nil
}

// reuse takes a buffer back that buffer gave.
func (d *draft) reuse(b []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.spare) < maxSpare {
		d.spare = append(d.spare, b[:0])
	}
}

// give hands a sheet to the checkpointer.
func (d *draft) give(s sheet) {
	d.mu.Lock()
	d.sheets = append(d.sheets, s)
	d.mu.Unlock()
	d.wake()
}

// end tells the checkpointer that there are no more.
func (d *draft) end() {
	d.mu.Lock()
	d.copied = true
	d.mu.Unlock()
	d.wake()
}

func (d *draft) wake() {
	select {
	case d.more <- struct{}{}:
	default:
	}
}

// queued is how many sheets wait for the checkpointer.
func (d *draft) queued() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.sheets)
}

// take is the sheets copied since the last call; used is what that call gave,
// to be used again. It waits for some; none means that there are no more.
func (d *draft) take(ctx context.Context, used []sheet) ([]sheet, error) {
	for {
		d.mu.Lock()
		for i := range used {
			if used[i].records != nil && len(d.spare) < maxSpare {
				d.spare = append(d.spare, used[i].records[:0])
			}
		}
		used = nil
		got, copied := d.sheets, d.copied
		d.sheets = nil
		d.mu.Unlock()
		if len(got) > 0 || copied {
			return got, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-d.more:
		}
	}
}

// Copying goes on between requests, and while there are none: so many pages
// each time, 64 series or 8 histograms in each, some ten microseconds a page.
const (
	copyEvery = 2 * time.Millisecond
	copyPages = 32
	// maxQueued is how far copying on its own runs ahead of the checkpointer.
	// What requests force to be copied is not bounded by it, but compressed.
	maxQueued = 256
	// maxSpare bounds the buffers that wait to be used again, some 10 KB each: those of a full queue.
	maxSpare = maxQueued + copyPages
)

// copySome copies up to n pages that are still due, unless the checkpointer is
// behind. It tells whether all have been copied.
func (w *writer) copySome(n int) bool {
	d := w.draft
	if d == nil || d.copied {
		return true
	}
	for ; n > 0 && len(d.dueSeries) > 0; n-- {
		d.dueSeries = w.copyLast(d.dueSeries, w.table.pages.marks, w.copySeries)
	}
	for ; n > 0 && len(d.dueGroups) > 0; n-- {
		d.dueGroups = w.copyLast(d.dueGroups, w.groups.pages.marks, w.copyGroups)
	}
	for ; n > 0 && len(d.dueNatives) > 0; n-- {
		id := d.dueNatives[len(d.dueNatives)-1]
		d.dueNatives = d.dueNatives[:len(d.dueNatives)-1]
		if h := w.natives.all[id]; h != nil && h.mark == pageDue {
			w.copyNative(id, h)
			h.mark = pageClean
		}
	}
	if n > 0 {
		d.end()
	}
	return n > 0
}

// copyLast copies the last page of due if a request has not forced it already.
func (w *writer) copyLast(due []uint32, marks []pageMark, copyPage func(uint32)) []uint32 {
	page := due[len(due)-1]
	if marks[page] == pageDue {
		copyPage(page)
		marks[page] = pageClean
	}
	return due[:len(due)-1]
}

// touch notes that the series at a place is about to change, and copies its
// page for the draft under way if that was still due.
func (w *writer) touch(id uint32) {
	if page := id >> pageBits; w.table.pages.marks[page] != pageDirty {
		w.soil(&w.table.pages, page, w.copySeries)
	}
}

// touchGroup does the same for a histogram.
func (w *writer) touchGroup(gid uint32) {
	if page := gid >> groupPageBits; w.groups.pages.marks[page] != pageDirty {
		w.soil(&w.groups.pages, page, w.copyGroups)
	}
}

func (w *writer) soil(p *pages, page uint32, copyPage func(uint32)) {
	if p.marks[page] == pageDue {
		copyPage(page)
	}
	p.soil(page)
}

// touchNative does the same for a native histogram.
func (w *writer) touchNative(id uint32, n *native) {
	if n.mark == pageDirty {
		return
	}
	if n.mark == pageDue {
		w.copyNative(id, n)
	}
	n.mark = pageDirty
	w.natives.dirty = append(w.natives.dirty, id)
}

// copySeries copies a page of series.
func (w *writer) copySeries(page uint32) {
	d := w.draft
	b := d.buffer()
	for id, end := page<<pageBits, min((page+1)<<pageBits, w.table.series.n); id < end; id++ {
		s := w.table.series.at(id)
		if s.flags&isFree == 0 {
			w.paged = w.appendSeries(w.paged[:0], id, s)
			b = appendPaged(b, id%pageLen, w.paged)
		}
	}
	_, named := d.labels.pages[page]
	w.giveRecords(sheet{prefix: store.PrefixSeries, page: page, records: b, named: named})
}

// copyGroups copies a page of histograms.
func (w *writer) copyGroups(page uint32) {
	b := w.draft.buffer()
	for gid, end := page<<groupPageBits, min((page+1)<<groupPageBits, uint32(len(w.groups.all))); gid < end; gid++ {
		if g := w.groups.all[gid]; g != nil {
			w.paged = g.append(w.paged[:0])
			b = appendPaged(b, gid%(1<<groupPageBits), w.paged)
		}
	}
	w.giveRecords(sheet{prefix: store.PrefixHistogram, page: page, records: b})
}

// giveRecords hands a page to the checkpointer: compressed, where many wait for it already. It takes its time, and requests force
// more to be copied than it takes.
func (w *writer) giveRecords(s sheet) {
	d := w.draft
	if n := len(s.records); 0 < n && n <= pieceBytes && d.queued() >= w.ahead {
		s.packed, w.packing = packPage(w.packing, s.records)
		d.reuse(s.records)
		s.records = nil
	}
	d.give(s)
}

// copyNative copies one native histogram.
func (w *writer) copyNative(id uint32, n *native) {
	w.draft.give(sheet{key: placeKey(store.PrefixNative, id), records: n.append(w.draft.buffer())})
}
