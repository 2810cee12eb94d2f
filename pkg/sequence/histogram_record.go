package sequence

import (
	"encoding/binary"
	"fmt"

	"pawl/pkg/correct"
)

// groupVersion is the first byte of a histogram's record.
const groupVersion = 4

// append is a histogram's record: version, the key that its parts share, until
// when it waits and may have unknown parts (ms, zigzag both), policy, counts of corrections, its turn (ms,
// zigzag, thrice), the places of its parts' series, and pkg/correct's own record.
func (g *group) append(b []byte) []byte {
	b = appendKey(append(b, groupVersion), g.key)
	b = binary.AppendVarint(b, g.deadline)
	b = binary.AppendVarint(b, g.young)
	b = binary.AppendUvarint(b, uint64(g.policy))
	if g.counts == nil {
		b = append(b, 0)
	} else {
		b = appendCounts(b, g.counts)
	}
	b = g.turn.append(b)
	b = binary.AppendUvarint(b, uint64(len(g.members)))
	for _, place := range g.members {
		b = binary.AppendUvarint(b, uint64(place))
	}
	return g.histogram.Append(b)
}

// decodeGroup puts a histogram back at its place and its parts' series to it.
func (w *writer) decodeGroup(gid uint32, b []byte) error {
	g, err := readGroup(b, &w.groups.shared)
	if err != nil {
		return err
	}
	for part, place := range g.members {
		if !w.table.has(place) {
			return fmt.Errorf("its part %d is series %d, which is not there", part, place)
		}
		s := w.table.series.at(place)
		s.flags |= isCounter | isPart
		s.counter, s.part = gid+1, uint16(part)
	}
	w.groups.all[gid] = g
	w.groups.byKey[g.key] = gid
	if g.deadline != 0 {
		w.groups.await(gid, g.deadline)
	}
	return nil
}

// readGroup reads what append wrote, of a histogram that shares.
func readGroup(b []byte, shared *correct.Shared) (*group, error) {
	if len(b) < 1 || b[0] != groupVersion {
		return nil, fmt.Errorf("version %v is unknown to this release", b[:min(1, len(b))])
	}
	key, b, err := seriesKey(b[1:])
	if err != nil {
		return nil, err
	}
	in := stateReader{b: b}
	g := &group{key: key, deadline: in.varint(), young: in.varint(), policy: uint16(in.uvarint())}
	var counts [kindSlots]uint32
	if err := in.counts(&counts); err != nil {
		return nil, err
	}
	if counts != ([kindSlots]uint32{}) {
		g.counts = &counts
	}
	g.turn = in.turn()
	n := in.uvarint()
	if n > uint64(len(in.b)) {
		return nil, errShort
	}
	g.members = make([]uint32, n)
	for part := range g.members {
		g.members[part] = uint32(in.uvarint())
	}
	if in.short {
		return nil, errShort
	}
	h, err := shared.DecodeHistogram(in.b)
	if err != nil {
		return nil, err
	}
	g.histogram = *h
	return g, nil
}
