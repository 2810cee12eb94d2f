package sequence

import (
	"encoding/binary"
	"fmt"

	"github.com/prometheus/common/model"

	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// targetVersion is the first byte of a target's record: then prev, t (ms, zigzag), fell, need, told,
// and when its start time moved, to where, and until when several processes tell it (ms, zigzag).
const targetVersion = 1

// encodeTargets copies what is known of the targets that changed. Which series are in one follows from their labels.
func (w *writer) encodeTargets(d *draft) {
	ts := w.targets
	for _, key := range ts.gone {
		if _, back := ts.byKey[key]; !back {
			d.delete(store.PrefixTarget, appendKey(nil, key))
		}
	}
	ts.gone = nil
	for _, tg := range ts.dirty {
		tg.dirty = false
		if place, ok := ts.byKey[tg.key]; !ok || ts.all[place] != tg {
			continue
		}
		r, told := tg.restart, byte(0)
		if r.told {
			told = 1
		}
		b := binary.AppendVarint([]byte{targetVersion}, r.prev)
		b = binary.AppendVarint(b, r.t)
		b = binary.AppendUvarint(b, uint64(r.fell))
		b = append(binary.AppendUvarint(b, uint64(r.need)), told)
		b = binary.AppendVarint(b, tg.start.t)
		b = binary.AppendVarint(b, tg.start.at)
		d.put(store.PrefixTarget, appendKey(nil, tg.key), binary.AppendVarint(b, tg.start.several))
	}
	ts.dirty = ts.dirty[:0]
}

// loading finds the targets of the series of a checkpoint, by their identities on disk.
type loading struct {
	ts     *targets
	places map[string]uint32 // by tenant, job and instance
	key    []byte
}

// series notes which target a series is of, if it should turn out to be a counter.
func (l *loading) series(id uint32, identity []byte) error {
	if len(identity) == 0 || identity[0] != identityVersion {
		return fmt.Errorf("version %v of an identity is unknown to this release", identity[:min(1, len(identity))])
	}
	in := stateReader{b: identity[1:]}
	tenant, job, instance := in.bytes(), []byte(nil), []byte(nil)
	for len(in.b) > 0 {
		switch name, value := in.bytes(), in.bytes(); string(name) {
		case model.JobLabel:
			job = value
		case model.InstanceLabel:
			instance = value
		}
	}
	if in.short {
		return errShort
	}
	l.ts.reach(id)
	if len(job) == 0 || len(instance) == 0 {
		return nil
	}
	l.key = append(append(append(append(append(l.key[:0], tenant...), 0), job...), 0), instance...)
	place, ok := l.places[string(l.key)]
	if !ok {
		place = l.ts.placeOf(targetKey(string(tenant), string(job), string(instance)))
		l.places[string(l.key)] = place
	}
	*l.ts.of.at(id) = place + 1
	return nil
}

// settle makes members of those that are counters, and lets go of targets without any.
func (l *loading) settle(w *writer) {
	for id := range l.ts.of.n {
		switch place := l.ts.of.at(id); {
		case *place == 0:
		case w.table.series.at(id).counter == 0:
			*place = 0
		default:
			tg := l.ts.all[*place-1]
			tg.members = append(tg.members, id)
		}
	}
	for place, tg := range l.ts.all {
		if len(tg.members) == 0 {
			l.ts.drop(uint32(place))
		}
	}
	l.ts.gone = nil
}

// loadTargets reads those of the last good checkpoint.
func (w *writer) loadTargets() error {
	return w.state.Load([]byte{store.PrefixTarget}, func(key, value []byte) error {
		k, err := storedKey(key)
		if err != nil {
			return err
		}
		if len(value) == 0 || value[0] != targetVersion {
			return fmt.Errorf("target %x: version %v is unknown to this release", key[1:], value[:min(1, len(value))])
		}
		in := stateReader{b: value[1:]}
		r := restart{prev: in.varint(), t: in.varint(), fell: int(in.uvarint()), need: int(in.uvarint())}
		r.told = in.uvarint() != 0
		st := startTime{t: in.varint(), at: in.varint(), several: in.varint()}
		if in.short || len(in.b) != 0 {
			return fmt.Errorf("target %x: %w", key[1:], errShort)
		}
		place, ok := w.targets.byKey[k]
		if !ok {
			return fmt.Errorf("target %x has a state and no series", key[1:])
		}
		tg := w.targets.all[place]
		tg.restart, tg.start = r, st
		return nil
	})
}

// storedKey is the key behind the prefix.
func storedKey(b []byte) (rewrite.Key, error) {
	if len(b) != 1+keyLen {
		return rewrite.Key{}, fmt.Errorf("key of %d bytes, want %d", len(b), 1+keyLen)
	}
	return decodeKey(b[1:]), nil
}
