package rewrite

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// refPair is one label of a 2.0 series, its share of the key included.
type refPair struct {
	hi, lo      uint64
	name, value uint32
}

// refSet is the labels of the last 2.0 series. Most labels of a series are
// those of the one before: only what differs is looked at.
type refSet struct {
	pairs  []refPair
	piece  span   // where they stand; len 0: not in one piece
	ends   uint64 // see refMarks; of a piece of markedBytes at most
	sum    keySum
	valued int  // labels with a value
	sorted bool // names increase strictly, so none occurs twice
	next   []refPair
}

// refWalk is what is known of a series' labels while its references are walked.
type refWalk struct {
	pieces int
	alike  bool // the labels were made from the last series', and stand in Batch.refs
	same   bool // and so are their names, so none occurs twice
	piece  span // the last piece
	half   bool
	name   uint32 // of a pair whose value is still to come
}

// refsV2 takes a piece of labels_refs, m[p:end], in. Nearly always there is one.
func (b *Batch) refsV2(w *refWalk, i, p, end int) error {
	w.pieces++
	w.piece = span{int32(p), int32(end - p)}
	switch {
	case w.pieces == 1:
		if b.resemble(w, i) {
			return nil
		}
		b.refs.next = b.refs.next[:0]
	case w.alike:
		b.refs.next = append(b.refs.next[:0], b.refs.pairs...)
		w.alike, b.Series[i].same = false, 0
	}
	return b.newRefs(w, i, p, end)
}

// newRefs takes a piece of references, m[p:end], one by one into refs.next.
func (b *Batch) newRefs(w *refWalk, i, p, end int) error {
	m := b.Message[:end]
	for p < end {
		ref, q, reason := uvarint(m, p)
		if reason == "" && ref >= uint64(len(b.symbols)) {
			reason = badSymbol
		}
		if reason != "" {
			return bad(i, p, reason)
		}
		sym := &b.symbols[ref]
		if int(sym.len) > b.lim.MaxLabelValueBytes {
			return &TooLargeError{What: "bytes in a label", Limit: b.lim.MaxLabelValueBytes, Got: int(sym.len), Series: i}
		}
		if !w.half {
			if sym.len == 0 {
				return bad(i, p, emptyName)
			}
			w.name, w.half = uint32(ref), true
			p = q
			continue
		}
		w.half = false
		if len(b.refs.next) >= b.lim.MaxLabels {
			return &TooLargeError{What: "labels", Limit: b.lim.MaxLabels, Got: -1, Series: i}
		}
		pair := refPair{name: w.name, value: uint32(ref)}
		if sym.len > 0 {
			pair.hi, pair.lo = product(b.symbols[w.name].hash, sym.hash)
		}
		b.refs.next = append(b.refs.next, pair)
		p = q
	}
	return nil
}

// settle ends a series: refs holds its labels. It reports whether a name occurs twice.
func (b *Batch) settle(w *refWalk) (twice bool) {
	r := &b.refs
	if !w.alike {
		if w.pieces == 0 {
			r.next = r.next[:0]
		}
		w.same = len(r.next) == len(r.pairs)
		for k := 0; k < len(r.next) && w.same; k++ {
			w.same = r.next[k].name == r.pairs[k].name
		}
		r.pairs, r.next = r.next, r.pairs
		r.sum, r.valued, r.piece = keySum{}, 0, span{}
		if w.pieces == 1 {
			r.stand(b.Message, w.piece)
		}
		for k := range r.pairs {
			r.sum.add(r.pairs[k].hi, r.pairs[k].lo)
			if r.pairs[k].hi|r.pairs[k].lo != 0 {
				r.valued++
			}
		}
		if !w.same {
			r.sorted = b.increase(r.pairs)
		}
	}
	return !w.same && !r.sorted && b.duplicateRefs()
}

// increase reports whether the names of some pairs are in order, and none twice.
func (b *Batch) increase(pairs []refPair) bool {
	for k := 1; k < len(pairs); k++ {
		x, y := b.symbols[pairs[k-1].name], b.symbols[pairs[k].name]
		if p, q := b.beginning(x.span), b.beginning(y.span); p < q {
			continue
		} else if p > q || bytes.Compare(x.of(b.Message), y.of(b.Message)) >= 0 {
			return false
		}
	}
	return true
}

// beginning is the first eight bytes of a text, in an order like the text's.
func (b *Batch) beginning(text span) uint64 {
	x := binary.BigEndian.Uint64(b.Message[:len(b.Message)+markedBytes][text.off:])
	if text.len < 8 {
		x &= ^(^uint64(0) >> (8 * text.len))
	}
	return x
}

// duplicateRefs looks for a name that occurs twice in refs.
func (b *Batch) duplicateRefs() bool {
	b.dup = b.dup[:0]
	for k := range b.refs.pairs {
		b.dup = append(b.dup, b.symbols[b.refs.pairs[k].name].span)
	}
	return b.sortedTwice()
}

// commonPrefix is how many bytes are the same at the beginning of x and y.
func commonPrefix(x, y []byte) int {
	n := min(len(x), len(y))
	i := 0
	for ; i+8 <= n; i += 8 {
		if d := le64(x, i) ^ le64(y, i); d != 0 {
			return i + bits.TrailingZeros64(d)/8
		}
	}
	for i < n && x[i] == y[i] {
		i++
	}
	return i
}

// commonSuffix is how many bytes are the same at the end.
func commonSuffix(x, y []byte) int {
	n := min(len(x), len(y))
	x, y = x[len(x)-n:], y[len(y)-n:]
	i := n
	for ; i >= 8; i -= 8 {
		if d := le64(x, i-8) ^ le64(y, i-8); d != 0 {
			return n - i + bits.LeadingZeros64(d)/8
		}
	}
	for i > 0 && x[i-1] == y[i-1] {
		i--
	}
	return n - i
}
