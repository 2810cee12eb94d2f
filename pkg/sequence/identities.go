package sequence

import (
	"errors"
	"fmt"

	"github.com/golang/snappy"

	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// identities are who the series are that no good checkpoint tells yet, by
// page. A page is compressed as soon as its last place is taken. A page without
// records is one whose series changed by forgetting alone.
type identities struct {
	pages   map[uint32]*identityPage
	bytes   int           // of the compressed ones
	into    *identityPage // the page that was added to last
	intoAt  uint32        // which one that is
	last    identityWriter
	packing []byte // scratch, as the next one
	spare   []byte
	slab    []byte // the compressed ones stand side by side: one by one each would be an object for the collector, and rounded up
}

// identityPage is what was met of one page's places, the newest last.
type identityPage struct {
	packed [][]byte // snappy of what an identityWriter wrote
	open   []byte   // the same, to be compressed
}

// openBytes is how much of a page is collected before it is compressed, slabBytes how much of compressed ones stands side by side.
const openBytes, slabBytes = 64 << 10, 64 << 10

func newIdentities() *identities { return &identities{pages: map[uint32]*identityPage{}} }

// page is one that must be written with the next draft.
func (x *identities) page(n uint32) *identityPage {
	p := x.pages[n]
	if p == nil {
		p = &identityPage{}
		x.pages[n] = p
	}
	return p
}

// meet keeps who series i of a batch is, which got the place, and notes in l what a decision looks at.
func (x *identities) meet(place uint32, b *rewrite.Batch, i int, l *labelsOf) {
	p, at := x.into, place>>pageBits
	if p == nil || x.intoAt != at {
		p = x.page(at)
	}
	if p.open == nil {
		p.open, x.spare = x.spare, nil
	}
	if p != x.into || len(p.open) == 0 {
		x.into, x.intoAt = p, at
		x.last.forget()
	}
	p.open = x.last.append(p.open, place%pageLen, b, i, l)
	if place%pageLen == pageLen-1 || len(p.open) > openBytes {
		x.packing = snappy.Encode(x.packing[:cap(x.packing)], p.open)
		p.packed = append(p.packed, x.keep(x.packing))
		x.bytes += len(x.packing)
		p.open, x.spare = nil, p.open[:0]
	}
}

// keep copies what was compressed to where it stays until its page goes.
func (x *identities) keep(packed []byte) []byte {
	if len(x.slab)+len(packed) > cap(x.slab) {
		x.slab = make([]byte, 0, max(slabBytes, len(packed)))
	}
	from := len(x.slab)
	x.slab = append(x.slab, packed...)
	return x.slab[from:len(x.slab):len(x.slab)]
}

// each calls fn for everything that was met of the page, the newest last. The
// page may belong to another goroutine if it is no longer added to.
func (p *identityPage) each(fn func(*met)) error {
	if p == nil {
		return nil
	}
	var buf []byte
	for _, packed := range p.packed {
		var err error
		if buf, err = snappy.Decode(buf[:cap(buf)], packed); err != nil {
			return fmt.Errorf("labels of new series do not decompress: %w", err)
		}
		if err := eachMet(buf, fn); err != nil {
			return err
		}
	}
	return eachMet(p.open, fn)
}

// snapshot is a copy that the writer does not add to.
func (p *identityPage) snapshot() *identityPage {
	if p == nil {
		return nil
	}
	return &identityPage{packed: append([][]byte(nil), p.packed...), open: append([]byte(nil), p.open...)}
}

// keysOf are the keys of a page's series by place, as some records tell that
// begin with their key.
type keysOf [pageLen]struct {
	key   rewrite.Key
	taken bool
}

// met finds the records of the series of a page among those that were met, but for those that were found already, and
// writes them behind buf. Of several at one place the last counts: it is that of the series that has the place now.
func (keys *keysOf) met(into *[pageLen][]byte, p *identityPage, buf []byte) ([]byte, error) {
	found := *into
	err := p.each(func(m *met) {
		if k := &keys[m.slot]; k.taken && found[m.slot] == nil && byte(k.key.Lo) == m.check {
			from := len(buf)
			buf = m.appendIdentity(appendKey(buf, k.key))
			into[m.slot] = buf[from:len(buf):len(buf)]
		}
	})
	return buf, err
}

// stored finds the records of the series of a page among some that begin with their key, but for those that were found already.
func (keys *keysOf) stored(into *[pageLen][]byte, records []byte) error {
	return eachPaged(records, func(slot uint32, record []byte) error {
		if len(record) < keyLen || slot >= pageLen {
			return errPage
		}
		if keys[slot].taken && into[slot] == nil && decodeKey(record) == keys[slot].key {
			into[slot] = record
		}
		return nil
	})
}

// missing is how many series of the page have no record.
func (keys *keysOf) missing(found *[pageLen][]byte) (n int) {
	for slot := range keys {
		if keys[slot].taken && found[slot] == nil {
			n++
		}
	}
	return n
}

var errUnnamed = errors.New("its labels are neither in the last good checkpoint nor among those of new series")

// identitiesOf finds the records of a page's series, by place: in what was met
// since the last good checkpoint, which is given, the newest first, or else in
// that. A record is nil when the series is in neither, and may be in buf, which is scratch.
func identitiesOf(state *store.State, page uint32, keys *keysOf, buf *[]byte, fresh ...*identityPage) (found [pageLen][]byte, missing int, err error) {
	*buf = (*buf)[:0]
	for _, p := range fresh {
		if *buf, err = keys.met(&found, p, *buf); err != nil {
			return found, 0, err
		}
	}
	if missing = keys.missing(&found); missing == 0 && len(fresh) > 0 {
		return found, 0, nil
	}
	err = eachPiece(state, store.PrefixLabels, page, func(_ uint32, value []byte) error {
		records, err := unpackPage(nil, value)
		if err != nil {
			return err
		}
		return keys.stored(&found, records)
	})
	if err != nil {
		return found, 0, fmt.Errorf("labels of series %d to %d: %w", page<<pageBits, page<<pageBits+pageLen-1, err)
	}
	return found, keys.missing(&found), nil
}

// eachPiece calls fn for the pieces of a page of series at the last good
// checkpoint. The value is valid until fn returns.
func eachPiece(state *store.State, prefix byte, page uint32, fn func(place uint32, value []byte) error) error {
	var after []byte
	if page > 0 {
		after = placeKey(prefix, page<<pageBits-1) // pieces that begin there belong to the page before
	}
	return state.Scan([]byte{prefix}, after, false, func(key, value []byte) (bool, error) {
		place, err := storedPlace(key)
		if err != nil || place>>pageBits != page {
			return false, err
		}
		return true, fn(place, value)
	})
}

// identityOf is who the series at a place is.
func (w *writer) identityOf(place uint32) identity {
	page, slot := place>>pageBits, place%pageLen
	var keys keysOf
	keys[slot].key, keys[slot].taken = w.table.series.at(place).key, true
	fresh := []*identityPage{w.labels.pages[page]}
	if w.draft != nil {
		fresh = append(fresh, w.draft.labels.pages[page])
	}
	found, _, err := identitiesOf(w.state, page, &keys, new([]byte), fresh...)
	if err == nil && found[slot] == nil {
		err = errUnnamed
	}
	var id identity
	if err == nil {
		id, err = decodeIdentity(found[slot][keyLen:])
	}
	if err != nil {
		panic(fmt.Sprintf("BUG: the labels of series %s cannot be read: %v", FormatKey(keys[slot].key), err))
	}
	return id
}
