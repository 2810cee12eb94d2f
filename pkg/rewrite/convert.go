package rewrite

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"unsafe"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// converter writes a batch in Prometheus' own message types: in the other
// version, with other labels, or both. It is kept for its memory.
type converter struct {
	cfgs    []*relabel.Config
	scratch labels.ScratchBuilder
	builder *labels.Builder
	kept    Counts
	out     []byte // the message written last

	v1 prompb.WriteRequest
	v2 writev2.Request
	// What the entries of v1 and v2 consist of, in one piece per kind.
	pairs     []prompb.Label
	refs      []uint32
	samplesV1 []prompb.Sample
	samplesV2 []writev2.Sample
}

// convert writes the batch in version to, relabelled. m is the message with its
// edits made if it was spliced; relabelling of 2.0 starts from it and keeps
// unknown fields. The result is valid until the next convert or splice.
func (b *Batch) convert(m []byte, to Version, cfgs []*relabel.Config) ([]byte, Counts, error) {
	c := b.converter(cfgs)
	defer c.release()
	var err error
	switch {
	case to == V1 && b.Version == V1:
		m, kept := b.splice(c) // labels are within the TimeSeries there, so this is a splice of every one
		return m, kept, nil
	case to == V2 && b.Version == V2:
		if err = c.v2.Unmarshal(m); err == nil {
			err = c.relabelV2(&c.v2)
		}
	case to == V2:
		err = c.toV2(b)
	default:
		err = c.toV1(b)
	}
	if err != nil {
		return nil, Counts{}, fmt.Errorf("rewrite: convert version %d to %d: %w", b.Version, to, err)
	}
	if to == V2 {
		c.out, err = c.v2.OptimizedMarshal(c.out[:0])
	} else {
		c.out = slices.Grow(c.out[:0], c.v1.Size())[:c.v1.Size()]
		_, err = c.v1.MarshalToSizedBuffer(c.out)
	}
	if err != nil {
		return nil, Counts{}, fmt.Errorf("rewrite: write message of version %d: %w", to, err)
	}
	return c.out, c.kept, nil
}

// release lets go of what aliases the batch's message.
func (c *converter) release() {
	clear(c.v1.Timeseries[:cap(c.v1.Timeseries)])
	clear(c.v2.Timeseries[:cap(c.v2.Timeseries)])
	clear(c.pairs)
	clear(c.v2.Symbols)
	c.v1 = prompb.WriteRequest{Timeseries: c.v1.Timeseries[:0]}
	c.v2 = writev2.Request{Timeseries: c.v2.Timeseries[:0]}
	c.pairs, c.refs = c.pairs[:0], c.refs[:0]
	c.samplesV1, c.samplesV2 = c.samplesV1[:0], c.samplesV2[:0]
	c.cfgs = nil
}

func (b *Batch) converter(cfgs []*relabel.Config) *converter {
	if b.conv == nil {
		b.conv = &converter{scratch: labels.NewScratchBuilder(16), builder: labels.NewBuilder(labels.EmptyLabels())}
	}
	b.conv.cfgs, b.conv.kept = cfgs, Counts{}
	return b.conv
}

func (c *converter) footprint() int {
	if c == nil {
		return 0
	}
	return cap(c.out) + cap(c.pairs)*int(unsafe.Sizeof(prompb.Label{})) + cap(c.refs)*4 +
		cap(c.v1.Timeseries)*int(unsafe.Sizeof(prompb.TimeSeries{})) + cap(c.v2.Timeseries)*int(unsafe.Sizeof(writev2.TimeSeries{})) +
		cap(c.samplesV1)*int(unsafe.Sizeof(prompb.Sample{})) + cap(c.samplesV2)*int(unsafe.Sizeof(writev2.Sample{}))
}

// relabel returns what becomes of a label set, sorted and without empty values, and whether its series is kept.
func (c *converter) relabel(ls labels.Labels) (labels.Labels, bool) {
	c.builder.Reset(ls)
	if !relabel.ProcessBuilder(c.builder, c.cfgs...) {
		return ls, false
	}
	ls = c.builder.Labels()
	return ls, !ls.IsEmpty()
}

// labels returns the labels of series i as they are to go out, sorted, and
// whether the series is kept. Without relabelling they alias the batch's message.
func (c *converter) labels(b *Batch, i int) ([]prompb.Label, bool) {
	from := len(c.pairs)
	if len(c.cfgs) > 0 {
		c.scratch.Reset()
		for it := b.iterate(i); it.next(); {
			c.scratch.Add(alias(it.name), alias(it.value))
		}
		c.scratch.Sort()
		ls, keep := c.relabel(c.scratch.Labels())
		ls.Range(func(l labels.Label) { c.pairs = append(c.pairs, prompb.Label{Name: l.Name, Value: l.Value}) })
		return c.pairs[from:len(c.pairs):len(c.pairs)], keep
	}
	sorted := true
	for it := b.iterate(i); it.next(); {
		l := prompb.Label{Name: alias(it.name), Value: alias(it.value)}
		if n := len(c.pairs); n > from && l.Name < c.pairs[n-1].Name {
			sorted = false
		}
		c.pairs = append(c.pairs, l)
	}
	set := c.pairs[from:len(c.pairs):len(c.pairs)]
	if !sorted {
		slices.SortFunc(set, func(x, y prompb.Label) int { return strings.Compare(x.Name, y.Name) })
	}
	return set, true
}

// alias is b as a string without copying: it must not outlive b, nor b change while it is read.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func (c *converter) count(samples, histograms, exemplars int) {
	c.kept.Samples += samples
	c.kept.Histograms += histograms
	c.kept.Exemplars += exemplars
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
		ls, keep := c.relabel(ls.WithoutEmpty())
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

// negativeZero adds field num with the value -0 to a message's unknown fields if v
// is that: the generated code takes it for a zero and would leave it out.
func negativeZero(unknown []byte, num int, v float64) []byte {
	if v != 0 || !math.Signbit(v) {
		return unknown
	}
	return binary.LittleEndian.AppendUint64(append(unknown, byte(num<<3|wire64)), math.Float64bits(v))
}
