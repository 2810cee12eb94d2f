package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// journalHead is the file that remembers what had been acknowledged and what had been cut. It is written after each sync without
// being synced itself: kill -9 leaves it exact, a power loss at most a few groups behind. Rotation, cutting and closing sync it.
type journalHead struct {
	d    disk
	f    *os.File
	slot headSlot
	buf  [headSlotLen]byte
}

// openJournalHead takes the journal's lock too. known is false when there is no head that can be read.
func openJournalHead(dir string, d disk) (h *journalHead, known bool, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "head"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, fmt.Errorf("open journal head: %w", err)
	}
	if err := flock(f); err != nil {
		f.Close()
		return nil, false, fmt.Errorf("journal %s: %w", dir, err)
	}
	h = &journalHead{d: d, f: f}
	b := make([]byte, headFileLen)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		f.Close()
		return nil, false, fmt.Errorf("read journal head: %w", err)
	}
	h.slot, known, _ = newestSlot(b[:n])
	return h, known, nil
}

// newestSlot is the slot that counts of a head file's content, and how many of the two can be read.
func newestSlot(b []byte) (newest headSlot, known bool, readable int) {
	for at := 0; at+headSlotLen <= len(b); at += headSlotStride {
		s, ok := getHeadSlot(b[at:])
		if !ok {
			continue
		}
		if readable++; !known || s.generation > newest.generation {
			newest, known = s, true
		}
	}
	return newest, known, readable
}

// set writes s into the older slot.
func (h *journalHead) set(s headSlot) error {
	s.generation = h.slot.generation + 1
	putHeadSlot(h.buf[:], s)
	if err := h.d.writeAt(h.f, h.buf[:], int64(s.generation%2)*headSlotStride); err != nil {
		return fmt.Errorf("write journal head: %w", err)
	}
	h.slot = s
	return nil
}

func (h *journalHead) sync() error { return h.d.sync(h.f) }
