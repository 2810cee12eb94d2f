package rewrite

import (
	"bytes"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
)

// Field numbers of io.prometheus.write.v2.Request and what is in it.
const (
	v2Symbols    = 4
	v2Timeseries = 5

	v2LabelsRefs = 1
	v2Samples    = 2
	v2Histograms = 3
	v2Exemplars  = 4
	v2Metadata   = 5
	v2Created    = 6 // rc.3's created_timestamp
)

// symbol is one entry of the symbols table and its hash.
type symbol struct {
	span
	hash uint64
}

// decodeV2 walks twice: protocol buffers let symbols follow the series that refer to them.
func (b *Batch) decodeV2(tenant uint64) error {
	if err := b.tableV2(); err != nil {
		return err
	}
	for i := range b.Series {
		if err := b.seriesV2(i, tenant); err != nil {
			return err
		}
	}
	return nil
}

// tableV2 collects symbols and series. Every symbol is checked and hashed once.
func (b *Batch) tableV2() error {
	m := b.Message
	for p := 0; p < len(m); {
		var num, p0, p1 int
		var reason string
		if c := m[p]; c == v2Symbols<<3|wireBytes || c == v2Timeseries<<3|wireBytes {
			num = int(c >> 3)
			if p+1 < len(m) && m[p+1] < 0x80 && int(m[p+1]) <= len(m)-p-2 {
				p0, p1 = p+2, p+2+int(m[p+1])
			} else if p0, p1, reason = length(m, p+1); reason != "" {
				return bad(-1, p, reason)
			}
		} else {
			f, q, reason := next(m, p)
			if reason != "" {
				return bad(-1, p, reason)
			}
			if f.wt != wireBytes {
				if f.num == v2Symbols || f.num == v2Timeseries {
					return bad(-1, p, wrongWire)
				}
				p = q
				continue
			}
			num, p0, p1 = f.num, f.p0, f.p1
		}
		switch num {
		case v2Symbols:
			if err := b.newSymbol(p, p0, p1); err != nil {
				return err
			}
		case v2Timeseries:
			if err := b.newSeries(p, p0, p1); err != nil {
				return err
			}
		}
		p = p1
	}
	return nil
}

func (b *Batch) newSymbol(at, p0, p1 int) error {
	if len(b.symbols) == cap(b.symbols) {
		var err error
		if b.symbols, err = grow(b, b.symbols, symbolBytes, at, "symbols"); err != nil {
			return err
		}
	}
	text := b.Message[p0:p1]
	if len(b.symbols) == 0 && len(text) > 0 {
		return bad(-1, at, firstSymbol)
	}
	if !utf8.Valid(text) {
		return bad(-1, at, notUTF8)
	}
	b.symbols = append(b.symbols, symbol{span{int32(p0), int32(p1 - p0)}, xxhash.Sum64(text)})
	return nil
}

func (b *Batch) seriesV2(i int, tenant uint64) error {
	s := &b.Series[i]
	m := b.Message[:s.p1]
	s.S0, s.H0 = int32(len(b.Samples)), int32(len(b.Histograms))
	var refs refWalk
	var created int64
	for p := int(s.p0); p < len(m); {
		var num, p0, p1 int
		var reason string
		if c := m[p]; c&0x87 == wireBytes && c > 7 { // one byte of tag, as all known fields have
			num = int(c >> 3)
			if p+1 < len(m) && m[p+1] < 0x80 && int(m[p+1]) <= len(m)-p-2 { // and one of length
				p0, p1 = p+2, p+2+int(m[p+1])
			} else if p0, p1, reason = length(m, p+1); reason != "" {
				return bad(i, p, reason)
			}
		} else {
			f, q, reason := next(m, p)
			if reason != "" {
				return bad(i, p, reason)
			}
			if f.wt != wireBytes {
				switch {
				case f.num == v2Created && f.wt == wireVarint:
					created = int64(f.v)
					s.flags |= createdField
				case f.num == v2LabelsRefs && f.wt == wireVarint:
					if err := b.refsV2(&refs, i, f.p0, f.p1); err != nil {
						return err
					}
				case f.num <= v2Metadata:
					return bad(i, p, wrongWire)
				}
				p = q
				continue
			}
			num, p0, p1 = f.num, f.p0, f.p1
		}
		var err error
		switch num {
		case v2LabelsRefs:
			err = b.refsV2(&refs, i, p0, p1)
		case v2Samples:
			err = b.sample(i, p0, p1)
		case v2Histograms:
			err = b.histogram(i, p0, p1)
		case v2Exemplars:
			s.exemplars++
			err = b.exemplarV2(i, p0, p1)
		case v2Metadata:
			if p0 < p1 { // Prometheus writes it always, and by default it says nothing
				err = b.metadataV2(i, p0, p1)
			}
		}
		if err != nil {
			return err
		}
		p = p1
	}
	s.S1, s.H1 = int32(len(b.Samples)), int32(len(b.Histograms))
	b.Exemplars += int(s.exemplars)
	if created != 0 {
		b.applyCreated(s, created)
	}
	return b.judgeV2(i, tenant, &refs)
}

// judgeV2 holds what was found in a series against the rules for the whole of it.
func (b *Batch) judgeV2(i int, tenant uint64, refs *refWalk) error {
	s := &b.Series[i]
	if refs.half {
		return bad(i, int(s.p0), oddRefs)
	}
	twice := b.settle(refs)
	samples, histograms := s.S1 > s.S0, s.H1 > s.H0
	switch {
	case b.refs.valued == 0:
		return bad(i, int(s.p0), noLabels)
	case samples && histograms:
		return bad(i, int(s.p0), mixedSeries)
	case !samples && !histograms && s.exemplars == 0:
		return bad(i, int(s.p0), emptySeries)
	case twice:
		return bad(i, int(s.p0), duplicate)
	}
	s.Key = b.refs.sum.key(tenant)
	return nil
}

// applyCreated gives rc.3's start timestamp to what has none of its own.
func (b *Batch) applyCreated(s *Series, created int64) {
	for j := s.S0; j < s.S1; j++ {
		if b.Samples[j].ST == 0 {
			b.Samples[j].ST = created
		}
	}
	for j := s.H0; j < s.H1; j++ {
		if b.Histograms[j].ST == 0 {
			b.Histograms[j].ST = created
		}
	}
}

// exemplarV2 checks the Exemplar message m[p:end], to the same extent as exemplarV1.
func (b *Batch) exemplarV2(i, p, end int) error {
	m, n := b.Message[:end], 0
	for p < end {
		f, q, reason := next(m, p)
		if reason == "" {
			switch {
			case f.num == 1 && f.wt == wireVarint:
				reason = b.exemplarRef(f.v, n)
				n++
			case f.num == 1 && f.wt == wireBytes:
				for r := f.p0; r < f.p1 && reason == ""; n++ {
					var v uint64
					if v, r, reason = uvarint(m[:f.p1], r); reason == "" {
						reason = b.exemplarRef(v, n)
					}
				}
			case f.num == 1, f.num == 2 && f.wt != wire64, f.num == 3 && f.wt != wireVarint:
				reason = wrongWire
			}
		}
		if reason != "" {
			return bad(i, p, reason)
		}
		if n > 2*b.lim.MaxLabels {
			return &TooLargeError{What: "labels of an exemplar", Limit: b.lim.MaxLabels, Got: -1, Series: i}
		}
		p = q
	}
	if n%2 != 0 {
		return bad(i, p, oddRefs)
	}
	return nil
}

// exemplarRef checks the n-th reference of an exemplar's labels.
func (b *Batch) exemplarRef(ref uint64, n int) string {
	if ref >= uint64(len(b.symbols)) {
		return badSymbol
	}
	if n%2 == 0 && b.symbols[ref].len == 0 {
		return emptyName
	}
	return ""
}

// metadataMemo is the last series' metadata.
type metadataMemo struct {
	piece span // in Message; len 0: none
	typ   MetricType
}

// metadataV2 decodes the Metadata message m[p:end] of series i. One that occurs
// again is merged, as the encoding says. Mostly it is the last series', byte for byte.
func (b *Batch) metadataV2(i, p, end int) error {
	m, s := b.Message[:end], &b.Series[i]
	first := s.Type == 0
	if first && bytes.Equal(b.about.piece.of(m), m[p:]) {
		s.Type = b.about.typ
		return nil
	}
	for q := p; q < end; {
		f, after, reason := next(m, q)
		if reason == "" {
			switch f.num {
			case 1, 3, 4: // type, help_ref, unit_ref
				if f.wt != wireVarint {
					reason = wrongWire
				} else if f.num == 1 {
					s.Type = metricType(f.v)
				} else if f.v >= uint64(max(1, len(b.symbols))) {
					reason = badSymbol
				}
			}
		}
		if reason != "" {
			return bad(i, q, reason)
		}
		q = after
	}
	if first {
		b.about = metadataMemo{span{int32(p), int32(end - p)}, s.Type}
	}
	return nil
}
