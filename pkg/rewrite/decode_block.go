package rewrite

import (
	"bytes"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// labelMemo is a label of 1.0 that was found good: where its field is, tag and length included, where its name is, and its share of the key.
type labelMemo struct {
	field  span
	name   span
	hashed uint64 // the name's hash
	hi, lo uint64
}

// labelBlocks is the labels of the last 1.0 series that was not remembered. Most labels of a series are those
// of the one before, in the same place: only what differs is looked at.
type labelBlocks struct {
	labels []labelMemo
	piece  span // where they stand; len 0: not in one piece
	sum    keySum
	valued int  // labels with a value
	sorted bool // names increase strictly, so none occurs twice
	series int  // whose they are, its index in Series
	next   []labelMemo

	// Where it differed from the one before: its labels from to to, behind front bytes and before back.
	from, to, front, back int
}

// frontV1 deals with the labels that series i begins with, if they are remembered, or like those of the series before. It
// returns their length in bytes, 0 where it could not, and in learn the length that is to be remembered, 0 for none.
func (b *Batch) frontV1(i int, tenant uint64) (n, learn int) {
	s := &b.Series[i]
	if b.recall.m != nil {
		if s.Key, n, learn = b.recall.series(tenant, b.Message, s.p0, s.p1); n > 0 {
			return n, 0
		}
	}
	if n = learn; n == 0 {
		n = blockLen(b.Message[s.p0:s.p1])
	}
	if n == 0 || !b.resembleBlock(i, span{s.p0, int32(n)}) {
		return 0, learn
	}
	s.Key = b.block.sum.key(tenant)
	return n, learn
}

// resembleBlock makes the labels of a piece from those of the last series. It reports false, and has changed nothing,
// where that is not possible or something is wrong with them.
func (b *Batch) resembleBlock(i int, piece span) bool {
	r := &b.block
	if r.piece.len == 0 {
		return false
	}
	old, cur := r.piece.of(b.Message), piece.of(b.Message)
	if !r.differsAsBefore(old, cur) {
		r.difference(old, cur)
	} else if r.to-r.from == 1 && b.otherValue(i, piece) {
		return true
	}
	if !b.betweenLabels(i, int(piece.off)+r.front, int(piece.off+piece.len)-r.back) {
		return false
	}
	was := r.labels[r.from:r.to]
	total := len(r.labels) - len(was) + len(r.next)
	sum, valued, names := r.sum, r.valued, len(was) == len(r.next)
	for k := range was {
		sum.sub(was[k].hi, was[k].lo)
		if was[k].hi|was[k].lo != 0 {
			valued--
		}
		names = names && bytes.Equal(was[k].name.of(b.Message), r.next[k].name.of(b.Message))
	}
	for k := range r.next {
		sum.add(r.next[k].hi, r.next[k].lo)
		if r.next[k].hi|r.next[k].lo != 0 {
			valued++
		}
	}
	if total > b.lim.MaxLabels || valued == 0 || !names && !b.inOrder() {
		return false
	}
	same := uint32(0)
	if r.series == i-1 && r.valued == len(r.labels) && valued == total {
		same = sameAround(r.from, r.to, len(r.next), total)
		for k := 0; k < min(len(was), len(r.next)) && total <= mostSame; k++ {
			if bytes.Equal(was[k].field.of(b.Message), r.next[k].field.of(b.Message)) {
				same |= 1 << (r.from + k)
			}
		}
	}
	b.Series[i].alike(same, total, r.from, r.front)
	r.sum, r.valued, r.piece, r.series = sum, valued, piece, i
	if len(was) == len(r.next) {
		copy(was, r.next)
	} else {
		r.labels = slices.Replace(r.labels, r.from, r.to, r.next...)
		r.to = r.from + len(r.next)
	}
	return true
}

// otherValue is resembleBlock where one label differs, as it did the last time, and has another value alone: most new series are
// such, one bucket after the other. It reports false, and has changed nothing, where that is not so or something is wrong with it.
func (b *Batch) otherValue(i int, piece span) bool {
	r := &b.block
	was := &r.labels[r.from]
	at, end := piece.off+int32(r.front), piece.off+piece.len-int32(r.back)
	if end-at < 2 || b.Message[at] != v1Labels<<3|wireBytes || int32(b.Message[at+1]) != end-at-2 || b.Message[at+1] >= 0x80 {
		return false
	}
	name, value, reason := labelParts(b.Message[:end], int(at)+2)
	if reason != "" || value.len == 0 || was.hi|was.lo == 0 || int(value.len) > b.lim.MaxLabelValueBytes ||
		!bytes.Equal(name.of(b.Message), was.name.of(b.Message)) || !validUTF8(value.of(b.Message)) {
		return false
	}
	r.sum.sub(was.hi, was.lo)
	was.field = span{at, end - at} // its name reads the same where it was
	was.hi, was.lo = product(was.hashed, xxhash.Sum64(value.of(b.Message)))
	r.sum.add(was.hi, was.lo)
	total, same := len(r.labels), uint32(0)
	if r.series == i-1 && r.valued == total {
		same = sameAround(r.from, r.to, 1, total)
	}
	b.Series[i].alike(same, total, r.from, r.front)
	r.piece, r.series = piece, i
	return true
}

// inOrder reports whether the labels' names stay in order with next in its place. Where they were not, nothing is known.
func (b *Batch) inOrder() bool {
	r := &b.block
	if !r.sorted {
		return false
	}
	var last []byte
	if r.from > 0 {
		last = r.labels[r.from-1].name.of(b.Message)
	}
	for k := range r.next {
		name := r.next[k].name.of(b.Message)
		if bytes.Compare(last, name) >= 0 { // no name is empty
			return false
		}
		last = name
	}
	return r.to == len(r.labels) || bytes.Compare(last, r.labels[r.to].name.of(b.Message)) < 0
}

// farFront is a Series.front of more bytes, or of a number that is not known.
const farFront = 255

// alike notes that s has so many labels, of which those of same are the ones before it, and
// that front bytes of labels stand before the one numbered from.
func (s *Series) alike(same uint32, labels, from, front int) {
	s.same, s.labels, s.front = same, uint8(labels), farFront
	if front < farFront && bits.TrailingZeros32(^same) == from {
		s.front = uint8(front)
	}
}

// mostSame is how many labels a series may have for Series.same to tell of them.
const mostSame = 31

// sameAround has a bit for each of total labels that is the one before it in the same place, when those
// from from to to were exchanged for some others.
func sameAround(from, to, others, total int) uint32 {
	if total > mostSame {
		return 0
	}
	same := uint32(1)<<(from&mostSame) - 1
	if others == to-from {
		same |= uint32(1)<<(total&mostSame) - uint32(1)<<(to&mostSame)
	}
	return same
}

// differsAsBefore reports whether cur differs from old in no other labels than those, one or two, that differed the last time.
func (r *labelBlocks) differsAsBefore(old, cur []byte) bool {
	return r.to-r.from <= 2 && r.front+r.back <= len(cur) && bytes.Equal(old[:r.front], cur[:r.front]) &&
		bytes.Equal(old[len(old)-r.back:], cur[len(cur)-r.back:])
}

// difference finds the labels in which cur differs from old.
func (r *labelBlocks) difference(old, cur []byte) {
	same := commonPrefix(old, cur)
	r.from, r.front = 0, 0
	for r.from < len(r.labels) && r.front+int(r.labels[r.from].field.len) <= same {
		r.front += int(r.labels[r.from].field.len)
		r.from++
	}
	same = commonSuffix(old[r.front:], cur[r.front:])
	r.to, r.back = len(r.labels), 0
	for r.to > r.from && r.back+int(r.labels[r.to-1].field.len) <= same {
		r.to--
		r.back += int(r.labels[r.to].field.len)
	}
}

// betweenLabels takes whole labels, all of Message[p:end], into block.next. It reports false where one of them is not good.
// Those of the last series that are byte for byte the same, about where they were, are good.
func (b *Batch) betweenLabels(i, p, end int) bool {
	r := &b.block
	r.next = r.next[:0]
	m, at := b.Message[:end], r.from
	for p < end {
		if m[p] != v1Labels<<3|wireBytes || len(r.next) >= b.lim.MaxLabels { // more are refused before they are held
			return false
		}
		p0, p1, reason := length(m, p+1)
		if reason != "" {
			return false
		}
		if j := b.again(at, m[p:p1]); j >= 0 {
			r.next = append(r.next, r.labels[j])
			at = j + 1
			p = p1
			continue
		}
		var was *labelMemo
		if at < len(r.labels) {
			was = &r.labels[at]
		}
		memo, err := b.newLabelV1(i, p, p0, p1, was)
		if err != nil {
			return false
		}
		r.next = append(r.next, memo)
		if was != nil && memo.hashed == was.hashed {
			at++ // it stands for that one
		}
		p = p1
	}
	return true
}

// labelSet is what is known of a series' labels while they are walked one by one.
type labelSet struct {
	sum    keySum
	at     int  // the label of the last series that is probably next
	run    bool // the label before was found in the last series, before at
	trust  bool // the last series' labels were sorted
	sorted bool // names increase strictly so far, so none occurs twice
	valued int  // labels with a value
	end    int  // of the last one
	over   bool // something else came
	apart  bool // labels came behind it
}

// labelV1 takes the Label message m[p0:p1], whose tag is at at, into the set. Many labels are byte for
// byte a label of the series before, about where it was: those are checked and
// hashed already.
func (b *Batch) labelV1(set *labelSet, i, at, p0, p1 int) error {
	r := &b.block
	if len(r.next) >= b.lim.MaxLabels {
		return &TooLargeError{What: "labels", Limit: b.lim.MaxLabels, Got: -1, Series: i}
	}
	set.apart, set.end = set.apart || set.over, p1
	if j := b.again(set.at, b.Message[at:p1]); j >= 0 {
		old := &r.labels[j]
		// Names that followed each other in a sorted set are in order.
		if inOrder := set.run && set.trust; !inOrder {
			b.order(set, old.name)
		}
		b.take(set, *old)
		set.at, set.run = j+1, true
		return nil
	}
	set.run = false
	memo, err := b.newLabelV1(i, at, p0, p1, nil)
	if err != nil {
		return err
	}
	b.order(set, memo.name)
	b.take(set, memo)
	return nil
}

// again finds the label of the last series that has the same bytes, if it is the one at or the next; -1: neither is.
func (b *Batch) again(at int, field []byte) int {
	r := &b.block
	for j := at; j < len(r.labels) && j < at+2; j++ {
		if old := r.labels[j].field; int(old.len) == len(field) && bytes.Equal(old.of(b.Message), field) {
			return j
		}
	}
	return -1
}

// take puts a label behind the set's last one.
func (b *Batch) take(set *labelSet, memo labelMemo) {
	set.sum.add(memo.hi, memo.lo)
	if memo.hi|memo.lo != 0 {
		set.valued++
	}
	b.block.next = append(b.block.next, memo)
}

// order notes whether name comes after the set's last one.
func (b *Batch) order(set *labelSet, name span) {
	if n := len(b.block.next); n > 0 && set.sorted {
		set.sorted = bytes.Compare(b.block.next[n-1].name.of(b.Message), name.of(b.Message)) < 0
	}
}
