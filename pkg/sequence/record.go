package sequence

import (
	"encoding/binary"
	"errors"
	"fmt"

	"pawl/pkg/correct"
	"pawl/pkg/rewrite"
)

// seriesVersion is the first byte of what a series record holds of a counter.
const seriesVersion = 1

// appendSeries is a series record: its key, when it was last seen (s), and of a
// counter that is no part of a histogram: version, how often each kind of
// correction was made, and pkg/correct's own record.
func (w *writer) appendSeries(b []byte, id uint32, s *series) []byte {
	b = appendKey(b, s.key)
	b = binary.AppendUvarint(b, uint64(s.seen))
	if s.counter == 0 || s.flags&isPart != 0 {
		return b
	}
	b = append(b, seriesVersion)
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

// decodeSeries puts a series back at its place.
func (w *writer) decodeSeries(place uint32, b []byte) error {
	key, b, err := seriesKey(b)
	if err != nil {
		return err
	}
	if _, twice := w.table.find(key); twice || w.table.has(place) {
		return fmt.Errorf("its key %s or its place is another's too", FormatKey(key))
	}
	var c correct.Counter
	var tr trouble
	seen, counter, err := readSeries(b, &c, &tr)
	if err != nil {
		return err
	}
	w.table.addAt(key, place)
	s := w.table.series.at(place)
	s.seen = seen
	if !counter {
		return nil
	}
	*w.table.counterOf(s) = c
	s.flags |= isCounter
	if tr.rest != nil || tr.counts != ([kindSlots]uint32{}) {
		w.table.troubles[place] = &trouble{rest: tr.rest, counts: tr.counts}
		s.flags |= isTroubled
	}
	return nil
}

// readSeries reads what appendSeries wrote behind the key.
func readSeries(b []byte, c *correct.Counter, tr *trouble) (seen uint32, counter bool, err error) {
	in := stateReader{b: b}
	seen = uint32(in.uvarint())
	if in.short {
		return 0, false, errShort
	}
	if len(in.b) == 0 {
		return seen, false, nil
	}
	if in.b[0] != seriesVersion {
		return 0, false, fmt.Errorf("version %d of its record is unknown to this release", in.b[0])
	}
	in.b = in.b[1:]
	if err := in.counts(&tr.counts); err != nil {
		return 0, false, err
	}
	if in.short {
		return 0, false, errShort
	}
	tr.rest, err = c.Decode(in.b)
	return seen, true, err
}

// seriesKey takes the key off a series record.
func seriesKey(record []byte) (rewrite.Key, []byte, error) {
	if len(record) < keyLen {
		return rewrite.Key{}, nil, errShort
	}
	return decodeKey(record), record[keyLen:], nil
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
