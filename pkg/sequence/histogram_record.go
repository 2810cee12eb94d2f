package sequence

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"pawl/pkg/correct"
	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// groupVersion is the first byte of a histogram's record.
const groupVersion = 2

// encodeGroups copies the state of the histograms that changed. Record:
// version, until when it waits (ms, zigzag), policy, counts of corrections, its turn (ms, zigzag, thrice),
// the series' keys of its parts, and pkg/correct's own record.
func (w *writer) encodeGroups(d *draft) {
	gs := w.groups
	for _, gid := range gs.dirty {
		g := gs.all[gid]
		if g == nil || !g.dirty {
			continue
		}
		g.dirty = false
		b := []byte{groupVersion}
		b = binary.AppendVarint(b, g.deadline)
		b = binary.AppendUvarint(b, uint64(g.policy))
		b = g.turn.append(appendCounts(b, &g.counts))
		b = binary.AppendUvarint(b, uint64(len(g.members)))
		for _, k := range g.members {
			b = appendKey(b, k)
		}
		d.put(store.PrefixHistogram, appendKey(nil, g.key), g.histogram.Append(b))
	}
	gs.dirty = gs.dirty[:0]
	for _, k := range gs.gone {
		if _, back := gs.byKey[k]; !back {
			d.delete(store.PrefixHistogram, appendKey(nil, k))
		}
	}
	gs.gone = nil
}

// loadGroups reads the histograms of the last good checkpoint.
func (w *writer) loadGroups() error {
	err := w.state.Load([]byte{store.PrefixHistogram}, func(key, value []byte) error {
		k, err := storedKey(key)
		if err != nil {
			return err
		}
		if err := w.decodeGroup(k, value); err != nil {
			return fmt.Errorf("histogram %x: %w", key[1:], err)
		}
		return nil
	})
	slices.SortStableFunc(w.groups.waiting, func(a, b wait) int { return cmp.Compare(a.deadline, b.deadline) })
	return err
}

func (w *writer) decodeGroup(key rewrite.Key, b []byte) error {
	if len(b) < 1 || b[0] != groupVersion {
		return fmt.Errorf("version %v is unknown to this release", b[:min(1, len(b))])
	}
	in := stateReader{b: b[1:]}
	g := &group{key: key, deadline: in.varint(), policy: uint16(in.uvarint())}
	if err := in.counts(&g.counts); err != nil {
		return err
	}
	g.turn = in.turn()
	n := in.uvarint()
	if n > uint64(len(in.b)/keyLen) {
		return errShort
	}
	gid := uint32(len(w.groups.all))
	for part := range n {
		k := decodeKey(in.b)
		in.b = in.b[keyLen:]
		g.members = append(g.members, k)
		if id, ok := w.table.find(k); ok {
			s := w.table.series.at(id)
			s.flags |= isCounter | isPart
			s.counter, s.part = gid+1, uint16(part)
		}
	}
	if in.short {
		return errShort
	}
	var err error
	if g.histogram, err = correct.DecodeHistogram(in.b); err != nil {
		return err
	}
	w.groups.all = append(w.groups.all, g)
	w.groups.byKey[key] = gid
	if g.deadline != 0 {
		w.groups.await(gid, g.deadline)
	}
	return nil
}
