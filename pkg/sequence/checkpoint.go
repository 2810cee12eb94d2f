package sequence

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// What the Meta keys hold.
const (
	metaRules = "rules" // the rules in force, YAML
	metaClock = "clock" // journal time, ms, 8 bytes big endian
)

// keepCorrections bounds the corrections log, in entries: about 1 GB on disk.
const keepCorrections = 1_000_000

// draft is the checkpoint under way: what the writer knew after record seq.
type draft struct {
	seq     uint64
	puts    []pair
	deletes [][]byte
	labels  map[rewrite.Key][]byte // identities in it
	history []Entry
	gone    []rewrite.Key
}

type pair struct{ key, value []byte }

// beginCheckpoint copies what changed since the last draft and has it written
// beside the writer. One at a time; and after a crash not before the replay
// has passed the journal's old end, because a draft that the crash tore may
// have left keys behind which only the replay is sure to write again.
func (w *writer) beginCheckpoint(ctx context.Context) {
	w.metrics.series.Set(float64(w.table.live))
	last := w.next - 1
	good, _ := w.state.Good()
	if w.draft != nil || w.next < w.oldEnd || last == good.Seq {
		return
	}
	w.purge()
	d := &draft{seq: last, labels: w.labels, history: w.history, gone: w.gone}
	w.encodeSeries(d)
	w.encodeGroups(d)
	w.encodeNatives(d)
	for k, v := range w.labels {
		d.put(store.PrefixLabels, appendKey(nil, k), v)
	}
	for _, e := range w.history {
		d.put(store.PrefixCorrection, e.Place.append(nil), e.encode())
	}
	for name := range w.class.changed {
		v, err := json.Marshal(w.class.families[name])
		if err != nil {
			panic("BUG: a family does not marshal: " + err.Error())
		}
		d.put(store.PrefixFamily, []byte(name), v)
	}
	d.put(store.PrefixMeta, []byte(metaRules), w.rules)
	d.put(store.PrefixMeta, []byte(metaClock), binary.BigEndian.AppendUint64(nil, uint64(w.clock)))
	for _, k := range w.gone {
		if _, back := w.table.find(k); !back {
			d.delete(store.PrefixSeries, appendKey(nil, k))
			d.delete(store.PrefixNative, appendKey(nil, k))
			d.delete(store.PrefixLabels, appendKey(nil, k))
		}
	}
	w.trimHistory(d)
	clear(w.class.changed)
	w.labels, w.history, w.gone = map[rewrite.Key][]byte{}, nil, nil
	w.draft = d
	go func() { w.checkpointed <- w.write(ctx, d) }()
}

func (d *draft) put(prefix byte, key, value []byte) {
	d.puts = append(d.puts, pair{append([]byte{prefix}, key...), value})
}

func (d *draft) delete(prefix byte, key []byte) {
	d.deletes = append(d.deletes, append([]byte{prefix}, key...))
}

// encodeSeries copies the state of the series that changed.
func (w *writer) encodeSeries(d *draft) {
	d.puts = slices.Grow(d.puts, len(w.table.dirty))
	for _, id := range w.table.dirty {
		s := w.table.series.at(id)
		if s.flags&isFree != 0 {
			s.flags &^= isDirty
			continue
		}
		s.flags &^= isDirty
		if s.counter == 0 || s.flags&isPart != 0 {
			continue
		}
		d.put(store.PrefixSeries, appendKey(nil, s.key), w.encodeState(id, s))
	}
	w.table.dirty = w.table.dirty[:0]
}

// stateVersion is the first byte of a series record.
const stateVersion = 1

// encodeState is a series record: version, when it was last seen (s), how
// often each kind of correction was made, and pkg/correct's own record.
func (w *writer) encodeState(id uint32, s *series) []byte {
	b := make([]byte, 0, 96)
	b = append(b, stateVersion)
	b = binary.AppendUvarint(b, uint64(s.seen))
	tr := w.table.troubles[id]
	if tr == nil {
		b = append(b, 0)
		return w.table.counters.at(s.counter-1).Append(b, nil)
	}
	b = appendCounts(b, &tr.counts)
	return w.table.counters.at(s.counter-1).Append(b, tr.rest)
}

// appendCounts writes how often each kind of correction was made.
func appendCounts(b []byte, counts *[kindSlots]uint32) []byte {
	b = append(b, kindSlots)
	for _, n := range counts {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return b
}

var errShort = errors.New("record ends too early")

// stateReader takes a record apart; short says that it ended too early.
type stateReader struct {
	b     []byte
	short bool
}

func (r *stateReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	r.skip(n)
	return v
}

func (r *stateReader) varint() int64 {
	v, n := binary.Varint(r.b)
	r.skip(n)
	return v
}

func (r *stateReader) skip(n int) {
	if n <= 0 {
		r.b, r.short = nil, true
		return
	}
	r.b = r.b[n:]
}

// counts reads what appendCounts wrote, by this release or an older one.
func (r *stateReader) counts(into *[kindSlots]uint32) error {
	kinds := r.uvarint()
	if kinds > kindSlots {
		return fmt.Errorf("counts of %d kinds of corrections, this release has room for %d", kinds, kindSlots)
	}
	for i := range kinds {
		into[i] = uint32(r.uvarint())
	}
	return nil
}

func (w *writer) decodeState(b []byte, id uint32, s *series) error {
	if len(b) < 1 || b[0] != stateVersion {
		return fmt.Errorf("version %v is unknown to this release", b[:min(1, len(b))])
	}
	in := stateReader{b: b[1:]}
	s.seen = uint32(in.uvarint())
	tr := &trouble{}
	if err := in.counts(&tr.counts); err != nil {
		return err
	}
	if in.short {
		return errShort
	}
	var err error
	if tr.rest, err = w.table.counterOf(s).Decode(in.b); err != nil {
		return err
	}
	s.flags |= isCounter
	if tr.rest != nil || tr.counts != ([kindSlots]uint32{}) {
		w.table.troubles[id] = tr
		s.flags |= isTroubled
	}
	return nil
}

// write puts the draft on disk, waits until the upstream has everything
// before it, and declares it good; then the journal behind it can go.
func (w *writer) write(ctx context.Context, d *draft) error {
	began := time.Now()
	version := w.state.Begin(d.seq)
	for _, p := range d.puts {
		version.Put(p.key, p.value)
	}
	for _, k := range d.deletes {
		version.Delete(k)
	}
	if err := version.Write(); err != nil {
		return err
	}
	w.metrics.checkpointWrite.Observe(time.Since(began).Seconds())
	if err := w.mark.Wait(ctx, d.seq); err != nil {
		version.Abandon()
		return nil // stopping; the next start replays from the last good one
	}
	if err := version.Declare(); err != nil {
		return err
	}
	if err := w.journal.Cut(d.seq + 1); err != nil {
		return fmt.Errorf("cut the journal before record %d: %w", d.seq+1, err)
	}
	return nil
}

// endCheckpoint notes that the draft is good now.
func (w *writer) endCheckpoint() {
	w.lastGood = time.Now()
	w.metrics.checkpoints.Inc()
	w.metrics.lastCheckpoint.SetToCurrentTime()
}

// purge forgets series that were not seen for correct.forget_after, and the
// oldest entries of the corrections log. A series that comes back after that
// long starts anew whether it was purged or not (see outlived), so when this
// happens to run changes no value.
func (w *writer) purge() {
	deadline := w.clock/1000 - w.forgetMS/1000 - 1
	if deadline <= 0 {
		return
	}
	for id := range w.table.series.n {
		s := w.table.series.at(id)
		if s.flags&isFree == 0 && s.seen != 0 && int64(s.seen) < deadline {
			w.forget(id)
			w.forgotten = w.next - 1
		}
	}
}

// trimHistory deletes the oldest corrections over keepCorrections. What it
// cannot read now it deletes with a later checkpoint.
func (w *writer) trimHistory(d *draft) {
	w.kept += len(d.history)
	over := w.kept - keepCorrections
	if over <= 0 {
		return
	}
	err := w.state.Scan([]byte{store.PrefixCorrection}, nil, false, func(key, _ []byte) (bool, error) {
		d.deletes = append(d.deletes, append([]byte(nil), key...))
		w.kept--
		over--
		return over > 0, nil
	})
	if err != nil {
		w.log.Warn("cannot trim the corrections log; it is tried again with the next checkpoint", "err", err)
	}
}

// load reads the last good checkpoint.
func (w *writer) load() error {
	err := w.state.Load([]byte{store.PrefixMeta}, func(key, value []byte) error {
		switch string(key[1:]) {
		case metaRules:
			return w.adopt(value)
		case metaClock:
			if len(value) != 8 {
				return fmt.Errorf("journal time of %d bytes, want 8", len(value))
			}
			w.clock = int64(binary.BigEndian.Uint64(value))
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = w.state.Load([]byte{store.PrefixFamily}, func(key, value []byte) error {
		var f family
		if err := json.Unmarshal(value, &f); err != nil {
			return fmt.Errorf("metric family %q: %w", key[1:], err)
		}
		w.class.families[string(key[1:])] = f
		return nil
	})
	if err != nil {
		return err
	}
	err = w.state.Load([]byte{store.PrefixCorrection}, func(_, _ []byte) error { w.kept++; return nil })
	if err != nil {
		return err
	}
	// Series without a state (gauges) are known by their labels alone; they
	// count as seen now, so that they too are forgotten some day.
	now := uint32(w.clock / 1000)
	err = w.state.Load([]byte{store.PrefixLabels}, func(key, _ []byte) error {
		k, err := storedKey(key)
		if err != nil {
			return err
		}
		w.table.series.at(w.table.add(k)).seen = now
		return nil
	})
	if err != nil {
		return err
	}
	err = w.state.Load([]byte{store.PrefixSeries}, func(key, value []byte) error {
		k, err := storedKey(key)
		if err != nil {
			return err
		}
		id, ok := w.table.find(k)
		if !ok {
			return fmt.Errorf("series %x has a state and no labels", key[1:])
		}
		if err := w.decodeState(value, id, w.table.series.at(id)); err != nil {
			return fmt.Errorf("series %x: %w", key[1:], err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := w.loadGroups(); err != nil {
		return err
	}
	return w.loadNatives()
}

// keyLen is the length of a series' key on disk, bytes.
const keyLen = 16

func appendKey(b []byte, k rewrite.Key) []byte {
	b = binary.BigEndian.AppendUint64(b, k.Hi)
	return binary.BigEndian.AppendUint64(b, k.Lo)
}

func decodeKey(b []byte) rewrite.Key {
	return rewrite.Key{Hi: binary.BigEndian.Uint64(b), Lo: binary.BigEndian.Uint64(b[8:])}
}

// storedKey is the series' key behind the prefix.
func storedKey(b []byte) (rewrite.Key, error) {
	if len(b) != 1+keyLen {
		return rewrite.Key{}, fmt.Errorf("key of %d bytes, want %d", len(b), 1+keyLen)
	}
	return decodeKey(b[1:]), nil
}
