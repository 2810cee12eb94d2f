package sequence

import (
	"encoding/binary"
	"fmt"

	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// losses are the series whose state was dropped while they carried an offset:
// forgotten by hand, or parts of a histogram that was taken apart. Each starts
// again from 0 with its next sample, never from raw. What was not seen for
// correct.forget_after is forgotten for good, and so is that it had one.
type losses struct {
	since   map[rewrite.Key]int64 // journal time, ms
	changed map[rewrite.Key]struct{}
}

func newLosses() *losses {
	return &losses{since: map[rewrite.Key]int64{}, changed: map[rewrite.Key]struct{}{}}
}

// lose notes that a series' state is dropped.
func (w *writer) lose(k rewrite.Key) {
	w.lost.since[k] = w.clock
	w.lost.changed[k] = struct{}{}
}

// startsFromZero tells whether a series that has no state had one that was lost.
func (w *writer) startsFromZero(k rewrite.Key) bool {
	if len(w.lost.since) == 0 {
		return false
	}
	since, ok := w.lost.since[k]
	return ok && w.clock-since <= w.forgetMS
}

// began notes that a series has a state again.
func (w *writer) began(k rewrite.Key) {
	delete(w.lost.since, k)
	w.lost.changed[k] = struct{}{}
}

// carries tells whether a series goes out with an offset.
func (w *writer) carries(id uint32, s *series) bool {
	if n := w.natives.all[id]; n != nil {
		if _, raw, out, seen := n.histogram.Last(); seen && raw != out {
			return true
		}
	}
	tr := w.table.troubles[id]
	return tr != nil && s.flags&isPart == 0 && tr.rest.Offset() != 0
}

// carries tells whether a part of the histogram goes out with an offset.
func (g *group) carries() bool {
	for part := range g.members {
		if _, raw, out, offset, seen := g.histogram.Last(part); seen && (offset != 0 || raw != out) {
			return true
		}
	}
	return false
}

// lostVersion is the first byte of a lost state's record: then since when (ms, zigzag).
const lostVersion = 1

// encodeLosses copies those that changed. What is over is deleted.
func (w *writer) encodeLosses(d *draft) {
	for k, since := range w.lost.since {
		if w.clock-since > w.forgetMS {
			w.began(k)
		}
	}
	for k := range w.lost.changed {
		if since, ok := w.lost.since[k]; ok {
			d.put(store.PrefixLost, appendKey(nil, k), binary.AppendVarint([]byte{lostVersion}, since))
		} else {
			d.delete(store.PrefixLost, appendKey(nil, k))
		}
	}
	clear(w.lost.changed)
}

// loadLosses reads those of the last good checkpoint.
func (w *writer) loadLosses() error {
	return w.state.Load([]byte{store.PrefixLost}, func(key, value []byte) error {
		k, err := storedKey(key)
		if err != nil {
			return err
		}
		if len(value) == 0 || value[0] != lostVersion {
			return fmt.Errorf("lost state of series %x: version %v is unknown to this release", key[1:], value[:min(1, len(value))])
		}
		in := stateReader{b: value[1:]}
		w.lost.since[k] = in.varint()
		if in.short || len(in.b) != 0 {
			return fmt.Errorf("lost state of series %x: %w", key[1:], errShort)
		}
		return nil
	})
}
