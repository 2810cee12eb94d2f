package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"
)

// Get returns a copy of key's value at the last good version.
func (s *State) Get(key []byte) (value []byte, found bool, err error) {
	h, err := s.acquire()
	if err != nil || h.version == 0 {
		return nil, false, err
	}
	defer s.release(h)
	value, err = getAt(h.db, h.version, key)
	switch {
	case errors.Is(err, badger.ErrKeyNotFound):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("read series state: %w", err)
	}
	return value, true, nil
}

// getAt reads a key at a version.
func getAt(db *badger.DB, version uint64, key []byte) (value []byte, err error) {
	err = guard(func() error {
		txn := db.NewTransactionAt(version, false)
		defer txn.Discard()
		item, err := txn.Get(key)
		if err != nil {
			return err
		}
		value, err = item.ValueCopy(nil)
		return err
	})
	return value, err
}

// Load calls fn with every key that begins with prefix and its value, in key order, at the last good version.
// key and value are valid only until fn returns.
func (s *State) Load(prefix []byte, fn func(key, value []byte) error) error {
	return s.Scan(prefix, nil, false, func(k, v []byte) (bool, error) { return true, fn(k, v) })
}

// Scan is Load from a cursor on and in either direction: it begins behind the key after (which need not exist; nil = from the first,
// in reverse the last key of prefix), and ends when fn says that it wants no more. key and value are valid only until fn returns.
func (s *State) Scan(prefix, after []byte, reverse bool, fn func(key, value []byte) (more bool, err error)) error {
	h, err := s.acquire()
	if err != nil || h.version == 0 {
		return err
	}
	defer s.release(h)
	o := badger.IteratorOptions{Reverse: reverse}
	if !reverse {
		o.Prefix = prefix // in reverse it would keep Seek from finding the prefix' end
	}
	c := newCursor(h.db, h.version, o)
	defer c.close()
	for c.begin(prefix, after, reverse); c.valid(prefix); c.next() {
		value := c.value()
		if c.err != nil {
			break
		}
		more, err := fn(c.key(), value)
		if err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
	if c.err != nil {
		return fmt.Errorf("read series state: %w", c.err)
	}
	return nil
}

// cursor is a Badger iterator whose panics are errors.
type cursor struct {
	txn *badger.Txn
	it  *badger.Iterator
	buf []byte
	err error // sticky
}

func newCursor(db *badger.DB, version uint64, o badger.IteratorOptions) *cursor {
	c := &cursor{txn: db.NewTransactionAt(version, false)}
	c.err = guard(func() error { c.it = c.txn.NewIterator(o); return nil })
	return c
}

func (c *cursor) close() {
	if c.it != nil {
		_ = guard(func() error { c.it.Close(); return nil })
	}
	c.txn.Discard()
}

// begin goes to the first key behind after.
func (c *cursor) begin(prefix, after []byte, reverse bool) {
	from, skip := after, after
	if len(after) == 0 {
		from = prefix
		if reverse {
			from = successor(prefix)
			skip = from // it has another prefix, if it exists
		}
	}
	c.seek(from)
	if len(skip) > 0 && c.valid(nil) && bytes.Equal(c.key(), skip) {
		c.next()
	}
}

func (c *cursor) seek(key []byte) {
	if c.err == nil {
		c.err = guard(func() error { c.it.Seek(key); return nil })
	}
}

func (c *cursor) next() {
	if c.err == nil {
		c.err = guard(func() error { c.it.Next(); return nil })
	}
}

func (c *cursor) valid(prefix []byte) bool { return c.err == nil && c.it.ValidForPrefix(prefix) }

// key is valid until next.
func (c *cursor) key() []byte { return c.it.Item().Key() }

// value is valid until the next call of value.
func (c *cursor) value() []byte {
	if c.err == nil {
		c.err = guard(func() (err error) { c.buf, err = c.it.Item().ValueCopy(c.buf); return err })
	}
	return c.buf
}

// successor is the smallest key greater than all that begin with prefix; nil if there is none.
func successor(prefix []byte) []byte {
	b := bytes.Clone(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			return b[:i+1]
		}
	}
	return nil
}

// allocatedBytes is what the files under dir take on disk.
func allocatedBytes(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil && e.Type().IsRegular() && unix.Lstat(path, &st) == nil {
			n += st.Blocks * 512
		}
		return nil // a file that has just gone takes nothing
	})
	return n
}

func badgerLine(format string, args []any) string {
	return "badger: " + strings.TrimSpace(fmt.Sprintf(format, args...))
}
