package rewrite

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
)

// Field numbers of prometheus.WriteRequest and what is in it.
const (
	v1Timeseries = 1
	v1Metadata   = 3

	v1Labels     = 1
	v1Samples    = 2
	v1Exemplars  = 3
	v1Histograms = 4
)

// span is a piece of Message.
type span struct{ off, len int32 }

func (s span) of(m []byte) []byte { return m[s.off : s.off+s.len] }

// labelMemo is a Label message that was found good: where it is, where its name is, and its share of the key.
type labelMemo struct {
	body   span
	name   span
	hi, lo uint64
}

func (b *Batch) decodeV1(tenant uint64) error {
	m := b.Message
	b.recall.begin(&b.lim)
	defer b.recall.end()
	for p := 0; p < len(m); {
		var num, p0, p1 int
		if c := m[p]; c == v1Timeseries<<3|wireBytes {
			var reason string
			if p0, p1, reason = length(m, p+1); reason != "" {
				return bad(len(b.Series), p, reason)
			}
			num = v1Timeseries
		} else {
			f, q, reason := next(m, p)
			if reason != "" {
				return bad(-1, p, reason)
			}
			if f.wt != wireBytes {
				if f.num == v1Timeseries || f.num == v1Metadata {
					return bad(-1, p, wrongWire)
				}
				p = q
				continue
			}
			num, p0, p1 = f.num, f.p0, f.p1
		}
		switch num {
		case v1Timeseries:
			if err := b.newSeries(p, p0, p1); err != nil {
				return err
			}
			if err := b.seriesV1(len(b.Series)-1, tenant); err != nil {
				return err
			}
		case v1Metadata:
			if err := b.metadataV1(p0, p1); err != nil {
				return err
			}
		}
		p = p1
	}
	return nil
}

func (b *Batch) seriesV1(i int, tenant uint64) error {
	s := &b.Series[i]
	m := b.Message[:s.p1]
	s.S0, s.H0 = int32(len(b.Samples)), int32(len(b.Histograms))
	p := int(s.p0)
	recalled, block := false, 0 // block: bytes of the label set, if it is to be remembered
	if b.recall.m != nil {
		var n int
		if s.Key, n, block = b.recall.series(tenant, m[p:]); n > 0 {
			recalled = true
			p += n
		}
	}
	set := labelSet{sorted: true, trust: b.lastSorted}
	b.memo = b.memo[:0]
	for p < len(m) {
		var num, p0, p1 int
		var reason string
		if c := m[p]; c&0x87 == wireBytes && c > 7 { // one byte of tag, as all known fields have
			num = int(c >> 3)
			if p0, p1, reason = length(m, p+1); reason != "" {
				return bad(i, p, reason)
			}
		} else {
			f, q, reason := next(m, p)
			if reason != "" {
				return bad(i, p, reason)
			}
			if f.wt != wireBytes {
				if f.num <= v1Histograms {
					return bad(i, p, wrongWire)
				}
				p = q
				continue
			}
			num, p0, p1 = f.num, f.p0, f.p1
		}
		var err error
		switch num {
		case v1Labels:
			if recalled { // more of them behind something else, as no sender writes it
				return b.seriesAnew(i, tenant)
			}
			if p >= int(s.p0)+block {
				block = 0
			}
			err = b.labelV1(&set, i, p0, p1)
		case v1Samples:
			err = b.sample(i, p0, p1)
		case v1Exemplars:
			s.exemplars++
			err = b.exemplarV1(i, p0, p1)
		case v1Histograms:
			err = b.histogram(i, p0, p1)
		}
		if err != nil {
			return err
		}
		p = p1
	}
	s.S1, s.H1 = int32(len(b.Samples)), int32(len(b.Histograms))
	b.Exemplars += int(s.exemplars)
	if recalled {
		return nil
	}
	if !set.valued {
		return bad(i, int(s.p0), noLabels)
	}
	if !set.sorted && b.duplicateNames() {
		return bad(i, int(s.p0), duplicate)
	}
	s.Key = set.sum.key(tenant)
	if block > 0 {
		b.recall.learned(block, s.Key)
	}
	b.memo, b.last, b.lastSorted = b.last, b.memo, set.sorted
	return nil
}

// seriesAnew decodes series i without what is remembered. The rest of the request goes without it too.
func (b *Batch) seriesAnew(i int, tenant uint64) error {
	s := &b.Series[i]
	b.Samples, b.Histograms, s.exemplars = b.Samples[:s.S0], b.Histograms[:s.H0], 0
	b.recall.m = nil
	return b.seriesV1(i, tenant)
}

// labelSet is what is known of a series' labels while they are walked.
type labelSet struct {
	sum    keySum
	at     int  // the label of the last series that is probably next
	run    bool // the label before was found in the last series, before at
	trust  bool // the last series' labels were sorted
	sorted bool // names increase strictly so far, so none occurs twice
	valued bool // there is a label with a value
}

// labelV1 takes the Label message m[p0:p1] into the set. Most labels are byte for
// byte a label of the series before, about where it was: those are checked and
// hashed already.
func (b *Batch) labelV1(set *labelSet, i, p0, p1 int) error {
	if len(b.memo) >= b.lim.MaxLabels {
		return &TooLargeError{What: "labels", Limit: b.lim.MaxLabels, Got: -1, Series: i}
	}
	body := b.Message[p0:p1]
	for j := set.at; j < len(b.last) && j < set.at+2; j++ {
		old := &b.last[j]
		if int(old.body.len) != len(body) || !bytes.Equal(old.body.of(b.Message), body) {
			continue
		}
		// Names that followed each other in a sorted set are in order.
		if inOrder := set.run && set.trust; !inOrder {
			b.order(set, old.name)
		}
		set.sum.add(old.hi, old.lo)
		set.valued = set.valued || old.hi|old.lo != 0
		set.at, set.run = j+1, true
		b.memo = append(b.memo, *old)
		return nil
	}
	set.run = false
	memo, err := b.newLabelV1(i, p0, p1)
	if err != nil {
		return err
	}
	b.order(set, memo.name)
	set.sum.add(memo.hi, memo.lo)
	set.valued = set.valued || memo.hi|memo.lo != 0
	b.memo = append(b.memo, memo)
	return nil
}

// order notes whether name comes after the set's last one.
func (b *Batch) order(set *labelSet, name span) {
	if n := len(b.memo); n > 0 && set.sorted {
		set.sorted = bytes.Compare(b.memo[n-1].name.of(b.Message), name.of(b.Message)) < 0
	}
}

// newLabelV1 parses, checks and hashes a Label message. A label without value has no share of the key.
func (b *Batch) newLabelV1(i, p0, p1 int) (labelMemo, error) {
	name, value, reason := labelParts(b.Message[:p1], p0)
	switch {
	case reason != "":
	case name.len == 0:
		reason = emptyName
	case !utf8.Valid(name.of(b.Message)), !utf8.Valid(value.of(b.Message)):
		reason = notUTF8
	}
	if reason != "" {
		return labelMemo{}, bad(i, p0, reason)
	}
	if n := int(max(name.len, value.len)); n > b.lim.MaxLabelValueBytes {
		return labelMemo{}, &TooLargeError{What: "bytes in a label", Limit: b.lim.MaxLabelValueBytes, Got: n, Series: i}
	}
	memo := labelMemo{body: span{int32(p0), int32(p1 - p0)}, name: name}
	if value.len > 0 {
		memo.hi, memo.lo = product(xxhash.Sum64(name.of(b.Message)), xxhash.Sum64(value.of(b.Message)))
	}
	return memo, nil
}

// labelParts finds name and value of the 1.0 Label message from p to m's end.
func labelParts(m []byte, p int) (name, value span, reason string) {
	for p < len(m) {
		if c := m[p]; c == 1<<3|wireBytes || c == 2<<3|wireBytes {
			p0, p1, reason := length(m, p+1)
			if reason != "" {
				return name, value, reason
			}
			if c == 1<<3|wireBytes {
				name = span{int32(p0), int32(p1 - p0)}
			} else {
				value = span{int32(p0), int32(p1 - p0)}
			}
			p = p1
			continue
		}
		f, q, reason := next(m, p)
		if reason != "" {
			return name, value, reason
		}
		if f.num == 1 || f.num == 2 {
			if f.wt != wireBytes {
				return name, value, wrongWire
			}
			if f.num == 1 {
				name = span{int32(f.p0), int32(f.p1 - f.p0)}
			} else {
				value = span{int32(f.p0), int32(f.p1 - f.p0)}
			}
		}
		p = q
	}
	return name, value, ""
}

// duplicateNames looks through the names of memo, which are not in order.
func (b *Batch) duplicateNames() bool {
	b.dup = b.dup[:0]
	for i := range b.memo {
		b.dup = append(b.dup, b.memo[i].name)
	}
	return b.sortedTwice()
}

// sortedTwice sorts dup by what it points at and reports whether anything is in it twice.
func (b *Batch) sortedTwice() bool {
	m := b.Message
	slices.SortFunc(b.dup, func(x, y span) int { return bytes.Compare(x.of(m), y.of(m)) })
	for i := 1; i < len(b.dup); i++ {
		if bytes.Equal(b.dup[i-1].of(m), b.dup[i].of(m)) {
			return true
		}
	}
	return false
}

// exemplarV1 checks the Exemplar message m[p:end]: structure, label names, UTF-8 and
// limits. Its further rules (total length, order) are the storage's, which leaves out the single exemplar.
func (b *Batch) exemplarV1(i, p, end int) error {
	m, n := b.Message[:end], 0
	for p < end {
		f, q, reason := next(m, p)
		if reason == "" && f.num <= 3 && f.wt != [...]int{0, wireBytes, wire64, wireVarint}[f.num] {
			reason = wrongWire
		}
		if reason != "" {
			return bad(i, p, reason)
		}
		if f.num == 1 {
			if n++; n > b.lim.MaxLabels {
				return &TooLargeError{What: "labels of an exemplar", Limit: b.lim.MaxLabels, Got: -1, Series: i}
			}
			if _, err := b.newLabelV1(i, f.p0, f.p1); err != nil {
				return err
			}
		}
		p = q
	}
	return nil
}

// metadataV1 decodes the MetricMetadata message m[p:end].
func (b *Batch) metadataV1(p, end int) error {
	m := b.Message[:end]
	var family []byte
	var kind uint64
	b.metadata++
	for p < end {
		f, q, reason := next(m, p)
		if reason == "" {
			switch f.num {
			case 1:
				if f.wt != wireVarint {
					reason = wrongWire
				}
				kind = f.v
			case 2, 4, 5: // family, help, unit
				if f.wt != wireBytes {
					reason = wrongWire
				} else if !utf8.Valid(m[f.p0:f.p1]) {
					reason = notUTF8
				} else if f.num == 2 {
					family = m[f.p0:f.p1]
				}
			}
		}
		if reason != "" {
			return bad(-1, p, reason)
		}
		p = q
	}
	if len(family) == 0 {
		return nil
	}
	if len(b.Metadata) == cap(b.Metadata) {
		var err error
		if b.Metadata, err = grow(b, b.Metadata, metadataBytes, p, "metadata"); err != nil {
			return err
		}
	}
	b.Metadata = append(b.Metadata, Metadata{Family: string(family), Type: metricType(kind)})
	return nil
}

// metricType keeps the types that both versions number alike; any other is unspecified.
func metricType(v uint64) MetricType {
	if v > 7 {
		return 0
	}
	return MetricType(v)
}
