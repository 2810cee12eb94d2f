package rewrite

import (
	"bytes"
	"math"
	"unsafe"

	"github.com/cespare/xxhash/v2"
	"github.com/golang/snappy"
)

const (
	seriesBytes    = int(unsafe.Sizeof(Series{}))
	sampleBytes    = int(unsafe.Sizeof(Sample{}))
	histogramBytes = int(unsafe.Sizeof(Histogram{}))
	metadataBytes  = int(unsafe.Sizeof(Metadata{}))
	symbolBytes    = int(unsafe.Sizeof(symbol{}))
	memoBytes      = int(unsafe.Sizeof(labelMemo{}))
	blockBytes     = int(unsafe.Sizeof(labelBlock{}))
	pairBytes      = int(unsafe.Sizeof(refPair{}))
	memberBytes    = int(unsafe.Sizeof(member{}))

	// entryFactor and entrySlack bound what the entries of one kind may take:
	// entryFactor bytes for every byte of the message so far. Honest requests need less
	// (a series and its sample take 88 bytes, and at least 25 on the wire; a
	// sample with a timestamp of our time 32, and at least 9), what exceeds it is
	// built to exhaust memory and found out before it has.
	entryFactor = 4
	entrySlack  = 64 << 10

	// maxLabels holds where Limits.MaxLabels is 0.
	maxLabels = 1 << 16

	// giant is the length, in bytes, up to which a message gets more room than it needs.
	giant = 4 << 20

	// snappyRatio: no element of a snappy block gives more than 64 bytes for its 3 (format_description.txt, 2.2.2).
	snappyRatio = 64.0 / 3
)

// Decode decompresses and checks a request completely: snappy, structure,
// symbols, label rules, native histograms, limits. What it accepts,
// Prometheus' own message types decode to the same content. It keeps
// compressed, which must not change while the Batch is in use.
//
// It returns a *FormatError (400), a *TooLargeError (413) or what lim.Account says;
// the Batch is then of no use but for the next Decode.
func (b *Batch) Decode(v Version, tenant string, compressed []byte, lim Limits) error {
	b.reset(v, tenant, compressed, lim)
	if err := b.decompress(); err != nil {
		return err
	}
	switch v {
	case V1:
		return b.decodeV1(xxhash.Sum64String(tenant))
	case V2:
		return b.decodeV2(xxhash.Sum64String(tenant))
	}
	panic("BUG: rewrite: decode of an unknown version")
}

func (b *Batch) reset(v Version, tenant string, compressed []byte, lim Limits) {
	b.Version, b.Tenant, b.Compressed, b.lim = v, tenant, compressed, lim.bounded()
	b.Message = b.Message[:0]
	b.Series, b.Samples, b.Histograms = b.Series[:0], b.Samples[:0], b.Histograms[:0]
	clear(b.Metadata)
	b.Metadata = b.Metadata[:0]
	b.Exemplars, b.metadata = 0, 0
	b.symbols = b.symbols[:0]
	b.block = labelBlocks{labels: b.block.labels[:0], next: b.block.next[:0]}
	b.refs = refSet{pairs: b.refs.pairs[:0], next: b.refs.next[:0], sorted: true}
	b.times, b.about = timeMemo{}, metadataMemo{}
	b.patched, b.edited, b.edits, b.cut = false, false, b.edits[:0], false
	b.pairs.labels, b.pairs.list = PairLabels{}, b.pairs.list[:0]
	clear(b.natives)
	clear(b.zeros)
	b.lost = 0
}

// bounded gives limits that are 0 the value that holds then.
func (l Limits) bounded() Limits {
	if l.MaxLabels <= 0 {
		l.MaxLabels = maxLabels
	}
	if l.MaxLabelValueBytes <= 0 {
		l.MaxLabelValueBytes = math.MaxInt32
	}
	if l.MaxDecodedBytes <= 0 || l.MaxDecodedBytes > maxMessage {
		l.MaxDecodedBytes = maxMessage
	}
	return l
}

// decompress fills Message. The header's length is held against the limit and
// against what the body could possibly hold before anything is allocated.
func (b *Batch) decompress() error {
	n, err := snappy.DecodedLen(b.Compressed)
	if err != nil {
		return &FormatError{Series: -1, Offset: -1, Reason: brokenSnappy}
	}
	if n > b.lim.MaxDecodedBytes {
		return &TooLargeError{What: "decompressed bytes", Limit: b.lim.MaxDecodedBytes, Got: n, Series: -1}
	}
	if float64(n) > float64(len(b.Compressed))*snappyRatio {
		return &FormatError{Series: -1, Offset: -1, Reason: lyingSnappy}
	}
	if cap(b.Message) < n+markedBytes {
		b.Message = make([]byte, max(n, min(n+n/8, giant))+markedBytes) // the next one may be a little longer
	}
	m, err := snappy.Decode(b.Message[:n], b.Compressed)
	if err != nil {
		return &FormatError{Series: -1, Offset: -1, Reason: brokenSnappy}
	}
	b.Message = m
	return nil
}

// grow makes room for one more entry, within what the bytes before p and the whole message allow:
// for as many as there will be if it goes on like this, so that little is allocated in vain.
func grow[T any](b *Batch, s []T, size, p int, what string) ([]T, error) {
	if most := (entryFactor*p + entrySlack) / size; len(s) >= most {
		return s, &TooLargeError{What: what + " for the bytes they take", Limit: most, Got: -1, Series: -1}
	}
	most := (entryFactor*len(b.Message) + entrySlack) / size
	foreseen := int(float64(len(s)) * float64(len(b.Message)) / float64(max(p, 1)) * 1.1)
	if foreseen > 4*len(s) { // of the first entries one cannot tell
		foreseen = 4 * len(s)
	}
	room := min(max(64, len(s)+len(s)/4, foreseen), most)
	if b.lim.Account != nil {
		if err := b.lim.Account.Hold((room - cap(s)) * size); err != nil {
			return s, err
		}
	}
	bigger := make([]T, len(s), room)
	copy(bigger, s)
	return bigger, nil
}

// bad is the error of series i (-1: none) at a byte.
func bad(i, offset int, reason string) error {
	return &FormatError{Series: i, Offset: offset, Reason: reason}
}

// sample decodes the Sample message m[p:end] of series i; the layout is the same in both
// versions but for 2.0's start timestamp. Of fields that occur twice, the last counts.
func (b *Batch) sample(i, p, end int) error {
	if len(b.Samples) == cap(b.Samples) {
		var err error
		if b.Samples, err = grow(b, b.Samples, sampleBytes, p, "samples"); err != nil {
			return err
		}
	}
	m, begin := b.Message[:end], p
	// As every known sender writes it: the value, then the timestamp, then perhaps
	// the start timestamp. Both are mostly those of the sample before.
	var s Sample
	if end-p >= 11 && m[p] == 1<<3|wire64 {
		s.V, s.val = math.Float64frombits(le64(m, p+1)), int32(p+1)
		p += 9
	} // else a 0 is left out
	if end-p >= 2 && m[p] == 2<<3|wireVarint {
		if t := &b.times; bytes.Equal(t.piece.of(m), m[p:]) {
			s.T, s.ST = t.t, t.st
			if t.start > 0 {
				s.st = int32(p) + t.start
			}
			b.Samples = append(b.Samples, s)
			return nil
		}
		if t, q, reason := uvarint(m, p+1); reason == "" {
			s.T = int64(t)
			if q < end && b.Version == V2 && m[q] == 3<<3|wireVarint {
				st, r, reason := uvarint(m, q+1)
				if reason == "" {
					s.ST, s.st = int64(st), int32(q+1)
					q = r
				}
			}
			if q == end {
				b.Samples = append(b.Samples, s)
				b.times = timeMemo{piece: span{int32(p), int32(end - p)}, t: s.T, st: s.ST}
				if s.st > 0 {
					b.times.start = s.st - int32(p)
				}
				return nil
			}
		}
	}
	return b.sampleSlow(i, begin, m)
}

// timeMemo is the timestamps of the last sample that was written as samples usually are.
type timeMemo struct {
	piece span // in Message, from the timestamp's tag to the message's end; len 0: none
	start int32
	t, st int64
}

func (b *Batch) sampleSlow(i, p int, m []byte) error {
	var s Sample
	for p < len(m) {
		f, q, reason := next(m, p)
		if reason != "" {
			return bad(i, p, reason)
		}
		want := -1
		switch {
		case f.num == 1:
			want = wire64
		case f.num == 2, f.num == 3 && b.Version == V2:
			want = wireVarint
		}
		if want >= 0 && f.wt != want {
			return bad(i, p, wrongWire)
		}
		switch {
		case f.num == 1:
			s.V, s.val = math.Float64frombits(le64(m, f.p0)), int32(f.p0)
		case f.num == 2:
			s.T = int64(f.v)
		case want >= 0:
			s.ST, s.st = int64(f.v), int32(f.p0)
		}
		p = q
	}
	b.Samples = append(b.Samples, s)
	return nil
}

// histogram decodes and judges the Histogram message m[p:end] of series i.
func (b *Batch) histogram(i, p, end int) error {
	if len(b.Histograms) == cap(b.Histograms) {
		var err error
		if b.Histograms, err = grow(b, b.Histograms, histogramBytes, p, "histograms"); err != nil {
			return err
		}
	}
	var c histogramCheck
	if at, reason := c.walk(b.Message[:end], p, b.Version); reason != "" {
		return bad(i, at, reason)
	}
	if reason := c.judge(); reason != "" {
		return bad(i, p, reason)
	}
	b.Histograms = append(b.Histograms, Histogram{T: c.t, ST: c.st, p0: int32(p), p1: int32(end)})
	return nil
}

// newSeries appends an entry for the TimeSeries m[p0:p1] whose tag is at at.
func (b *Batch) newSeries(at, p0, p1 int) error {
	if len(b.Series) == cap(b.Series) {
		var err error
		if b.Series, err = grow(b, b.Series, seriesBytes, at, "series"); err != nil {
			return err
		}
	}
	b.Series = b.Series[:len(b.Series)+1]
	b.Series[len(b.Series)-1] = Series{at: int32(at), p0: int32(p0), p1: int32(p1)} // in place: append makes it elsewhere and copies it
	return nil
}
