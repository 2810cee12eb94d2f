package rewrite

import (
	"cmp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// symbolizer makes the references of one label set after the other. Sets are
// much alike, so it looks at the last one before it asks the table.
type symbolizer struct {
	table writev2.SymbolsTable
	last  []prompb.Label
	refs  []uint32 // of last
}

func (y *symbolizer) appendRefs(dst []uint32, set []prompb.Label) []uint32 {
	from := len(dst)
	for k, l := range set {
		if k >= len(y.last) {
			dst = append(dst, y.table.Symbolize(l.Name), y.table.Symbolize(l.Value))
			continue
		}
		name, value := y.refs[2*k], y.refs[2*k+1]
		if y.last[k].Name != l.Name {
			name = y.table.Symbolize(l.Name)
		}
		if y.last[k].Value != l.Value {
			value = y.table.Symbolize(l.Value)
		}
		dst = append(dst, name, value)
	}
	y.last, y.refs = set, dst[from:]
	return dst
}

// toV2 writes a 1.0 batch as 2.0, edits included. Samples and histograms of one
// series go into TimeSeries of their own, metadata to the series of its family;
// exemplars stay with a sample of their series.
func (c *converter) toV2(b *Batch) error {
	sym := symbolizer{table: writev2.NewSymbolTable()}
	families, err := familiesOf(b)
	if err != nil {
		return err
	}
	used := make(map[string]struct{}, len(families))
	moves := b.planMoves(V2)
	b.lost = moves.lost
	for i := range b.Series {
		s := &b.Series[i]
		samples, histograms := b.remaining(s)
		if samples+histograms == 0 {
			continue
		}
		set, keep := c.labels(b, i)
		if !keep {
			continue
		}
		from := len(c.refs)
		c.refs = sym.appendRefs(c.refs, set)
		entry := writev2.TimeSeries{LabelsRefs: c.refs[from:len(c.refs):len(c.refs)]}
		if len(families) > 0 {
			if md := familyOf(families, string(b.Name(i))); md != nil {
				used[md.MetricFamilyName] = struct{}{}
				entry.Metadata = writev2.Metadata{
					Type:    writev2.Metadata_MetricType(metricType(uint64(md.Type))),
					HelpRef: sym.table.Symbolize(md.Help), UnitRef: sym.table.Symbolize(md.Unit),
				}
			}
		}
		if entry.Exemplars, err = c.exemplarsV2(b, &sym.table, s, moves.guests[int32(i)]); err != nil {
			return err
		}
		c.count(samples, histograms, len(entry.Exemplars))
		if samples > 0 {
			entry.Samples = c.sampleListV2(b, s)
			c.v2.Timeseries = append(c.v2.Timeseries, entry)
			entry.Samples, entry.Exemplars = nil, nil
		}
		if histograms > 0 {
			if entry.Histograms, err = b.histogramsV2(s); err != nil {
				return err
			}
			c.v2.Timeseries = append(c.v2.Timeseries, entry)
		}
	}
	c.kept.Metadata = len(used)
	c.v2.Symbols = sym.table.Symbols()
	return nil
}

func (b *Batch) histogramMessage(j int32) []byte {
	return b.Message[b.Histograms[j].p0:b.Histograms[j].p1]
}

func (c *converter) sampleListV2(b *Batch, s *Series) []writev2.Sample {
	from := len(c.samplesV2)
	for j := s.S0; j < s.S1; j++ {
		if b.editOf(j)&editDrop == 0 {
			if t, ok := b.zeroBefore(j); ok {
				c.samplesV2 = append(c.samplesV2, writev2.Sample{Timestamp: t})
			}
			x := &b.Samples[j]
			c.samplesV2 = append(c.samplesV2, writev2.Sample{
				Value: x.V, Timestamp: x.T, StartTimestamp: x.ST, XXX_unrecognized: negativeZero(nil, 1, x.V),
			})
		}
	}
	return c.samplesV2[from:len(c.samplesV2):len(c.samplesV2)]
}

// exemplarFields calls each for every Exemplar message of s.
func (b *Batch) exemplarFields(s *Series, each func(message []byte) error) error {
	num := v1Exemplars
	if b.Version == V2 {
		num = v2Exemplars
	}
	m := b.Message[:s.p1]
	for p, left := int(s.p0), s.exemplars; left > 0; {
		f, q := known(m, p)
		if f.num == num {
			left--
			if err := each(m[f.p0:f.p1]); err != nil {
				return err
			}
		}
		p = q
	}
	return nil
}

// exemplarsV2 are the exemplars of s, and with guests theirs too, then in order of time.
func (c *converter) exemplarsV2(b *Batch, table *writev2.SymbolsTable, s *Series, guests []int32) (out []writev2.Exemplar, err error) {
	each := func(message []byte) error {
		var e prompb.Exemplar
		if err := e.Unmarshal(message); err != nil {
			return err
		}
		refs := make([]uint32, 0, 2*len(e.Labels))
		for _, l := range e.Labels {
			refs = append(refs, table.Symbolize(l.Name), table.Symbolize(l.Value))
		}
		out = append(out, writev2.Exemplar{
			LabelsRefs: refs, Value: e.Value, Timestamp: e.Timestamp, XXX_unrecognized: negativeZero(nil, 2, e.Value),
		})
		return nil
	}
	if err := b.exemplarFields(s, each); err != nil {
		return nil, err
	}
	for _, g := range guests {
		if err := b.exemplarFields(&b.Series[g], each); err != nil {
			return nil, err
		}
	}
	if len(guests) > 0 {
		slices.SortStableFunc(out, func(x, y writev2.Exemplar) int { return cmp.Compare(x.Timestamp, y.Timestamp) })
	}
	return out, nil
}

// toV1 writes a 2.0 batch as 1.0, edits included. Start timestamps have no place
// there; inline metadata becomes one metadata entry per family.
func (c *converter) toV1(b *Batch) error {
	var seen map[string]struct{}
	for i := range b.Series {
		s := &b.Series[i]
		samples, histograms := b.remaining(s)
		if s.flags&dropped != 0 || samples+histograms+int(s.exemplars) == 0 {
			continue
		}
		set, keep := c.labels(b, i)
		if !keep {
			continue
		}
		entry := prompb.TimeSeries{Labels: set, Samples: c.sampleListV1(b, s)}
		var err error
		if entry.Histograms, err = b.histogramsV1(s); err != nil {
			return err
		}
		err = b.exemplarFields(s, func(message []byte) error {
			var e writev2.Exemplar
			if err := e.Unmarshal(message); err != nil {
				return err
			}
			entry.Exemplars = append(entry.Exemplars, b.exemplarV1Of(&e))
			return nil
		})
		if err != nil {
			return err
		}
		c.count(samples, histograms, len(entry.Exemplars))
		c.v1.Timeseries = append(c.v1.Timeseries, entry)
		if md, ok := b.metadataOf(i); ok {
			if _, ok := seen[md.MetricFamilyName]; !ok {
				if seen == nil {
					seen = map[string]struct{}{}
				}
				seen[md.MetricFamilyName] = struct{}{}
				c.v1.Metadata = append(c.v1.Metadata, md)
			}
		}
	}
	c.kept.Metadata = len(c.v1.Metadata)
	return nil
}

func (c *converter) sampleListV1(b *Batch, s *Series) []prompb.Sample {
	from := len(c.samplesV1)
	for j := s.S0; j < s.S1; j++ {
		if b.editOf(j)&editDrop == 0 {
			if t, ok := b.zeroBefore(j); ok {
				c.samplesV1 = append(c.samplesV1, prompb.Sample{Timestamp: t})
			}
			x := &b.Samples[j]
			c.samplesV1 = append(c.samplesV1, prompb.Sample{Value: x.V, Timestamp: x.T, XXX_unrecognized: negativeZero(nil, 1, x.V)})
		}
	}
	return c.samplesV1[from:len(c.samplesV1):len(c.samplesV1)]
}

// symbol is a string of the 2.0 table, aliasing Message; "" for the reference 0 of a request without a table.
func (b *Batch) symbol(ref uint32) string {
	if int(ref) >= len(b.symbols) {
		return ""
	}
	return alias(b.symbols[ref].of(b.Message))
}

func (b *Batch) exemplarV1Of(e *writev2.Exemplar) prompb.Exemplar {
	out := prompb.Exemplar{Value: e.Value, Timestamp: e.Timestamp, XXX_unrecognized: negativeZero(nil, 2, e.Value)}
	for j := 0; j+1 < len(e.LabelsRefs); j += 2 {
		out.Labels = append(out.Labels, prompb.Label{Name: b.symbol(e.LabelsRefs[j]), Value: b.symbol(e.LabelsRefs[j+1])})
	}
	return out
}

// metadataOf turns the inline metadata of a 2.0 series into its family's entry; ok is false if it says nothing.
func (b *Batch) metadataOf(i int) (md prompb.MetricMetadata, ok bool) {
	s := &b.Series[i]
	m := b.Message[:s.p1]
	var inline writev2.Metadata
	for p := int(s.p0); p < len(m); {
		f, q := known(m, p)
		if f.num == v2Metadata {
			for r := f.p0; r < f.p1; {
				var g field
				switch g, r = known(m[:f.p1], r); g.num {
				case 3:
					inline.HelpRef = uint32(g.v)
				case 4:
					inline.UnitRef = uint32(g.v)
				}
			}
		}
		p = q
	}
	help, unit := b.symbol(inline.HelpRef), b.symbol(inline.UnitRef)
	name := alias(b.Name(i))
	if name == "" || s.Type == 0 && help == "" && unit == "" {
		return md, false
	}
	switch writev2.Metadata_MetricType(s.Type) {
	case writev2.Metadata_METRIC_TYPE_HISTOGRAM, writev2.Metadata_METRIC_TYPE_GAUGEHISTOGRAM, writev2.Metadata_METRIC_TYPE_SUMMARY:
		for _, part := range [...]string{"_bucket", "_count", "_sum"} {
			if cut, ok := strings.CutSuffix(name, part); ok {
				name = cut
				break
			}
		}
	}
	return prompb.MetricMetadata{
		Type: prompb.MetricMetadata_MetricType(s.Type), MetricFamilyName: name, Help: help, Unit: unit,
	}, true
}

// familiesOf reads the metadata entries of a 1.0 batch, by family.
func familiesOf(b *Batch) (map[string]*prompb.MetricMetadata, error) {
	if len(b.Metadata) == 0 || len(b.Series) == 0 {
		return nil, nil
	}
	out := make(map[string]*prompb.MetricMetadata, len(b.Metadata))
	for p := 0; p < len(b.Message); {
		f, q := known(b.Message, p)
		if f.num == v1Metadata {
			md := &prompb.MetricMetadata{}
			if err := md.Unmarshal(b.Message[f.p0:f.p1]); err != nil {
				return nil, err
			}
			out[md.MetricFamilyName] = md
		}
		p = q
	}
	return out, nil
}

// familyParts are the endings by which a series' name differs from its family's.
var familyParts = [...]string{"_bucket", "_count", "_sum", "_total", "_created"}

func familyOf(families map[string]*prompb.MetricMetadata, name string) *prompb.MetricMetadata {
	if md, ok := families[name]; ok {
		return md
	}
	for _, part := range familyParts {
		if family, ok := strings.CutSuffix(name, part); ok {
			return families[family]
		}
	}
	return nil
}
