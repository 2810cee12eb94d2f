package sequence

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"pawl/pkg/rewrite"
)

// In memory, who a new series is stands as what differs from the series that
// was met before it on its page: those of one target have most labels in common.
//
//	place in the page, low byte of the key (1 byte each)
//	number of pairs (uvarint): the tenant, as the value of a pair without name, then the labels
//	bits of the pairs that are those of the series before, by their place (uvarint; only the first 64 can be)
//	the other pairs: length of the name (uvarint), name, length of the value, value
//
// The key is not kept: the series table has it. Its low byte tells when something is amiss.

// samePairs is how many pairs of a series can be those of the one before.
const samePairs = 64

// pairAt is a name and the value behind it in identityWriter.text.
type pairAt struct{ at, name, value int }

// identityWriter writes identities by what differs. Its zero value has none before it.
type identityWriter struct {
	pairs   []pairAt // of the last series
	text    []byte   // that they stand in, and pairs that are over
	changed []byte   // scratch
}

// forget begins anew: the next identity stands by itself.
func (x *identityWriter) forget() { x.pairs, x.text = x.pairs[:0], x.text[:0] }

// append writes who series i of a batch is, and notes in l what a decision looks at.
func (x *identityWriter) append(dst []byte, slot uint32, b *rewrite.Batch, i int, l *labelsOf) []byte {
	x.changed = x.changed[:0]
	n, same := 0, uint64(0)
	if tenant := b.Tenant; x.like(0, nil, tenant) {
		same = 1
	} else {
		x.set(0, nil, []byte(tenant))
	}
	n++
	b.EachLabel(i, func(name, value []byte) {
		l.note(name, value)
		if n < samePairs && n < len(x.pairs) && x.equal(n, name, value) {
			same |= 1 << n
		} else {
			x.set(n, name, value)
		}
		n++
	})
	x.pairs = x.pairs[:n]
	dst = append(dst, byte(slot), byte(b.Series[i].Key.Lo))
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(n)), same)
	return append(dst, x.changed...)
}

// like tells whether the n-th pair of the last series is this one.
func (x *identityWriter) like(n int, name []byte, value string) bool {
	if n >= len(x.pairs) {
		return false
	}
	p := &x.pairs[n]
	return string(x.text[p.at:p.at+p.name]) == string(name) && string(x.text[p.at+p.name:p.at+p.name+p.value]) == value
}

func (x *identityWriter) equal(n int, name, value []byte) bool {
	p := &x.pairs[n]
	if p.value != len(value) || p.name != len(name) {
		return false
	}
	text := x.text[p.at : p.at+p.name+p.value]
	return string(text[p.name:]) == string(value) && string(text[:p.name]) == string(name)
}

// set notes a pair that the last series does not have there.
func (x *identityWriter) set(n int, name, value []byte) {
	p := pairAt{len(x.text), len(name), len(value)}
	x.text = append(append(x.text, name...), value...)
	if n < len(x.pairs) {
		x.pairs[n] = p
	} else {
		x.pairs = append(x.pairs, p)
	}
	x.changed = append(binary.AppendUvarint(x.changed, uint64(len(name))), name...)
	x.changed = append(binary.AppendUvarint(x.changed, uint64(len(value))), value...)
}

// met is one identity as it is read back: name and value in turn, the tenant's name and value first.
type met struct {
	slot  uint32
	check byte // of its key
	pairs [][]byte
}

// appendIdentity writes it as it stands on disk.
func (m *met) appendIdentity(dst []byte) []byte {
	dst = append(dst, identityVersion)
	for _, s := range m.pairs[1:] {
		dst = append(binary.AppendUvarint(dst, uint64(len(s))), s...)
	}
	return dst
}

var errMet = errors.New("labels of new series are not as they were written")

// eachMet calls fn for all identities that an identityWriter wrote into b one after the other.
// What fn gets is valid until it returns.
func eachMet(b []byte, fn func(*met)) error {
	var m met
	failed := false
	number := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			failed, n = true, 0
		}
		b = b[n:]
		return v
	}
	text := func() []byte {
		n := number()
		if n > uint64(len(b)) {
			failed, n = true, 0
		}
		s := b[:n]
		b = b[n:]
		return s
	}
	for len(b) > 0 {
		if len(b) < 2 {
			return errMet
		}
		m.slot, m.check, b = uint32(b[0]), b[1], b[2:]
		n, same := number(), number()
		if failed || n > uint64(len(b))+samePairs || bits.Len64(same) > int(min(n, uint64(len(m.pairs)/2))) {
			return errMet
		}
		for uint64(len(m.pairs)) < 2*n {
			m.pairs = append(m.pairs, nil)
		}
		m.pairs = m.pairs[:2*n]
		for k := range n {
			if k >= samePairs || same>>k&1 == 0 {
				m.pairs[2*k], m.pairs[2*k+1] = text(), text()
			}
		}
		if failed || n == 0 || m.slot >= pageLen {
			return errMet
		}
		fn(&m)
	}
	return nil
}
