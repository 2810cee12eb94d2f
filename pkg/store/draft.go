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

// Draft is the next checkpoint. It goes Put and Delete, then Write, then Declare once every journal record up to its seq has been
// delivered; or Abandon at any time. It belongs to one goroutine, except that Put and Delete must have ended before Write begins.
type Draft struct {
	s     *State
	next  Checkpoint
	items []draftItem
	state draftState
}

type draftState uint8

const (
	draftOpen draftState = iota
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
	if d.state != draftOpen {
		panic("BUG: change of a draft that was written")
	}
	if len(it.key) == 0 || it.key[0] == markerKey[0] {
		panic(fmt.Sprintf("BUG: key %q is not the caller's", it.key))
	}
	it.order = uint32(len(d.items))
	d.items = append(d.items, it)
}

// Write makes all changes durable at the draft's version, where nobody reads yet. After an error only Abandon is left.
func (d *Draft) Write() error {
	if d.state != draftOpen {
		panic("BUG: a draft was written twice")
	}
	start := time.Now()
	d.state = draftWritten
	s := d.s
	s.mu.Lock()
	good, leftovers := s.good, s.leftovers
	s.leftovers = true // until this draft is declared
	s.mu.Unlock()
	d.settle()
	if leftovers {
		if err := d.heal(good); err != nil {
			return fmt.Errorf("write checkpoint %d: %w", d.next.Version, err)
		}
	}
	if err := d.compare(good); err != nil {
		return fmt.Errorf("write checkpoint %d: %w", d.next.Version, err)
	}
	if err := guard(d.flush); err != nil {
		return fmt.Errorf("write checkpoint %d: %w", d.next.Version, err)
	}
	s.metrics.written.Add(float64(len(d.items)))
	s.metrics.writeSeconds.Observe(time.Since(start).Seconds())
	d.items = nil
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

// heal finds the keys that versions above the good one have touched, which never became good themselves, and adds to the draft those
// that it does not change anyway, as they were at the good version. Without it they would come to light at the draft's version.
func (d *Draft) heal(good Checkpoint) error {
	c := d.s.cursor(^uint64(0), badger.IteratorOptions{AllVersions: true, SinceTs: good.Version})
	defer c.close()
	var (
		last   []byte
		healed []draftItem
		n      = len(d.items)
		at     int
	)
	for c.begin(nil, nil, false); c.valid(nil); c.next() {
		key := c.key()
		if key[0] == markerKey[0] || bytes.Equal(key, last) {
			continue
		}
		last = append(last[:0], key...)
		for at < n && bytes.Compare(d.items[at].key, key) < 0 {
			at++
		}
		if at < n && bytes.Equal(d.items[at].key, key) {
			d.items[at].must = true
			continue
		}
		value, found, err := d.s.Get(key)
		if err != nil {
			return err
		}
		healed = append(healed, draftItem{key: bytes.Clone(key), value: value, del: !found, must: true})
	}
	if c.err != nil {
		return fmt.Errorf("read what an unfinished checkpoint left: %w", c.err)
	}
	if len(healed) > 0 {
		d.items = append(d.items, healed...)
		d.settle()
	}
	return nil
}

// seekAhead is how many keys compare steps over before it looks the next one up instead.
const seekAhead = 16

// compare walks over the draft and the good version side by side: it computes the new number of keys and their sum, and drops
// changes that change nothing.
func (d *Draft) compare(good Checkpoint) error {
	d.next.Keys, d.next.sum = good.Keys, good.sum
	c := d.s.cursor(good.Version, badger.IteratorOptions{})
	defer c.close()
	kept := d.items[:0]
	c.seek(nil)
	for _, it := range d.items {
		for i := 0; c.valid(nil) && bytes.Compare(c.key(), it.key) < 0; i++ {
			if i < seekAhead {
				c.next()
			} else {
				c.seek(it.key)
			}
		}
		same := it.del
		if c.valid(nil) && bytes.Equal(c.key(), it.key) {
			old := c.value()
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
	clear(d.items[len(kept):])
	d.items = kept
	return c.err
}

// flush hands the changes to Badger. It is not atomic over many keys; Declare's marker is what makes it so.
func (d *Draft) flush() error {
	wb := d.s.db.NewWriteBatchAt(d.next.Version)
	defer wb.Cancel()
	for _, it := range d.items {
		var err error
		killpoint.At(killpoint.CheckpointKey)
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
	err := guard(func() error {
		wb := s.db.NewWriteBatchAt(d.next.Version)
		defer wb.Cancel()
		return errors.Join(wb.Set(markerKey, d.next.encode()), wb.Flush())
	})
	killpoint.At(killpoint.CheckpointMarker)
	if err == nil {
		err = guard(s.db.Sync)
	}
	if err == nil {
		err = s.disk.syncDir(s.badgerDir()) // names of new logs and tables
	}
	killpoint.At(killpoint.CheckpointSync)
	if err == nil {
		err = writeStateHead(s.disk, s.dir, d.next)
	}
	if err != nil {
		return fmt.Errorf("declare checkpoint %d: %w", d.next.Version, err)
	}
	s.metrics.declareSeconds.Observe(time.Since(start).Seconds())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.good, s.leftovers = d.next, false
	s.discard()
	d.over()
	return nil
}

// Abandon ends the draft without effect. It may be called after Declare, for use with defer.
func (d *Draft) Abandon() {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	d.over()
}

// over ends the draft. mu is held.
func (d *Draft) over() {
	if d.s.draft == d {
		d.s.draft = nil
	}
	d.state, d.items = draftOver, nil
}
