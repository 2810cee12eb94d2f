package sequence

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"pawl/internal/killpoint"
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
	w.encodeTargets(d)
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
	w.encodeElections(
		func(key string, value []byte) { d.put(store.PrefixElection, []byte(key), value) },
		func(key string) { d.delete(store.PrefixElection, []byte(key)) })
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

// write puts the draft on disk, waits until the upstream has everything
// before it, and declares it good; then the journal behind it can go.
func (w *writer) write(ctx context.Context, d *draft) error {
	killpoint.At(killpoint.CheckpointBegin)
	if w.room(ctx, d.bytes()) != nil {
		return nil // stopping
	}
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
	killpoint.At(killpoint.CheckpointFlush)
	err := w.mark.Wait(ctx, d.seq)
	if err == nil {
		err = w.room(ctx, 0)
	}
	if err != nil {
		version.Abandon()
		return nil // stopping; the next start replays from the last good one
	}
	if err := version.Declare(); err != nil {
		return err
	}
	killpoint.At(killpoint.CheckpointGood)
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
	members := loading{ts: w.targets, places: map[string]uint32{}}
	err = w.state.Load([]byte{store.PrefixLabels}, func(key, value []byte) error {
		k, err := storedKey(key)
		if err != nil {
			return err
		}
		id := w.table.add(k)
		w.table.series.at(id).seen = now
		if err := members.series(id, value); err != nil {
			return fmt.Errorf("labels of series %x: %w", key[1:], err)
		}
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
	members.settle(w)
	if err := w.loadTargets(); err != nil {
		return err
	}
	if err := w.loadElections(); err != nil {
		return err
	}
	return w.loadNatives()
}
