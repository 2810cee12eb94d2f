package sequence

import (
	"encoding/binary"
	"errors"
	"fmt"

	"pawl/pkg/rewrite"
)

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

// bytes reads what stands behind its length.
func (r *stateReader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.b, r.short = nil, true
		return nil
	}
	x := r.b[:n]
	r.b = r.b[n:]
	return x
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
