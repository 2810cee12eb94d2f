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

// identityWriter writes identities by what differs. Its zero value has none before it.
type identityWriter struct {
	before  int    // the series of the batch at hand that was written last, and 1; 0: none
	changed []byte // scratch
}

// forget begins anew: the next identity stands by itself. It must be called for every batch.
func (x *identityWriter) forget() { x.before = 0 }

// append writes who series i of a batch is, and brings what a decision looks at up to date in l, which was given with
// the series before.
func (x *identityWriter) append(dst []byte, slot uint32, b *rewrite.Batch, i int, l *labelsOf) []byte {
	x.changed = x.changed[:0]
	n, same := 1, uint64(0)
	if i > 0 && x.before == i {
		labels := b.Same(i)
		same = uint64(labels)<<1 | 1 // the tenant is that of the batch
		l.keep(labels)
		n += b.EachOther(i, func(n int, name, value []byte) {
			l.note(n, name, value)
			x.add(name, value)
		})
	} else {
		*l = labelsOf{}
		x.add(nil, []byte(b.Tenant))
		b.EachLabel(i, func(name, value []byte) {
			l.note(n-1, name, value)
			x.add(name, value)
			n++
		})
	}
	l.ends(n - 1)
	x.before = i + 1
	dst = append(dst, byte(slot), byte(b.Series[i].Key.Lo))
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(n)), same)
	return append(dst, x.changed...)
}

// add notes a pair that the last series does not have there.
func (x *identityWriter) add(name, value []byte) {
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
