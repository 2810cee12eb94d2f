package sequence

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"pawl/internal/killpoint"
	"pawl/pkg/store"
)

// What the Meta keys hold.
const (
	metaRules = "rules" // the rules in force, YAML
	metaClock = "clock" // journal time, ms, 8 bytes big endian
)

// keepCorrections bounds the corrections log, in entries: about 1 GB on disk.
const keepCorrections = 1_000_000

// When the next checkpoint begins. What one costs grows with the series that
// changed, what a crash costs with the journal that has to be replayed.
const (
	// costShare: the next checkpoint begins no earlier than this many times after what the last one took.
	costShare = 20
	// longestInterval bounds that.
	longestInterval = 10 * time.Minute
	// replaySamples: no more are replayed after a crash, while requests are accepted already: some 20 s.
	replaySamples = 30_000_000
	// freshBytes: so much is kept of new series' labels, compressed, before a checkpoint takes them off, or freshShare for each
	// series that there is, if that is more: a fixed bound alone makes a first contact the dearer for each series the more
	// there are, for every checkpoint has all that came before it changed again. Labels of targets take some 12 bytes a series.
	freshBytes = 16 << 20
	freshShare = 16
)

// dueNow tells whether it is time for the next checkpoint.
func (w *writer) dueNow() bool {
	if w.draft != nil {
		return false
	}
	if w.overfull() {
		return true
	}
	return time.Since(w.lastBegan) >= min(max(w.every, costShare*w.lastBusy), max(w.every, killpoint.Duration(killpoint.EnvCheckpoint, longestInterval)))
}

// overfull tells whether so much has gathered since the last draft that the next cannot wait.
func (w *writer) overfull() bool {
	return w.labels.bytes > freshMost(w.table.live) || w.samples > replaySamples
}

// freshMost is how much may be kept of new series' labels, in bytes, where there are so many series, the new ones among them.
func freshMost(series int) int { return max(freshBytes, freshShare*series) }

// beginCheckpoint makes the state after the last record the next checkpoint:
// it marks what has changed since the last draft, to be copied bit by bit, and
// has it written beside the writer. One at a time; and after a crash not before
// the replay has passed the journal's old end, because what was sent upstream
// before the crash must come out of the replay the same.
func (w *writer) beginCheckpoint(ctx context.Context) {
	last := w.next - 1
	good, _ := w.state.Good()
	if w.draft != nil || w.next < w.oldEnd || last == good.Seq {
		return
	}
	d := &draft{
		seq: last, began: time.Now(), labels: w.labels, history: w.history, families: map[string]family{}, more: make(chan struct{}, 1), haste: make(chan struct{}),
		dueSeries: w.table.pages.fall(), dueGroups: w.groups.pages.fall(), dueNatives: w.natives.dirty,
		trim: w.kept + len(w.history) - keepCorrections,
	}
	for name := range w.class.changed {
		d.families[name] = w.class.families[name]
	}
	d.put(store.PrefixMeta, []byte(metaRules), w.rules)
	d.put(store.PrefixMeta, []byte(metaClock), binary.BigEndian.AppendUint64(nil, uint64(w.clock)))
	for _, id := range d.dueNatives {
		if n := w.natives.all[id]; n != nil {
			n.mark = pageDue
		} else {
			d.meta = append(d.meta, sheet{key: placeKey(store.PrefixNative, id)}) // forgotten
		}
	}
	w.encodeTargets(d)
	w.encodeLosses(d)
	w.encodeElections(
		func(key string, value []byte) { d.put(store.PrefixElection, []byte(key), value) },
		func(key string) { d.delete(store.PrefixElection, []byte(key)) })
	w.kept += len(w.history)
	w.labels, w.history, w.natives.dirty = newIdentities(), nil, nil
	clear(w.class.changed)
	w.groups.shared.Trim() // it is needed where many are new, or have been away
	w.draft, w.lastBegan, w.samples = d, d.began, 0
	w.state.Leisurely(true)
	go func() { w.checkpointed <- w.write(ctx, d) }()
}

// endCheckpoint notes that the draft is good now.
func (w *writer) endCheckpoint() {
	w.lastGood, w.lastBusy = time.Now(), w.draft.busy
	w.kept -= w.draft.trimmed
	w.draft = nil
	w.metrics.checkpoints.Inc()
	w.metrics.lastCheckpoint.SetToCurrentTime()
}

// write puts the draft on disk as it is copied, waits until the upstream has
// everything before it, and declares it good; then the journal behind it can go.
func (w *writer) write(ctx context.Context, d *draft) error {
	killpoint.At(killpoint.CheckpointBegin)
	worked := w.state.Worked()
	version := w.state.Begin(d.seq)
	defer version.Abandon()
	err := w.writeRest(ctx, d, version)
	var sheets []sheet
	for err == nil {
		if sheets, err = d.take(ctx, sheets); err != nil || len(sheets) == 0 {
			break
		}
		slices.SortFunc(sheets, sheet.compare)
		err = w.writeSheets(ctx, d, version, sheets)
	}
	if err == nil {
		err = w.flush(ctx, d, version, version.Write)
	}
	if err == nil {
		d.busy += w.state.Worked() - worked
		w.metrics.checkpointWrite.Observe(time.Since(d.began).Seconds())
		killpoint.At(killpoint.CheckpointFlush)
		err = w.mark.Wait(ctx, d.seq)
	}
	if err == nil {
		err = w.inRoom(ctx, 0, version.Declare)
	}
	if errors.Is(err, context.Canceled) {
		return nil // stopping; the next start replays from the last good one
	}
	if err != nil {
		return err
	}
	killpoint.At(killpoint.CheckpointGood)
	if err := w.journal.Cut(d.seq + 1); err != nil {
		return fmt.Errorf("cut the journal before record %d: %w", d.seq+1, err)
	}
	return nil
}

// flush writes what has gathered, once the disk has room for it.
func (w *writer) flush(ctx context.Context, d *draft, version *store.Draft, write func() error) error {
	n := max(1, int64(version.Pending())) // what an unfinished checkpoint left may have to be put back besides
	return w.inRoom(ctx, n, func() error {
		began := time.Now()
		err := write()
		took := time.Since(began)
		if !d.hurries() {
			took = min(took, flushMost)
		}
		d.busy += took
		return err
	})
}

// writeRest writes what is in no page.
func (w *writer) writeRest(ctx context.Context, d *draft, version *store.Draft) error {
	for _, s := range d.meta {
		putSheet(version, s)
	}
	for name, f := range d.families {
		v, err := json.Marshal(f)
		if err != nil {
			panic("BUG: a family does not marshal: " + err.Error())
		}
		version.Put(append([]byte{store.PrefixFamily}, name...), v)
	}
	w.trimHistory(d, version)
	began := time.Now()
	for _, e := range d.history {
		version.Put(e.Place.append([]byte{store.PrefixCorrection}), e.encode())
		if version.Pending() > flushBytes {
			if err := w.flushAndRest(ctx, d, version, began); err != nil {
				return err
			}
			began = time.Now()
		}
	}
	return nil
}

// writeSheets writes pages as they were copied.
func (w *writer) writeSheets(ctx context.Context, d *draft, version *store.Draft, sheets []sheet) error {
	began := time.Now()
	for _, s := range sheets {
		if s.key != nil {
			s.records = append([]byte(nil), s.records...) // the buffer is used again before the draft is over
			putSheet(version, s)
		} else if err := w.putPage(d, version, s); err != nil {
			return err
		}
		if version.Pending() > flushBytes {
			if err := w.flushAndRest(ctx, d, version, began); err != nil {
				return err
			}
			began = time.Now()
		}
	}
	d.busy += time.Since(began)
	return nil
}

// putSheet puts a key of its own.
func putSheet(version *store.Draft, s sheet) {
	if len(s.records) == 0 {
		version.Delete(s.key)
		return
	}
	version.Put(s.key, s.records)
}

// putPage puts a page, and its labels where they changed.
func (w *writer) putPage(d *draft, version *store.Draft, s sheet) error {
	bits := uint32(pageBits)
	if s.prefix == store.PrefixHistogram {
		bits = groupPageBits
	}
	var err error
	if s.packed != nil {
		w.pieces.putPacked(version, s.prefix, s.page<<bits, s.packed)
	} else {
		err = w.pieces.put(version, s.prefix, s.page<<bits, s.records, &d.packing)
	}
	if err != nil || !s.named {
		return err
	}
	if s.packed != nil {
		if d.opened, err = unpackPage(d.opened, s.packed); err != nil {
			return fmt.Errorf("the copy of series %d to %d: %w", s.page<<pageBits, s.page<<pageBits+pageLen-1, err)
		}
		s.records = d.opened
	}
	var keys keysOf
	err = eachPaged(s.records, func(slot uint32, record []byte) error {
		keys[slot].key, keys[slot].taken = decodeKey(record), true
		return nil
	})
	if err != nil {
		return err
	}
	found, missing, err := identitiesOf(w.state, s.page, &keys, &d.unpacked, d.labels.pages[s.page])
	if err == nil && missing > 0 {
		err = errUnnamed
	}
	if err != nil {
		return fmt.Errorf("write the labels of series %d to %d: %w", s.page<<pageBits, s.page<<pageBits+pageLen-1, err)
	}
	d.named = d.named[:0]
	for slot, record := range found {
		if record != nil {
			d.named = appendPaged(d.named, uint32(slot), record)
		}
	}
	return w.pieces.put(version, store.PrefixLabels, s.page<<bits, d.named, &d.packing)
}

// purgePlaces is how many places are looked through every second: a fraction of
// a millisecond's work.
const purgePlaces = 1 << 16

// purge looks through the next n places and forgets series that were not seen
// for correct.forget_after. A series that comes back after that long starts anew
// whether it was purged or not (see outlived), so when this happens to run
// changes no value. A part stays as long as its histogram lives: without it the
// others would start anew.
func (w *writer) purge(n uint32) {
	deadline := w.clock/1000 - w.forgetMS/1000 - 1
	if deadline <= 0 {
		return
	}
	for range min(n, w.table.series.n) {
		if w.purged >= w.table.series.n {
			w.purged = 0
		}
		id := w.purged
		w.purged++
		s := w.table.series.at(id)
		if s.flags&isFree == 0 && s.seen != 0 && int64(s.seen) < deadline && !w.livesOn(s, deadline) {
			w.forget(id)
			w.forgotten = w.next - 1
		}
	}
}

// livesOn reports whether s is part of a histogram of which something came since, in s.
func (w *writer) livesOn(s *series, since int64) bool {
	return s.flags&isPart != 0 && slices.ContainsFunc(w.groups.all[s.counter-1].members, func(place uint32) bool {
		return int64(w.table.series.at(place).seen) >= since
	})
}

// trimHistory deletes the oldest corrections over keepCorrections. What it
// cannot read now it deletes with a later checkpoint.
func (w *writer) trimHistory(d *draft, version *store.Draft) {
	if d.trim <= 0 {
		return
	}
	err := w.state.Scan([]byte{store.PrefixCorrection}, nil, false, func(key, _ []byte) (bool, error) {
		version.Delete(append([]byte(nil), key...))
		d.trimmed++
		return d.trimmed < d.trim, nil
	})
	if err != nil {
		w.log.Warn("cannot trim the corrections log; it is tried again with the next checkpoint", "err", err)
	}
}
