package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"pawl/internal/killpoint"
)

// Draft is the next checkpoint. It goes Put, Delete and Flush, then Write, then Declare once every journal record up to its seq has
// been delivered; or Abandon at any time. It belongs to one goroutine, except that Put and Delete must have ended before Flush or
// Write begins.
type Draft struct {
	s         *State
	db        *badger.DB // held from the first flush until it is written, and to declare it
	base      Checkpoint // the good one when it was begun
	next      Checkpoint
	items     []draftItem
	bytes     int // of the items' keys and values
	state     draftState
	torn      map[string]struct{} // keys that versions which never became good have touched, and this draft has not yet
	tornBytes int64               // at most so many of a memtable putting all of them back takes
	written   int
	took      time.Duration
}

type draftState uint8

const (
	draftOpen    draftState = iota
	draftFlushed            // some of it is in the database
	draftWritten
	draftOver
)

// draftItem is a change of one key. order decides between several of one key: the last one counts.
type draftItem struct {
	key, value []byte
	order      uint32
	del        bool
	must       bool // write it even if it changes nothing: a version that never became good has touched the key
}

// Begin starts the checkpoint that will hold the effect of every journal record up to and including seq. There is one draft at a time.
//
// After a crash it must not be called before the replay has passed the journal's old end: what was sent upstream between the last good
// checkpoint and the crash must come out of the replay the same, and only the journal knows it. (What a torn checkpoint left in the
// database does no harm: Write puts every key that it touched back to where it belongs.)
func (s *State) Begin(seq uint64) *Draft {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draft != nil {
		panic("BUG: a draft was begun while another one is open")
	}
	s.lastVersion++
	s.draft = &Draft{s: s, next: Checkpoint{Version: s.lastVersion, Seq: seq}}
	return s.draft
}

// Put sets key to value. Both slices are kept and must not be changed until the draft is over. The key's first byte is one of the
// prefixes; keys up to 64 KiB, values up to 1 MiB.
func (d *Draft) Put(key, value []byte) { d.add(draftItem{key: key, value: value}) }

// Delete removes key. The slice is kept.
func (d *Draft) Delete(key []byte) { d.add(draftItem{key: key, del: true}) }

func (d *Draft) add(it draftItem) {
	if d.state >= draftWritten {
		panic("BUG: change of a draft that was written")
	}
	if len(it.key) == 0 || it.key[0] == markerKey[0] {
		panic(fmt.Sprintf("BUG: key %q is not the caller's", it.key))
	}
	it.order = uint32(len(d.items))
	d.items = append(d.items, it)
	d.bytes += len(it.key) + len(it.value)
}

// Pending is what keys and values not yet flushed take, in bytes.
func (d *Draft) Pending() int { return d.bytes }

// Flush writes what was put since the last Flush, so that a large draft need not be in memory as a whole. Its keys must not be put
// or deleted again. After an error only Abandon is left.
func (d *Draft) Flush() error {
	if d.state >= draftWritten {
		panic("BUG: flush of a draft that was written")
	}
	start := time.Now()
	if err := d.hold(); err != nil {
		return fmt.Errorf("write checkpoint %d: %w", d.next.Version, err)
	}
	if err := d.flushItems(); err != nil {
		d.state = draftWritten
		return fmt.Errorf("write checkpoint %d: %w", d.next.Version, err)
	}
	d.took += time.Since(start)
	return nil
}

func (d *Draft) flushItems() error {
	if d.state == draftOpen {
		if err := d.begin(); err != nil {
			return err
		}
		d.state = draftFlushed
	}
	d.settle()
	for i := range d.items {
		if _, torn := d.torn[string(d.items[i].key)]; torn {
			d.items[i].must = true
			delete(d.torn, string(d.items[i].key))
		}
	}
	if err := d.compare(); err != nil {
		return err
	}
	if err := guard(d.flush); err != nil {
		return err
	}
	d.written += len(d.items)
	clear(d.items)
	d.items, d.bytes = d.items[:0], 0
	return nil
}

// hold has the database open for writing until letGo.
func (d *Draft) hold() (err error) {
	if d.db == nil {
		d.db, err = d.s.db.acquire(true)
	}
	if isFull(err) {
		return fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	return err
}

func (d *Draft) letGo() {
	if d.db != nil {
		d.db = nil
		d.s.db.release()
	}
}

// begin looks at what the database holds before the first change.
func (d *Draft) begin() error {
	s := d.s
	s.mu.Lock()
	leftovers := s.leftovers
	d.base = s.good
	d.next.Keys, d.next.sum = s.good.Keys, s.good.sum
	s.leftovers = true // until this draft is declared
	s.mu.Unlock()
	if !leftovers {
		return nil
	}
	return d.findTorn()
}

// Write makes all changes durable at the draft's version, where nobody reads yet. After ErrNoRoom it may be repeated, after another
// error only Abandon is left.
func (d *Draft) Write() error {
	if d.state >= draftWritten {
		panic("BUG: a draft was written twice")
	}
	if err := d.Flush(); err != nil {
		return err
	}
	if !d.s.roomToHeal(d) {
		return fmt.Errorf("write checkpoint %d: put back what an unfinished one changed: %w", d.next.Version, ErrNoRoom)
	}
	if err := d.heal(); err != nil {
		d.state = draftWritten
		return fmt.Errorf("write checkpoint %d: %w", d.next.Version, err)
	}
	d.state = draftWritten
	d.s.metrics.written.Add(float64(d.written))
	d.s.metrics.writeSeconds.Observe(d.took.Seconds())
	d.items = nil
	d.letGo() // Declare may be hours away, while the upstream is
	return nil
}

// settle sorts the changes by key and keeps the last of each.
func (d *Draft) settle() {
	slices.SortFunc(d.items, func(a, b draftItem) int {
		if c := bytes.Compare(a.key, b.key); c != 0 {
			return c
		}
		return int(b.order) - int(a.order)
	})
	d.items = slices.CompactFunc(d.items, func(a, b draftItem) bool { return bytes.Equal(a.key, b.key) })
}

// compare holds the draft against the good version: it computes the new number of keys and their sum, and drops changes that change
// nothing. It looks keys up one by one: an iterator steps over all that the draft itself has written so far between two keys of the
// good version, which is most of the database when most series are new.
func (d *Draft) compare() error {
	txn := d.db.NewTransactionAt(d.base.Version, false)
	defer txn.Discard()
	kept := d.items[:0]
	err := guard(func() error {
		var old []byte
		for _, it := range d.items {
			item, err := txn.Get(it.key)
			found := err == nil
			if err != nil && !errors.Is(err, badger.ErrKeyNotFound) {
				return err
			}
			same := it.del
			if found {
				if old, err = item.ValueCopy(old); err != nil {
					return err
				}
				d.next.Keys--
				d.next.sum -= pairSum(it.key, old)
				same = !it.del && bytes.Equal(old, it.value)
			}
			if !it.del {
				d.next.Keys++
				d.next.sum += pairSum(it.key, it.value)
			}
			if !same || it.must {
				kept = append(kept, it)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("compare with the good checkpoint: %w", err)
	}
	clear(d.items[len(kept):])
	d.items = kept
	return nil
}

// flush hands the changes to Badger. It is not atomic over many keys; Declare's marker is what makes it so.
func (d *Draft) flush() error {
	wb := d.db.NewWriteBatchAt(d.next.Version)
	defer wb.Cancel()
	for _, it := range d.items {
		var err error
		killpoint.At(killpoint.CheckpointKey)
		d.s.db.written.Add(int64(len(it.key)+len(it.value)) + entryBytes)
		if it.del {
			err = wb.Delete(it.key)
		} else {
			err = wb.Set(it.key, it.value)
		}
		if err != nil {
			return err
		}
	}
	return wb.Flush()
}

// Declare makes the written draft the good checkpoint, durably, and lets older versions go. After an error the old one stays good
// for this process; the next start may find either.
func (d *Draft) Declare() error {
	if d.state != draftWritten {
		panic("BUG: a draft was declared that is not written")
	}
	start := time.Now()
	s := d.s
	err := d.hold()
	if err != nil {
		return fmt.Errorf("declare checkpoint %d: %w", d.next.Version, err)
	}
	err = guard(func() error {
		wb := d.db.NewWriteBatchAt(d.next.Version)
		defer wb.Cancel()
		s.db.written.Add(2 * entryBytes)
		return errors.Join(wb.Set(markerKey, d.next.encode()), wb.Flush())
	})
	killpoint.At(killpoint.CheckpointMarker)
	if err == nil {
		err = guard(d.db.Sync)
	}
	if err == nil {
		err = s.disk.syncDir(s.badgerDir()) // names of new logs and tables
	}
	killpoint.At(killpoint.CheckpointSync)
	if err == nil {
		if err = writeStateHead(s.disk, s.dir, d.next); isFull(err) {
			err = fmt.Errorf("%w: %w", ErrNoRoom, err)
		}
	}
	if err != nil {
		return fmt.Errorf("declare checkpoint %d: %w", d.next.Version, err)
	}
	s.metrics.declareSeconds.Observe(time.Since(start).Seconds())
	s.mu.Lock()
	s.good, s.leftovers = d.next, false
	s.discard()
	s.mu.Unlock()
	d.Abandon()
	return nil
}

// Abandon ends the draft without effect. It may be called after Declare, for use with defer.
func (d *Draft) Abandon() {
	d.letGo()
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	if d.s.draft == d {
		d.s.draft = nil
	}
	d.state, d.items = draftOver, nil
}
