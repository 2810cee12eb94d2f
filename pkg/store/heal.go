package store

import (
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// findTorn finds the keys that versions above the good one have touched, which never became good themselves.
func (d *Draft) findTorn() error {
	d.torn = map[string]struct{}{}
	c := newCursor(d.db, ^uint64(0), badger.IteratorOptions{AllVersions: true, SinceTs: d.base.Version})
	defer c.close()
	for c.begin(nil, nil, false); c.valid(nil); c.next() {
		if key := c.key(); key[0] != markerKey[0] {
			d.torn[string(key)] = struct{}{}
		}
	}
	err := c.err
	if err == nil {
		d.tornBytes, err = d.sizeOfTorn()
	}
	if err != nil {
		return fmt.Errorf("read what an unfinished checkpoint left: %w", err)
	}
	return nil
}

// sizeOfTorn is what putting the torn keys back takes at most, in bytes of a memtable.
func (d *Draft) sizeOfTorn() (bytes int64, err error) {
	good := d.db.NewTransactionAt(d.base.Version, false)
	defer good.Discard()
	err = guard(func() error {
		for key := range d.torn {
			bytes += int64(len(key)) + entryBytes
			item, err := good.Get([]byte(key))
			if errors.Is(err, badger.ErrKeyNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			bytes += item.ValueSize()
		}
		return nil
	})
	return bytes, err
}

// roomToHeal is Room for the keys that the draft puts back.
func (s *State) roomToHeal(d *Draft) (ok bool) {
	return len(d.torn) == 0 || s.openLogTakes(d.tornBytes) || s.makeNextLog() == nil
}

// heal puts the torn keys that the draft did not change anyway back to what they were at the good version. Without it they would
// come to light at the draft's version.
func (d *Draft) heal() error {
	for key := range d.torn {
		value, found, err := d.s.Get([]byte(key))
		if err != nil {
			return err
		}
		d.items = append(d.items, draftItem{key: []byte(key), value: value, del: !found, must: true})
	}
	return d.flushItems()
}
