package rewrite

import (
	"bytes"
	"math/bits"
	"slices"
)

// refPair is one label of a 2.0 series, its share of the key included.
type refPair struct {
	hi, lo      uint64
	name, value uint32
	size        uint8 // bytes of both references on the wire
}

// refSet is the labels of the last 2.0 series. Most labels of a series are
// those of the one before: only what differs is looked at.
type refSet struct {
	pairs  []refPair
	piece  span // where they stand; len 0: not in one piece
	sum    keySum
	valued int  // labels with a value
	sorted bool // names increase strictly, so none occurs twice
	next   []refPair

	// Where the last series differed from the one before: its pairs i to j,
	// behind front bytes and before back. Buckets of a histogram differ in one place.
	i, j, front, back int
}

// refWalk is what is known of a series' labels while its references are walked.
type refWalk struct {
	pieces int
	alike  bool // the labels were made from the last series', and stand in Batch.refs
	same   bool // and so are their names, so none occurs twice
	piece  span // the last piece
	half   bool
	name   uint32 // of a pair whose value is still to come
	from   int    // where it stands
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

// resemble makes the labels of w's piece from those of the last series. It
// reports false, and has changed nothing, where that is not possible or
// something is wrong with them.
func (b *Batch) resemble(w *refWalk, series int) bool {
	r := &b.refs
	if r.piece.len == 0 {
		return false
	}
	cur := w.piece.of(b.Message)
	if !r.differsAsBefore(r.piece.of(b.Message), cur) {
		r.difference(r.piece.of(b.Message), cur)
	}
	i, j := r.i, r.j
	if !b.between(cur[r.front:len(cur)-r.back]) || len(r.pairs)+len(r.next)-(j-i) > b.lim.MaxLabels {
		return false
	}
	w.alike, w.same = true, len(r.next) == j-i
	valued, between := r.valued == len(r.pairs), uint32(0)
	for k := range r.pairs[i:j] {
		o := &r.pairs[i+k]
		if k < len(r.next) && i+k < mostSame && r.next[k].is(o.name, o.value) {
			between |= 1 << (i + k)
			continue
		}
		r.sum.sub(o.hi, o.lo)
		if o.hi|o.lo != 0 {
			r.valued--
		}
		w.same = w.same && r.next[k].name == o.name
	}
	for k := range r.next {
		if between>>(i+k)&1 != 0 {
			continue
		}
		n := &r.next[k]
		r.sum.add(n.hi, n.lo)
		if n.hi|n.lo != 0 {
			r.valued++
		}
	}
	r.piece = w.piece
	if len(r.next) == j-i {
		copy(r.pairs[i:j], r.next)
	} else {
		r.pairs = slices.Replace(r.pairs, i, j, r.next...)
		r.j = i + len(r.next)
	}
	if !w.same {
		r.sorted = r.sorted && b.increase(r.pairs[max(i-1, 0):min(i+len(r.next)+1, len(r.pairs))])
	}
	if valued && r.valued == len(r.pairs) && len(r.pairs) <= mostSame {
		b.Series[series].alike(sameAround(i, j, len(r.next), len(r.pairs))|between, len(r.pairs), i, r.front)
	}
	return true
}

// differsAsBefore reports whether cur differs from old in no other pairs than those, one or two, that differed the last time.
func (r *refSet) differsAsBefore(old, cur []byte) bool {
	return r.j-r.i <= 2 && r.front+r.back <= len(cur) && bytes.Equal(old[:r.front], cur[:r.front]) &&
		bytes.Equal(old[len(old)-r.back:], cur[len(cur)-r.back:])
}

// difference finds the pairs in which cur differs from old.
func (r *refSet) difference(old, cur []byte) {
	same := commonPrefix(old, cur)
	r.i, r.front = 0, 0
	for r.i < len(r.pairs) && r.front+int(r.pairs[r.i].size) <= same {
		r.front += int(r.pairs[r.i].size)
		r.i++
	}
	same = commonSuffix(old[r.front:], cur[r.front:])
	r.j, r.back = len(r.pairs), 0
	for r.j > r.i && r.back+int(r.pairs[r.j-1].size) <= same {
		r.j--
		r.back += int(r.pairs[r.j].size)
	}
}

// is tells whether a pair is that of a name and a value.
func (x *refPair) is(name, value uint32) bool { return x.name == name && x.value == value }

// between takes whole pairs of references, all of piece, into refs.next. It
// reports false where it is no such thing, or a limit is passed. What stands in its place in the last series is
// as good as it was there.
func (b *Batch) between(piece []byte) bool {
	was := b.refs.pairs[b.refs.i:b.refs.j]
	b.refs.next = b.refs.next[:0]
	for p := 0; p < len(piece); {
		if len(b.refs.next) >= b.lim.MaxLabels { // before they are held: a piece may be as long as the message
			return false
		}
		name, q := shortRef(piece, p)
		value, r := shortRef(piece, q)
		if k := len(b.refs.next); k < len(was) && int(was[k].name) == name && int(was[k].value) == value {
			pair := was[k]
			pair.size = uint8(r - p)
			b.refs.next = append(b.refs.next, pair)
			p = r
			continue
		}
		if name >= len(b.symbols) || value >= len(b.symbols) {
			return false
		}
		n, v := &b.symbols[name], &b.symbols[value]
		if n.len == 0 || int(max(n.len, v.len)) > b.lim.MaxLabelValueBytes {
			return false
		}
		pair := refPair{name: uint32(name), value: uint32(value), size: uint8(r - p)}
		if v.len > 0 {
			pair.hi, pair.lo = product(n.hash, v.hash)
		}
		b.refs.next = append(b.refs.next, pair)
		p = r
	}
	return true
}

// noRef is no reference of any symbol: there are never so many.
const noRef = 1 << 40

// shortRef reads a reference of up to three bytes; noRef when it is longer or cut off.
func shortRef(m []byte, p int) (ref, next int) {
	switch {
	case p < len(m) && m[p] < 0x80:
		return int(m[p]), p + 1
	case p+1 < len(m) && m[p+1] < 0x80:
		return int(m[p]&0x7f) | int(m[p+1])<<7, p + 2
	case p+2 < len(m) && m[p+2] < 0x80:
		return int(m[p]&0x7f) | int(m[p+1]&0x7f)<<7 | int(m[p+2])<<14, p + 3
	}
	return noRef, p
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
			w.name, w.from, w.half = uint32(ref), p, true
			p = q
			continue
		}
		w.half = false
		if len(b.refs.next) >= b.lim.MaxLabels {
			return &TooLargeError{What: "labels", Limit: b.lim.MaxLabels, Got: -1, Series: i}
		}
		pair := refPair{name: w.name, value: uint32(ref), size: uint8(q - w.from)}
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
		r.i, r.j, r.front, r.back = 0, len(r.pairs), 0, 0
		r.sum, r.valued, r.piece = keySum{}, 0, span{}
		if w.pieces == 1 {
			r.piece = w.piece
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
		if bytes.Compare(b.symbols[pairs[k-1].name].of(b.Message), b.symbols[pairs[k].name].of(b.Message)) >= 0 {
			return false
		}
	}
	return true
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
