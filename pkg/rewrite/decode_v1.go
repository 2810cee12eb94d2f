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

// seriesV1 decodes series i. The labels at its front are mostly known, from a request before or from the series before:
// what follows is then samples, exemplars and histograms alone.
func (b *Batch) seriesV1(i int, tenant uint64) error {
	s := &b.Series[i]
	s.S0, s.H0 = int32(len(b.Samples)), int32(len(b.Histograms))
	n, learn := b.frontV1(i, tenant)
	if n == 0 {
		return b.labelledV1(i, tenant, learn)
	}
	more, err := b.fieldsV1(i, int(s.p0)+n, nil)
	switch {
	case err != nil:
		return err
	case more: // labels behind something else, as no sender writes it
		b.Samples, b.Histograms, s.exemplars, s.same = b.Samples[:s.S0], b.Histograms[:s.H0], 0, 0
		b.recall.m = nil // the rest of the request goes without it too
		return b.labelledV1(i, tenant, 0)
	case learn > 0:
		b.recall.learned(learn, s.Key)
	}
	return nil
}

// labelledV1 decodes series i with all its labels, one by one. The first learn bytes of them are to be remembered, if they are all.
func (b *Batch) labelledV1(i int, tenant uint64, learn int) error {
	s, r := &b.Series[i], &b.block
	r.next = r.next[:0]
	set := labelSet{sorted: true, trust: r.sorted}
	if _, err := b.fieldsV1(i, int(s.p0), &set); err != nil {
		return err
	}
	if set.valued == 0 {
		return bad(i, int(s.p0), noLabels)
	}
	r.labels, r.next = r.next, r.labels
	if !set.sorted && b.duplicateNames() {
		return bad(i, int(s.p0), duplicate)
	}
	r.piece, r.sum, r.valued, r.sorted, r.series = span{}, set.sum, set.valued, set.sorted, i
	r.from, r.to, r.front, r.back = 0, len(r.labels), 0, 0
	if !set.apart {
		r.piece = span{s.p0, int32(set.end) - s.p0}
	}
	s.Key = set.sum.key(tenant)
	if learn > 0 && set.end == int(s.p0)+learn {
		b.recall.learned(learn, s.Key)
	}
	return nil
}

// fieldsV1 takes the fields of series i from p on in. Without a set there must be no labels; more tells that there are.
func (b *Batch) fieldsV1(i, p int, set *labelSet) (more bool, err error) {
	s := &b.Series[i]
	m := b.Message[:s.p1]
	for p < len(m) {
		var num, p0, p1 int
		var reason string
		if c := m[p]; c&0x87 == wireBytes && c > 7 { // one byte of tag, as all known fields have
			num = int(c >> 3)
			if p0, p1, reason = length(m, p+1); reason != "" {
				return false, bad(i, p, reason)
			}
		} else {
			f, q, reason := next(m, p)
			if reason != "" {
				return false, bad(i, p, reason)
			}
			if f.wt != wireBytes {
				if f.num <= v1Histograms {
					return false, bad(i, p, wrongWire)
				}
				p = q
				if set != nil {
					set.over = true
				}
				continue
			}
			num, p0, p1 = f.num, f.p0, f.p1
		}
		switch num {
		case v1Labels:
			if set == nil {
				return true, nil
			}
			err = b.labelV1(set, i, p, p0, p1)
		case v1Samples:
			err = b.sample(i, p0, p1)
		case v1Exemplars:
			s.exemplars++
			err = b.exemplarV1(i, p0, p1)
		case v1Histograms:
			err = b.histogram(i, p0, p1)
		}
		if err != nil {
			return false, err
		}
		if set != nil && num != v1Labels {
			set.over = true
		}
		p = p1
	}
	s.S1, s.H1 = int32(len(b.Samples)), int32(len(b.Histograms))
	b.Exemplars += int(s.exemplars)
	return false, nil
}

// newLabelV1 parses, checks and hashes the Label message m[p0:p1], whose tag is at at. A label without value has no share of the key.
// Its name is probably that of was, where that is not nil.
func (b *Batch) newLabelV1(i, at, p0, p1 int, was *labelMemo) (labelMemo, error) {
	name, value, reason := labelParts(b.Message[:p1], p0)
	named := was != nil && bytes.Equal(was.name.of(b.Message), name.of(b.Message))
	switch {
	case reason != "":
	case name.len == 0:
		reason = emptyName
	case !named && !validUTF8(name.of(b.Message)), !validUTF8(value.of(b.Message)):
		reason = notUTF8
	}
	if reason != "" {
		return labelMemo{}, bad(i, p0, reason)
	}
	if n := int(max(name.len, value.len)); n > b.lim.MaxLabelValueBytes {
		return labelMemo{}, &TooLargeError{What: "bytes in a label", Limit: b.lim.MaxLabelValueBytes, Got: n, Series: i}
	}
	memo := labelMemo{field: span{int32(at), int32(p1 - at)}, name: name}
	if named {
		memo.hashed = was.hashed
	} else {
		memo.hashed = xxhash.Sum64(name.of(b.Message))
	}
	if value.len > 0 {
		memo.hi, memo.lo = product(memo.hashed, xxhash.Sum64(value.of(b.Message)))
	}
	return memo, nil
}

// validUTF8 is utf8.Valid, in less for ASCII of which the length is no multiple of 8.
func validUTF8(b []byte) bool {
	n := len(b) - 8
	if n < 0 {
		return utf8.Valid(b)
	}
	all := le64(b, n)
	for i := 0; i < n; i += 8 {
		all |= le64(b, i)
	}
	return all&0x8080808080808080 == 0 || utf8.Valid(b)
}

// labelParts finds name and value of the 1.0 Label message from p to m's end.
func labelParts(m []byte, p int) (name, value span, reason string) {
	// As all senders write it: both, and shorter than 128 bytes.
	if p+1 < len(m) && m[p] == 1<<3|wireBytes && m[p+1] < 0x80 {
		n := int(m[p+1])
		if v := p + 2 + n; v+1 < len(m) && m[v] == 2<<3|wireBytes && int(m[v+1]) == len(m)-v-2 && m[v+1] < 0x80 {
			return span{int32(p + 2), int32(n)}, span{int32(v + 2), int32(m[v+1])}, ""
		}
	}
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

// duplicateNames looks through the names of the last series' labels, which are not in order.
func (b *Batch) duplicateNames() bool {
	b.dup = b.dup[:0]
	for i := range b.block.labels {
		b.dup = append(b.dup, b.block.labels[i].name)
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
			if _, err := b.newLabelV1(i, p, f.p0, f.p1, nil); err != nil {
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
