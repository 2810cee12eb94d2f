package rewrite

import (
	"bytes"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// PairLabels name the labels by which a pair of replicas gives itself away.
// The zero value stands for none.
type PairLabels struct{ Cluster, Replica string }

// pairs is what a batch knows of the replicas that its series come from.
type pairs struct {
	labels PairLabels // that were looked for last; zero: none
	list   []member   // series that carry both labels, in their order
	refs   []byte     // scratch: the labels_refs of one series
}

// member is a series that carries both labels.
type member struct {
	series           int32
	cluster, replica span
	key              Key // with the replica's label
}

// SeekReplicas looks for the series that carry both labels. Each of them loses the replica's label: it is no
// part of its Key any more, is not shown by Label, EachLabel and Labels, and does not go out. So a series
// has one Key whichever replica sent it. Series with one of the labels, or none, are what they were.
//
// Asked again for the same labels it does nothing; asked for others it undoes
// first what it did. It must not be asked once anything was edited.
func (b *Batch) SeekReplicas(l PairLabels) {
	if b.pairs.labels == l {
		return
	}
	for i := range b.pairs.list {
		m := &b.pairs.list[i]
		s := &b.Series[m.series]
		s.Key, s.flags = m.key, s.flags&^stripped
	}
	b.pairs.labels, b.pairs.list = l, b.pairs.list[:0]
	if l == (PairLabels{}) {
		return
	}
	tenant, name := xxhash.Sum64String(b.Tenant), xxhash.Sum64String(l.Replica)
	var known []byte // the value hashed last: it repeats from series to series
	var hash uint64
	for i := range b.Series {
		m := member{series: int32(i), key: b.Series[i].Key}
		if !b.findMember(&m, l) {
			continue
		}
		if value := m.replica.of(b.Message); known == nil || !bytes.Equal(known, value) {
			known, hash = value, xxhash.Sum64(value)
		}
		s := &b.Series[i]
		s.Key = s.Key.without(tenant, name, hash)
		s.flags |= stripped
		b.pairs.list = append(b.pairs.list, m)
	}
}

// findMember finds both labels of a series and reports whether they are there.
func (b *Batch) findMember(m *member, l PairLabels) bool {
	found := 0
	for it := b.iterate(int(m.series)); found < 2 && it.next(); {
		switch string(it.name) {
		case l.Cluster:
			m.cluster = b.spanOf(it.value)
			found++
		case l.Replica:
			m.replica = b.spanOf(it.value)
			found++
		}
	}
	return found == 2
}

// spanOf is where a piece of Message is in it.
func (b *Batch) spanOf(piece []byte) span {
	return span{int32(cap(b.Message) - cap(piece)), int32(len(piece))}
}

// Members are the series that carry both labels of SeekReplicas, in their order.
func (b *Batch) Members() int { return len(b.pairs.list) }

// Member is the k-th of them: its index in Series, its cluster and its replica, aliasing Message.
func (b *Batch) Member(k int) (series int, cluster, replica []byte) {
	m := &b.pairs.list[k]
	return int(m.series), m.cluster.of(b.Message), m.replica.of(b.Message)
}

// DropSeries leaves series i out of what is forwarded, with all that it carries, exemplars too.
func (b *Batch) DropSeries(i int) {
	b.Series[i].flags |= dropped
	b.cut = true
}

// Dropped reports whether series i was left out by DropSeries.
func (b *Batch) Dropped(i int) bool { return b.Series[i].flags&dropped != 0 }

// without is the key of the series less one label, given by the hashes of its name and value: key() backwards,
// the label's share taken off the sum, and forwards again.
func (k Key) without(tenant, name, value uint64) Key {
	sum := k.sum(tenant)
	sum.sub(product(name, value))
	return sum.key(tenant)
}

// unmix is mix backwards: each step of it is a bijection (an odd factor has an
// inverse, and a shifted xor is undone by repeating it until nothing is shifted in).
func unmix(x uint64) uint64 {
	x ^= x>>31 ^ x>>62
	x *= 0x319642b2d24d8ec3 // of 0x94d049bb133111eb, modulo 2^64
	x ^= x>>27 ^ x>>54
	x *= 0x96de1b173f119089 // of 0xbf58476d1ce4e5b9
	return x ^ x>>30 ^ x>>60
}

// strippedLabel is the label that series s goes out without, "" if there is none.
func (b *Batch) strippedLabel(s *Series) string {
	if s.flags&stripped == 0 {
		return ""
	}
	return b.pairs.labels.Replica
}

// isStripped reports whether the Label message m[p0:p1] of 1.0 is the one that its series goes out without.
func (b *Batch) isStripped(s *Series, p0, p1 int) bool {
	if s.flags&stripped == 0 {
		return false
	}
	name, _, _ := labelParts(b.Message[:p1], p0)
	return string(name.of(b.Message)) == b.pairs.labels.Replica
}

// appendRefs appends the labels_refs of a 2.0 series in one field, without the label that it goes out without.
func (b *Batch) appendRefs(dst []byte, s *Series) []byte {
	refs := b.pairs.refs[:0]
	name, half := uint64(0), false
	take := func(ref uint64) {
		switch {
		case !half:
			name = ref
		case string(b.symbols[name].of(b.Message)) != b.pairs.labels.Replica:
			refs = binary.AppendUvarint(binary.AppendUvarint(refs, name), ref)
		}
		half = !half
	}
	m := b.Message[:s.p1]
	for p := int(s.p0); p < len(m); {
		f, q := known(m, p)
		switch {
		case f.num != v2LabelsRefs:
		case f.wt == wireVarint:
			take(f.v)
		default:
			for r := f.p0; r < f.p1; {
				v, next, _ := uvarint(m[:f.p1], r)
				take(v)
				r = next
			}
		}
		p = q
	}
	b.pairs.refs = refs
	return appendBytes(dst, v2LabelsRefs, refs)
}
