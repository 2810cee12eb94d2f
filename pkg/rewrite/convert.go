package rewrite

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// convert rewrites message m, of the batch's version, in version to with its labels relabelled.
func (b *Batch) convert(m []byte, to Version, cfgs []*relabel.Config) ([]byte, Counts, error) {
	c := converter{scratch: labels.NewScratchBuilder(16), builder: labels.NewBuilder(labels.EmptyLabels()), cfgs: cfgs}
	var (
		out []byte
		err error
	)
	if b.Version == V1 {
		var req prompb.WriteRequest
		if err := req.Unmarshal(m); err != nil {
			return nil, Counts{}, fmt.Errorf("rewrite: read 1.0 message: %w", err)
		}
		if to == V1 {
			c.relabelV1(&req)
			out, err = req.Marshal()
		} else {
			out, err = c.toV2(&req).OptimizedMarshal(nil)
		}
	} else {
		var req writev2.Request
		if err := req.Unmarshal(m); err != nil {
			return nil, Counts{}, fmt.Errorf("rewrite: read 2.0 message: %w", err)
		}
		if to == V2 {
			if err = c.relabelV2(&req); err == nil {
				out, err = req.OptimizedMarshal(nil)
			}
		} else {
			var v1 *prompb.WriteRequest
			if v1, err = c.toV1(&req); err == nil {
				out, err = v1.Marshal()
			}
		}
	}
	if err != nil {
		return nil, Counts{}, fmt.Errorf("rewrite: write message: %w", err)
	}
	return out, c.kept, nil
}

type converter struct {
	scratch labels.ScratchBuilder
	builder *labels.Builder
	cfgs    []*relabel.Config
	kept    Counts
}

// relabel returns what becomes of a label set, sorted and without empty values, and whether its series is kept.
func (c *converter) relabel(ls labels.Labels) (labels.Labels, bool) {
	ls = ls.WithoutEmpty()
	if len(c.cfgs) == 0 {
		return ls, true
	}
	c.builder.Reset(ls)
	if !relabel.ProcessBuilder(c.builder, c.cfgs...) {
		return ls, false
	}
	ls = c.builder.Labels()
	return ls, !ls.IsEmpty()
}

func (c *converter) count(samples, histograms, exemplars int) {
	c.kept.Samples += samples
	c.kept.Histograms += histograms
	c.kept.Exemplars += exemplars
}

func (c *converter) relabelV1(req *prompb.WriteRequest) {
	out := req.Timeseries[:0]
	for _, ts := range req.Timeseries {
		ls, keep := c.relabel(ts.ToLabels(&c.scratch, nil))
		if !keep {
			continue
		}
		ts.Labels = prompb.FromLabels(ls, ts.Labels)
		for j := range ts.Samples {
			s := &ts.Samples[j]
			s.XXX_unrecognized = negativeZero(s.XXX_unrecognized, 1, s.Value)
		}
		for j := range ts.Histograms {
			h := &ts.Histograms[j]
			h.XXX_unrecognized = negativeZero(h.XXX_unrecognized, 3, h.Sum)
		}
		for j := range ts.Exemplars {
			e := &ts.Exemplars[j]
			e.XXX_unrecognized = negativeZero(e.XXX_unrecognized, 2, e.Value)
		}
		c.count(len(ts.Samples), len(ts.Histograms), len(ts.Exemplars))
		out = append(out, ts)
	}
	req.Timeseries = out
	c.kept.Metadata = len(req.Metadata)
}

// relabelV2 writes the symbols table anew, so that what relabelling took out does not travel in it.
func (c *converter) relabelV2(req *writev2.Request) error {
	table := writev2.NewSymbolTable()
	out := req.Timeseries[:0]
	for _, ts := range req.Timeseries {
		ls, err := ts.ToLabels(&c.scratch, req.Symbols)
		if err != nil {
			return err
		}
		ls, keep := c.relabel(ls)
		if !keep {
			continue
		}
		ts.LabelsRefs = table.SymbolizeLabels(ls, ts.LabelsRefs)
		for j := range ts.Exemplars {
			e := &ts.Exemplars[j]
			for k, ref := range e.LabelsRefs {
				e.LabelsRefs[k] = table.Symbolize(req.Symbols[ref])
			}
			e.XXX_unrecognized = negativeZero(e.XXX_unrecognized, 2, e.Value)
		}
		for j := range ts.Samples {
			s := &ts.Samples[j]
			s.XXX_unrecognized = negativeZero(s.XXX_unrecognized, 1, s.Value)
		}
		for j := range ts.Histograms {
			h := &ts.Histograms[j]
			h.XXX_unrecognized = negativeZero(h.XXX_unrecognized, 3, h.Sum)
		}
		ts.Metadata.HelpRef = table.Symbolize(symbolAt(req.Symbols, ts.Metadata.HelpRef))
		ts.Metadata.UnitRef = table.Symbolize(symbolAt(req.Symbols, ts.Metadata.UnitRef))
		c.count(len(ts.Samples), len(ts.Histograms), len(ts.Exemplars))
		out = append(out, ts)
	}
	req.Timeseries, req.Symbols = out, table.Symbols()
	return nil
}

// symbolAt reads the table; a request without any symbols has the empty one in mind.
func symbolAt(symbols []string, ref uint32) string {
	if int(ref) >= len(symbols) {
		return ""
	}
	return symbols[ref]
}

// toV2 writes a 1.0 request as 2.0. Samples and histograms of one series go
// into TimeSeries of their own, metadata to the series of its family.
func (c *converter) toV2(req *prompb.WriteRequest) *writev2.Request {
	table := writev2.NewSymbolTable()
	families := make(map[string]*prompb.MetricMetadata, len(req.Metadata))
	for i := range req.Metadata {
		families[req.Metadata[i].MetricFamilyName] = &req.Metadata[i]
	}
	used := make(map[string]struct{}, len(families))
	out := &writev2.Request{Timeseries: make([]writev2.TimeSeries, 0, len(req.Timeseries))}
	for i := range req.Timeseries {
		ts := &req.Timeseries[i]
		if len(ts.Samples)+len(ts.Histograms) == 0 {
			continue
		}
		original := ts.ToLabels(&c.scratch, nil)
		ls, keep := c.relabel(original)
		if !keep {
			continue
		}
		entry := writev2.TimeSeries{LabelsRefs: table.SymbolizeLabels(ls, nil), Exemplars: exemplarsV2(&table, ts.Exemplars)}
		if md := familyOf(families, original.Get(labels.MetricName)); md != nil {
			used[md.MetricFamilyName] = struct{}{}
			entry.Metadata = writev2.Metadata{
				Type:    writev2.Metadata_MetricType(metricType(uint64(md.Type))),
				HelpRef: table.Symbolize(md.Help), UnitRef: table.Symbolize(md.Unit),
			}
		}
		c.count(len(ts.Samples), len(ts.Histograms), len(ts.Exemplars))
		if len(ts.Samples) > 0 {
			entry.Samples = make([]writev2.Sample, len(ts.Samples))
			for j, s := range ts.Samples {
				entry.Samples[j] = writev2.Sample{Value: s.Value, Timestamp: s.Timestamp, XXX_unrecognized: negativeZero(nil, 1, s.Value)}
			}
			out.Timeseries = append(out.Timeseries, entry)
			entry.Samples, entry.Exemplars = nil, nil
		}
		if len(ts.Histograms) > 0 {
			entry.Histograms = make([]writev2.Histogram, len(ts.Histograms))
			for j := range ts.Histograms {
				entry.Histograms[j] = histogramV2(&ts.Histograms[j])
			}
			out.Timeseries = append(out.Timeseries, entry)
		}
	}
	c.kept.Metadata = len(used)
	out.Symbols = table.Symbols()
	return out
}

// negativeZero adds field num with the value -0 to a message's unknown fields if v
// is that: the generated code takes it for a zero and would leave it out.
func negativeZero(unknown []byte, num int, v float64) []byte {
	if v != 0 || !math.Signbit(v) {
		return unknown
	}
	return binary.LittleEndian.AppendUint64(append(unknown, byte(num<<3|wire64)), math.Float64bits(v))
}

// familyParts are the endings by which a series' name differs from its family's.
var familyParts = [...]string{"_bucket", "_count", "_sum", "_total", "_created"}

func familyOf(families map[string]*prompb.MetricMetadata, name string) *prompb.MetricMetadata {
	if len(families) == 0 {
		return nil
	}
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

func exemplarsV2(table *writev2.SymbolsTable, in []prompb.Exemplar) []writev2.Exemplar {
	if len(in) == 0 {
		return nil
	}
	out := make([]writev2.Exemplar, len(in))
	for i, e := range in {
		refs := make([]uint32, 0, 2*len(e.Labels))
		for _, l := range e.Labels {
			refs = append(refs, table.Symbolize(l.Name), table.Symbolize(l.Value))
		}
		out[i] = writev2.Exemplar{LabelsRefs: refs, Value: e.Value, Timestamp: e.Timestamp, XXX_unrecognized: negativeZero(nil, 2, e.Value)}
	}
	return out
}

// toV1 writes a 2.0 request as 1.0. Start timestamps have no place there; inline
// metadata becomes one metadata entry per family.
func (c *converter) toV1(req *writev2.Request) (*prompb.WriteRequest, error) {
	out := &prompb.WriteRequest{Timeseries: make([]prompb.TimeSeries, 0, len(req.Timeseries))}
	seen := map[string]struct{}{}
	for i := range req.Timeseries {
		ts := &req.Timeseries[i]
		original, err := ts.ToLabels(&c.scratch, req.Symbols)
		if err != nil {
			return nil, err
		}
		ls, keep := c.relabel(original)
		if !keep {
			continue
		}
		entry := prompb.TimeSeries{Labels: prompb.FromLabels(ls, nil)}
		for _, s := range ts.Samples {
			entry.Samples = append(entry.Samples, prompb.Sample{Value: s.Value, Timestamp: s.Timestamp, XXX_unrecognized: negativeZero(nil, 1, s.Value)})
		}
		for j := range ts.Histograms {
			entry.Histograms = append(entry.Histograms, histogramV1(&ts.Histograms[j]))
		}
		for _, e := range ts.Exemplars {
			entry.Exemplars = append(entry.Exemplars, exemplarV1(req.Symbols, e))
		}
		c.count(len(ts.Samples), len(ts.Histograms), len(ts.Exemplars))
		out.Timeseries = append(out.Timeseries, entry)
		if md, ok := metadataOf(ts, req.Symbols, original.Get(labels.MetricName)); ok {
			if _, ok := seen[md.MetricFamilyName]; !ok {
				seen[md.MetricFamilyName] = struct{}{}
				out.Metadata = append(out.Metadata, md)
			}
		}
	}
	c.kept.Metadata = len(out.Metadata)
	return out, nil
}

// metadataOf turns a series' inline metadata into its family's entry.
func metadataOf(ts *writev2.TimeSeries, symbols []string, name string) (prompb.MetricMetadata, bool) {
	help, unit := symbolAt(symbols, ts.Metadata.HelpRef), symbolAt(symbols, ts.Metadata.UnitRef)
	kind := metricType(uint64(ts.Metadata.Type))
	if name == "" || kind == 0 && help == "" && unit == "" {
		return prompb.MetricMetadata{}, false
	}
	family := name
	switch writev2.Metadata_MetricType(kind) {
	case writev2.Metadata_METRIC_TYPE_HISTOGRAM, writev2.Metadata_METRIC_TYPE_GAUGEHISTOGRAM, writev2.Metadata_METRIC_TYPE_SUMMARY:
		for _, part := range [...]string{"_bucket", "_count", "_sum"} {
			if cut, ok := strings.CutSuffix(name, part); ok {
				family = cut
				break
			}
		}
	}
	return prompb.MetricMetadata{
		Type: prompb.MetricMetadata_MetricType(kind), MetricFamilyName: family, Help: help, Unit: unit,
	}, true
}

func exemplarV1(symbols []string, e writev2.Exemplar) prompb.Exemplar {
	out := prompb.Exemplar{Value: e.Value, Timestamp: e.Timestamp, XXX_unrecognized: negativeZero(nil, 2, e.Value)}
	for j := 0; j+1 < len(e.LabelsRefs); j += 2 {
		out.Labels = append(out.Labels, prompb.Label{Name: symbols[e.LabelsRefs[j]], Value: symbols[e.LabelsRefs[j+1]]})
	}
	return out
}
