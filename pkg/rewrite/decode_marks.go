package rewrite

import (
	"math/bits"
	"slices"
)

// refMarks tell of the bytes of a short piece of references, one bit each: which of them end a
// reference, and which are other than those of the piece before.
type refMarks struct{ ends, differ uint64 }

// markedBytes is how long a piece may be to be marked.
const markedBytes = 64

// marksOf marks the bytes of piece, a part of m of at most markedBytes bytes, as old is.
// They are read eight at a time, so m has markedBytes more behind its end.
func marksOf(m []byte, piece, old span) (x refMarks) {
	n, p, q := int(piece.len), int(piece.off), int(old.off)
	m = m[:len(m)+markedBytes]
	cur, was := (*[markedBytes]byte)(m[p:]), (*[markedBytes]byte)(m[q:])
	for k := 0; k < n; k += 8 {
		c := le64(cur[:], k)
		d := c ^ le64(was[:], k)
		x.ends |= upperBits(^c) << k
		x.differ |= upperBits(d|(d&^upperBit+^uint64(upperBit))) << k
	}
	within := uint64(1)<<n - 1
	return refMarks{x.ends & within, x.differ & within}
}

// upperBit is the upper bit of every byte of a word.
const upperBit = 0x8080808080808080

// upperBits gathers the upper bits of the eight bytes of x.
func upperBits(x uint64) uint64 { return x & upperBit * 0x0002040810204081 >> 56 }

// resemble makes the labels of w's piece from those of the last series. In front, where every reference is as long as it was there, pairs
// are looked at that differ; then there may be some in the place of others; behind them all are the same again. It
// reports false where that is not possible or something is wrong with them.
func (b *Batch) resemble(w *refWalk, series int) bool {
	r := &b.refs
	if r.piece.len == 0 {
		return false
	}
	cur, old, ends, base := w.piece, r.piece, r.ends, 0
	long := max(cur.len, old.len) > markedBytes
	if long {
		if cur, old, base = b.narrow(cur, old); max(cur.len, old.len) > markedBytes {
			return false
		}
		ends = marksOf(b.Message, old, old).ends
	}
	marks := marksOf(b.Message, cur, old)
	g := pairGap{front: int(cur.len)}
	if marks.ends != ends || cur.len != old.len {
		var ok bool
		if g, ok = b.gap(marks, ends, cur, old); !ok || len(r.pairs)+g.n-(g.j-g.i) > b.lim.MaxLabels {
			return false
		}
		g.i, g.j = base+g.i, base+g.j
	}
	was := len(r.pairs)
	valued := r.valued == was
	changed, first, front := uint32(0), was, int(w.piece.len) // of the pairs that differ
	names, low, high := false, was, 0                         // of those with another name
	for d := marks.differ & (1<<g.front - 1); d != 0; {
		// The first byte that differs is of the pair from the end of the one before to the second end from there.
		before := marks.ends & (d&-d - 1)
		k := bits.OnesCount64(before)
		if k&1 != 0 {
			before &^= 1 << (bits.Len64(before) - 1)
		}
		k = base + k>>1
		from := bits.Len64(before)
		pair, end, ok := b.pairAt(int(cur.off)+from, marks.ends>>from)
		if !ok {
			return r.forget()
		}
		d &^= 1<<(from+end) - 1
		if r.pairs[k].name != pair.name {
			names, low, high = true, min(low, k), k+1
		}
		r.take(&r.pairs[k], -1)
		r.pairs[k] = pair
		r.take(&pair, 1)
		if changed == 0 {
			first, front = k, int(cur.off-w.piece.off)+from
		}
		changed |= 1 << (k & mostSame)
	}
	if g.n|(g.j-g.i) != 0 {
		if !b.fill(int(cur.off), &g, marks.ends) {
			return r.forget()
		}
		if changed == 0 {
			first, front = g.i, int(cur.off-w.piece.off)+g.front
		}
		names, low, high = true, min(low, g.i), g.i+g.n
		changed |= 1<<(g.i+g.n) - 1<<g.i
		if g.n != g.j-g.i {
			changed |= ^uint32(0) << g.i
		}
	}
	if r.piece, r.ends = w.piece, marks.ends; long {
		r.stand(b.Message, w.piece)
	}
	w.alike, w.same = true, !names
	total := len(r.pairs)
	if names {
		r.sorted = r.sorted && b.increase(r.pairs[max(low-1, 0):min(high+1, total)])
	}
	if valued && r.valued == total && total <= mostSame {
		b.Series[series].alike((1<<total-1)&^changed, total, first, front)
	}
	return true
}

// narrow leaves what is the same at the beginning and at the end of two pieces out, and tells how many pairs those at the beginning are.
func (b *Batch) narrow(piece, old span) (cur, was span, base int) {
	x, y := piece.of(b.Message), old.of(b.Message)
	p := commonPrefix(x, y)
	base = countEnds(x[:p])
	for p = refStart(x, p); base&1 != 0; base-- {
		p = refStart(x, p-1)
	}
	q := len(x) - commonSuffix(x[p:], y[p:])
	if q < len(x) {
		q = refEnd(x, q) // of a reference that may have begun before
	}
	if countEnds(x[q:])&1 != 0 {
		q = refEnd(x, q)
	}
	n := int32(q - p)
	return span{piece.off + int32(p), n}, span{old.off + int32(p), n + old.len - piece.len}, base / 2
}

// countEnds is how many references end in a part of a piece.
func countEnds(b []byte) (n int) {
	for ; len(b) >= 8; b = b[8:] {
		n += bits.OnesCount64(^le64(b, 0) & upperBit)
	}
	for _, c := range b {
		n += int(^c >> 7)
	}
	return n
}

// refStart is where the reference begins that the byte at p would be of.
func refStart(b []byte, p int) int {
	for p > 0 && b[p-1] >= 0x80 {
		p--
	}
	return p
}

// refEnd is where the reference ends that the byte at p is of.
func refEnd(b []byte, p int) int {
	for p < len(b)-1 && b[p] >= 0x80 {
		p++
	}
	return p + 1
}

// pairGap is where two pieces differ: n pairs of the one, from front bytes on, stand for the pairs i to j of the other.
type pairGap struct{ front, i, j, n int }

// gap finds the smallest, so that in front of it every reference is as long as in the old piece, and behind it all are the same.
// It reports false where the new piece is not made of whole pairs.
func (b *Batch) gap(marks refMarks, oldEnds uint64, piece, old span) (g pairGap, ok bool) {
	cur, last := piece.of(b.Message), old.of(b.Message)
	total := bits.OnesCount64(marks.ends)
	if total&1 != 0 || len(cur) > 0 && marks.ends>>(len(cur)-1) == 0 {
		return g, false
	}
	// The back: whole pairs among the last bytes, which are the same.
	same := commonSuffix(last, cur)
	rest := marks.ends >> (len(cur) - same)
	back := bits.OnesCount64(rest)
	at := len(cur) - same
	if (marks.ends<<1|1)>>at&((oldEnds<<1|1)>>(len(last)-same))&1 == 0 && back > 0 { // the first of them began before
		at += bits.TrailingZeros64(rest) + 1
		rest &= rest - 1
		back--
	}
	if back&1 != 0 {
		at = len(cur) - same + bits.TrailingZeros64(rest) + 1
		back--
	}
	// The front.
	front := marks.ends & (1<<min(bits.TrailingZeros64(marks.ends^oldEnds), at, len(last)-len(cur)+at) - 1)
	k := bits.OnesCount64(front)
	if k&1 != 0 {
		front &^= 1 << (bits.Len64(front) - 1)
	}
	k >>= 1
	return pairGap{front: bits.Len64(front), i: k, j: (bits.OnesCount64(oldEnds) - back) / 2, n: (total-back)/2 - k}, true
}

// fill puts the pairs of a gap in, of a piece at p.
func (b *Batch) fill(p int, g *pairGap, ends uint64) bool {
	r := &b.refs
	r.next = r.next[:0]
	at, rest := p+g.front, ends>>g.front
	for range g.n {
		pair, n, ok := b.pairAt(at, rest)
		if !ok {
			return false
		}
		at += n
		rest >>= n
		r.next = append(r.next, pair)
		r.take(&pair, 1)
	}
	for k := g.i; k < g.j; k++ {
		r.take(&r.pairs[k], -1)
	}
	if g.n == g.j-g.i {
		copy(r.pairs[g.i:g.j], r.next)
	} else {
		r.pairs = slices.Replace(r.pairs, g.i, g.j, r.next...)
	}
	return true
}

// pairAt reads the pair at p, whose bytes' ends are the first of ends, and how many bytes it has. It reports false where it is
// none, or breaks a limit.
func (b *Batch) pairAt(p int, ends uint64) (pair refPair, n int, ok bool) {
	mid := bits.TrailingZeros64(ends) + 1
	n = bits.TrailingZeros64(ends&(ends-1)) + 1
	name, value := b.refAt(p, mid), b.refAt(p+mid, n-mid)
	if name >= len(b.symbols) || value >= len(b.symbols) {
		return pair, n, false
	}
	x, y := &b.symbols[name], &b.symbols[value]
	if x.len == 0 || int(max(x.len, y.len)) > b.lim.MaxLabelValueBytes {
		return pair, n, false
	}
	pair = refPair{name: uint32(name), value: uint32(value)}
	if y.len > 0 {
		pair.hi, pair.lo = product(x.hash, y.hash)
	}
	return pair, n, true
}

// take adds a pair's share to the sum, or takes it away.
func (r *refSet) take(p *refPair, n int) {
	if p.hi|p.lo == 0 { // a label without a value does not count
		return
	}
	if r.valued += n; n > 0 {
		r.sum.add(p.hi, p.lo)
	} else {
		r.sum.sub(p.hi, p.lo)
	}
}

// refAt is the reference of n bytes at p; noRef where there are more than three.
func (b *Batch) refAt(p, n int) int {
	if n > 3 {
		return noRef
	}
	x := le64(b.Message[:len(b.Message)+markedBytes], p) & (1<<(8*n) - 1)
	return int(x&0x7f | x>>1&0x3f80 | x>>2&0x1fc000)
}

// stand notes where the last series' labels stand.
func (r *refSet) stand(m []byte, piece span) {
	if r.piece, r.ends = piece, 0; piece.len <= markedBytes {
		r.ends = marksOf(m, piece, piece).ends
	}
}

// forget drops what is known of the last series.
func (r *refSet) forget() bool {
	r.pairs, r.piece = r.pairs[:0], span{}
	return false
}

// noRef is no reference of any symbol: there are never so many.
const noRef = 1 << 40
