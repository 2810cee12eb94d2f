package sequence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/golang/snappy"
)

// A checkpoint's unit is a page: the records of neighbouring places in one
// value, because a key costs the database as much as a kilobyte. Places are
// given in the order of first sight, so the series of one target share pages,
// and their records compress well.
//
//	key    prefix, the first place in it (4 bytes, big endian)
//	value  pageVersion, snappy of: place (1 byte, from the page's first), length (uvarint), record; and so on
//
// A page whose records are large is cut into pieces between two records; each
// piece is a value of its own under the first place in it.
const (
	pageBits      = 6 // of series
	pageLen       = 1 << pageBits
	groupPageBits = 3 // of histograms: one is as large as ten series
	pageVersion   = 1
	pieceBytes    = 128 << 10 // of records, where a page is cut
)

// A damaged value may claim to hold no more than maxPageBytes, and no more than snappy gets out of its bytes: 64 out of 3.
const (
	maxPageBytes = 256 << 20
	snappyGains  = 22
)

// appendPaged adds one record to a page's.
func appendPaged(b []byte, slot uint32, record []byte) []byte {
	b = append(b, byte(slot))
	b = binary.AppendUvarint(b, uint64(len(record)))
	return append(b, record...)
}

var errPage = errors.New("a page's record ends too early")

// nextPaged takes the first record off b.
func nextPaged(b []byte) (slot uint32, record, rest []byte, err error) {
	if len(b) == 0 {
		return 0, nil, nil, errPage
	}
	n, l := binary.Uvarint(b[1:])
	if l <= 0 || n > uint64(len(b)-1-l) {
		return 0, nil, nil, errPage
	}
	end := 1 + l + int(n)
	return uint32(b[0]), b[1+l : end : end], b[end:], nil
}

// eachPaged calls fn for every record.
func eachPaged(b []byte, fn func(slot uint32, record []byte) error) error {
	for len(b) > 0 {
		slot, record, rest, err := nextPaged(b)
		if err != nil {
			return err
		}
		if err := fn(slot, record); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// packPage is a piece's value. buf is scratch, and is returned to be used
// again: room for what may come out is several times what does.
func packPage(buf, records []byte) (value, scratch []byte) {
	if most := 1 + snappy.MaxEncodedLen(len(records)); cap(buf) < most {
		buf = make([]byte, most)
	}
	buf = buf[:cap(buf)]
	buf[0] = pageVersion
	n := 1 + len(snappy.Encode(buf[1:], records))
	return append(make([]byte, 0, n), buf[:n]...), buf
}

// unpackPage gives the records of a value; buf is used if it is large enough.
func unpackPage(buf, v []byte) ([]byte, error) {
	if len(v) == 0 || v[0] != pageVersion {
		return nil, fmt.Errorf("version %v of a page is unknown to this release", v[:min(1, len(v))])
	}
	if n, err := snappy.DecodedLen(v[1:]); err != nil || n > min(maxPageBytes, snappyGains*len(v)) {
		return nil, fmt.Errorf("a page of %d bytes: %w", n, errors.Join(err, errPage))
	}
	b, err := snappy.Decode(buf[:cap(buf)], v[1:])
	if err != nil {
		return nil, fmt.Errorf("a page does not decompress: %w", err)
	}
	return b, nil
}

// placeKey is the key of a piece that begins with a place.
func placeKey(prefix byte, place uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{prefix}, place)
}

// storedPlace is the place behind the prefix.
func storedPlace(key []byte) (uint32, error) {
	if len(key) != 1+4 {
		return 0, fmt.Errorf("key of %d bytes, want %d", len(key), 1+4)
	}
	return binary.BigEndian.Uint32(key[1:]), nil
}

// pages are the marks of pages that a checkpoint is made by.
type pages struct {
	marks []pageMark
	dirty []uint32 // those marked pageDirty, in the order in which they changed
}

type pageMark uint8

const (
	pageClean pageMark = iota // as the last draft has it
	pageDirty                 // changed since the last draft was begun
	pageDue                   // the draft under way has still to copy it
)

// reach makes room for a page.
func (p *pages) reach(page uint32) {
	for int(page) >= len(p.marks) {
		p.marks = append(p.marks, pageClean)
	}
}

// soil marks a page dirty. It must have been copied if it was due.
func (p *pages) soil(page uint32) {
	p.marks[page] = pageDirty
	p.dirty = append(p.dirty, page)
}

// fall makes all dirty pages due, and returns them, the first page last: they are copied from the end.
func (p *pages) fall() []uint32 {
	due := p.dirty
	slices.SortFunc(due, func(a, b uint32) int { return int(b) - int(a) })
	for _, page := range due {
		p.marks[page] = pageDue
	}
	p.dirty = nil
	return due
}
