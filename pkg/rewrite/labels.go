package rewrite

import (
	"math/bits"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// Name returns the metric name of series i, aliasing Message; nil if it has none.
func (b *Batch) Name(i int) []byte { return b.Label(i, model.MetricNameLabel) }

// Label returns a label's value of series i, aliasing Message; nil if it is absent or empty.
func (b *Batch) Label(i int, name string) []byte {
	for it := b.iterate(i); it.next(); {
		if string(it.name) == name {
			return it.value
		}
	}
	return nil
}

// EachLabel calls fn for the labels of series i that are not empty, in the
// order in which they came. Name and value alias Message.
func (b *Batch) EachLabel(i int, fn func(name, value []byte)) {
	it := b.iterate(i)
	if it.skip == "" {
		it.plain(fn)
	}
	for it.next() {
		fn(it.name, it.value)
	}
}

// Same has bit n set if the n-th label of series i is, byte for byte, the n-th label of series i-1. It has
// no bits at all where Decode did not find out at no cost, and for a series of more than 31 labels.
func (b *Batch) Same(i int) uint32 {
	s := &b.Series[i]
	if s.same == 0 || (s.flags|b.Series[i-1].flags)&stripped != 0 {
		return 0
	}
	return s.same
}

// EachOther calls fn for the labels of series i whose bits in Same(i) are not set, and returns how many there are with
// those that are. It is EachLabel where no bit is set. Name and value alias Message.
func (b *Batch) EachOther(i int, fn func(n int, name, value []byte)) (labels int) {
	same := b.Same(i)
	if same == 0 {
		b.EachLabel(i, func(name, value []byte) {
			fn(labels, name, value)
			labels++
		})
		return labels
	}
	s := &b.Series[i]
	m, p := b.Message[:s.p1], int(s.p0) // all labels stand at the front,
	if b.Version == V2 {                // or in one piece
		var f field
		if m[p] == v2LabelsRefs<<3|wireBytes {
			f.p0, f.p1, _ = length(m, p+1)
		} else {
			for f.num != v2LabelsRefs {
				f, p = known(m, p)
			}
		}
		m, p = m[:f.p1], f.p0
	}
	n, others := 0, ^same&(1<<s.labels-1)
	if s.front != farFront {
		n = bits.TrailingZeros32(^same)
		p += int(s.front)
	}
	for ; others>>n != 0; n++ { // what stands behind the last of them needs no look
		switch other := others>>n&1 != 0; {
		case b.Version == V2:
			p = b.otherRefs(m, p, n, other, fn)
		default:
			p0, p1, _ := length(m, p+1)
			if other {
				name, value, _ := labelParts(m[:p1], p0)
				fn(n, name.of(m), value.of(m))
			}
			p = p1
		}
	}
	return int(s.labels)
}

// otherRefs passes over the two references of the n-th label, which stand at p, with a call of fn if it is to have one.
func (b *Batch) otherRefs(m []byte, p, n int, call bool, fn func(n int, name, value []byte)) (next int) {
	if !call {
		for refs := 0; refs < 2; p++ {
			refs += int(^m[p] >> 7)
		}
		return p
	}
	name, p, _ := uvarint(m, p)
	value, p, _ := uvarint(m, p)
	fn(n, b.symbols[name].of(b.Message), b.symbols[value].of(b.Message))
	return p
}

// plain calls fn for labels as all senders write them, which stand at the front and take their shortest form,
// and leaves the iterator at the first thing that is otherwise. Every series comes this way once.
func (it *labelIter) plain(fn func(name, value []byte)) {
	m, p := it.m, it.p
	for p+1 < len(m) && m[p] == 1<<3|wireBytes && m[p+1] < 0x80 {
		p0, end := p+2, p+2+int(m[p+1])
		if end > len(m) {
			return
		}
		if it.b.Version == V2 {
			if !it.plainRefs(p0, end, fn) {
				return
			}
			p = end
			it.p = p
			continue
		}
		// A name and a value shorter than 128 bytes, and nothing else.
		if end-p0 < 4 || m[p0] != 1<<3|wireBytes {
			return
		}
		n := int(m[p0+1])
		v := p0 + 2 + n
		if n >= 0x80 || v+2 > end || m[v] != 2<<3|wireBytes || int(m[v+1]) != end-v-2 {
			return
		}
		if v+2 < end {
			fn(m[p0+2:v], m[v+2:end])
		}
		p = end
		it.p = p
	}
}

// plainRefs does so for a packed piece of references in m[p:end], if it holds whole pairs of at most two bytes each.
func (it *labelIter) plainRefs(p, end int, fn func(name, value []byte)) bool {
	m, symbols, msg := it.m[:end], it.b.symbols, it.b.Message
	// Looked through first: fn is to be called for all of them or for none.
	n := 0
	for q := p; q < end; q++ {
		if m[q] < 0x80 {
			n++
		} else if q++; q == end || m[q] >= 0x80 {
			return false
		} else {
			n++
		}
	}
	if it.half || n%2 != 0 {
		return false
	}
	for p < end {
		var pair [2]uint32
		for k := range pair {
			pair[k] = uint32(m[p])
			p++
			if pair[k] >= 0x80 {
				pair[k] = pair[k]&0x7f | uint32(m[p])<<7
				p++
			}
		}
		if value := symbols[pair[1]].of(msg); len(value) > 0 {
			fn(symbols[pair[0]].of(msg), value)
		}
	}
	return true
}

// Labels returns the labels of series i, sorted, without those that are empty. It allocates.
func (b *Batch) Labels(i int) labels.Labels {
	sb := labels.NewScratchBuilder(16)
	for it := b.iterate(i); it.next(); {
		sb.Add(string(it.name), string(it.value))
	}
	sb.Sort()
	return sb.Labels()
}

// labelIter goes through the labels of a series that Decode accepted, leaving
// out empty ones. Labels are looked at seldom, so they are walked again, not kept.
type labelIter struct {
	b           *Batch
	m           []byte // Message up to the end of the series
	p           int
	refs, end   int    // 2.0: what is left of a packed piece of labels_refs
	ref         uint32 // 2.0: a name whose value is still to come
	half        bool
	skip        string // the label that is not shown, "" for none
	name, value []byte
}

func (b *Batch) iterate(i int) labelIter {
	s := &b.Series[i]
	return labelIter{b: b, m: b.Message[:s.p1], p: int(s.p0), skip: b.strippedLabel(s)}
}

func (it *labelIter) next() bool {
	for it.step() {
		if it.skip == "" || string(it.name) != it.skip {
			return true
		}
	}
	return false
}

func (it *labelIter) step() bool {
	for {
		if it.refs < it.end {
			v, q, reason := uvarint(it.m, it.refs)
			it.refs = q
			if reason != "" {
				panic("BUG: rewrite: labels changed after they were accepted")
			}
			if it.pair(uint32(v)) {
				return true
			}
			continue
		}
		if it.p >= len(it.m) {
			return false
		}
		f, q, reason := next(it.m, it.p)
		if reason != "" {
			panic("BUG: rewrite: series changed after it was accepted")
		}
		it.p = q
		switch {
		case f.num != 1: // labels have the same number in both versions
		case it.b.Version == V1:
			name, value, _ := labelParts(it.m[:f.p1], f.p0)
			it.name, it.value = name.of(it.m), value.of(it.m)
			if value.len > 0 {
				return true
			}
		default: // a packed piece of references, or a single one
			it.refs, it.end = f.p0, f.p1
		}
	}
}

// pair takes one reference and reports whether it completes a label that is not empty.
func (it *labelIter) pair(ref uint32) bool {
	if !it.half {
		it.ref, it.half = ref, true
		return false
	}
	it.half = false
	m := it.b.Message // symbols may stand behind the series
	it.name, it.value = it.b.symbols[it.ref].of(m), it.b.symbols[ref].of(m)
	return len(it.value) > 0
}
