package rewrite

import (
	"bytes"
	"math"
	"math/bits"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// flat is a request as Prometheus' own types read it, without what the versions differ in.
type flat struct {
	series   []flatSeries
	metadata int
}

type flatSeries struct {
	ls         labels.Labels
	kind       MetricType
	samples    []Sample
	histograms []flatHistogram
	exemplars  []flatExemplar
	unknown    []byte
	hasCreated bool
}

type flatHistogram struct {
	t, st int64
	raw   []byte // as a 1.0 message
}

type flatExemplar struct {
	t   int64
	v   uint64
	raw []byte // labels as text
}

func flattenV1(t testing.TB, req *prompb.WriteRequest) flat {
	t.Helper()
	out := flat{metadata: len(req.Metadata)}
	sb := labels.NewScratchBuilder(0)
	for _, ts := range req.Timeseries {
		s := flatSeries{ls: ts.ToLabels(&sb, nil).WithoutEmpty(), unknown: ts.XXX_unrecognized}
		for _, x := range ts.Samples {
			s.samples = append(s.samples, Sample{T: x.Timestamp, V: x.Value})
		}
		for i := range ts.Histograms {
			s.histograms = append(s.histograms, flattenHistogram(t, &ts.Histograms[i], 0))
		}
		for _, e := range ts.Exemplars {
			x := e.ToExemplar(&sb, nil)
			s.exemplars = append(s.exemplars, flatExemplar{x.Ts, math.Float64bits(x.Value), []byte(x.Labels.String())})
		}
		out.series = append(out.series, s)
	}
	return out
}

func flattenV2(t testing.TB, req *writev2.Request) flat {
	t.Helper()
	out := flat{}
	sb := labels.NewScratchBuilder(0)
	for _, ts := range req.Timeseries {
		ls, err := ts.ToLabels(&sb, req.Symbols)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ts.ToMetadata(req.Symbols); err != nil {
			t.Fatal(err)
		}
		s := flatSeries{ls: ls.WithoutEmpty(), kind: metricType(uint64(ts.Metadata.Type)), unknown: withoutCreated(t, ts.XXX_unrecognized)}
		s.hasCreated = len(s.unknown) < len(ts.XXX_unrecognized)
		common := created(t, ts.XXX_unrecognized)
		start := func(own int64) int64 {
			if own == 0 {
				return common
			}
			return own
		}
		for _, x := range ts.Samples {
			s.samples = append(s.samples, Sample{T: x.Timestamp, V: x.Value, ST: start(x.StartTimestamp)})
		}
		for i := range ts.Histograms {
			h := histogramV1(&ts.Histograms[i])
			s.histograms = append(s.histograms, flattenHistogram(t, &h, start(ts.Histograms[i].StartTimestamp)))
		}
		for _, e := range ts.Exemplars {
			x, err := e.ToExemplar(&sb, req.Symbols)
			if err != nil {
				t.Fatal(err)
			}
			s.exemplars = append(s.exemplars, flatExemplar{x.Ts, math.Float64bits(x.Value), []byte(x.Labels.String())})
		}
		out.series = append(out.series, s)
	}
	return out
}

func flattenHistogram(t testing.TB, h *prompb.Histogram, st int64) flatHistogram {
	t.Helper()
	if err := modelVerdict(h); err != nil {
		t.Fatalf("a histogram that the model refuses: %v", err)
	}
	plain := *h
	plain.XXX_unrecognized = negativeZero(nil, 3, h.Sum)
	plain.PositiveSpans, plain.NegativeSpans = plainSpans(h.PositiveSpans), plainSpans(h.NegativeSpans)
	raw, err := plain.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return flatHistogram{h.Timestamp, st, raw}
}

// plainSpans are spans without unknown fields.
func plainSpans(in []prompb.BucketSpan) (out []prompb.BucketSpan) {
	for _, s := range in {
		out = append(out, prompb.BucketSpan{Offset: s.Offset, Length: s.Length})
	}
	return out
}

// modelVerdict is Prometheus' own judgement of a histogram, at the door of its receiver.
func modelVerdict(h *prompb.Histogram) error {
	reduce := func(schema int32) int32 {
		if histogram.IsExponentialSchemaReserved(schema) && schema > histogram.ExponentialSchemaMax {
			return histogram.ExponentialSchemaMax
		}
		return schema
	}
	if h.IsFloatHistogram() {
		fh := h.ToFloatHistogram()
		fh.Schema = reduce(fh.Schema)
		return fh.Validate()
	}
	ih := h.ToIntHistogram()
	ih.Schema = reduce(ih.Schema)
	return ih.Validate()
}

// flattenMessage reads a message by Prometheus' own types.
func flattenMessage(t testing.TB, v Version, m []byte) flat {
	t.Helper()
	if v == V1 {
		req := &prompb.WriteRequest{}
		if err := req.Unmarshal(m); err != nil {
			t.Fatalf("accepted, but Prometheus' type does not decode it: %v", err)
		}
		return flattenV1(t, req)
	}
	req := &writev2.Request{}
	if err := req.Unmarshal(m); err != nil {
		t.Fatalf("accepted, but Prometheus' type does not decode it: %v", err)
	}
	return flattenV2(t, req)
}

// checkDecoded holds a decoded batch against Prometheus' own types, field by field.
func checkDecoded(t testing.TB, b *Batch) flat {
	t.Helper()
	want := flattenMessage(t, b.Version, b.Message)
	if len(b.Series) != len(want.series) {
		t.Fatalf("%d series, want %d", len(b.Series), len(want.series))
	}
	exemplars := 0
	var before [][2]string
	for i, w := range want.series {
		s := b.Series[i]
		before = checkSame(t, b, i, before)
		if !labels.Equal(b.Labels(i), w.ls) {
			t.Fatalf("series %d: labels %v, want %v", i, b.Labels(i), w.ls)
		}
		if s.Key != KeyOf(b.Tenant, w.ls) {
			t.Fatalf("series %d: key differs from KeyOf", i)
		}
		it := b.iterate(i)
		b.EachLabel(i, func(name, value []byte) {
			if !it.next() || !bytes.Equal(name, it.name) || !bytes.Equal(value, it.value) {
				t.Fatalf("series %d: label %q is %q, want %q %q, in this order", i, name, value, it.name, it.value)
			}
		})
		if it.next() {
			t.Fatalf("series %d: label %q is not shown", i, it.name)
		}
		if got := string(b.Name(i)); got != w.ls.Get("__name__") {
			t.Fatalf("series %d: name %q", i, got)
		}
		if s.Type != w.kind {
			t.Fatalf("series %d: type %d, want %d", i, s.Type, w.kind)
		}
		samples := b.Samples[s.S0:s.S1]
		checkSamples(t, samples, w.samples)
		histograms := b.Histograms[s.H0:s.H1]
		if len(histograms) != len(w.histograms) {
			t.Fatalf("series %d: %d histograms, want %d", i, len(histograms), len(w.histograms))
		}
		for j, h := range histograms {
			if h.T != w.histograms[j].t || h.ST != w.histograms[j].st {
				t.Fatalf("series %d: histogram %+v, want %+v", i, h, w.histograms[j])
			}
		}
		checkHistograms(t, b, s, w.histograms)
		exemplars += len(w.exemplars)
	}
	if b.Exemplars != exemplars {
		t.Fatalf("%d exemplars, want %d", b.Exemplars, exemplars)
	}
	return want
}

// checkSame holds what is said to be the same as in the series before against that series' labels, and returns those of series i.
func checkSame(t testing.TB, b *Batch, i int, before [][2]string) (own [][2]string) {
	t.Helper()
	b.EachLabel(i, func(name, value []byte) { own = append(own, [2]string{string(name), string(value)}) })
	same := b.Same(i)
	rest := same
	n := b.EachOther(i, func(n int, name, value []byte) {
		if n < 32 && same>>n&1 != 0 || n >= len(own) || own[n] != [2]string{string(name), string(value)} {
			t.Fatalf("series %d: label %d is said to be another one, %q %q: %v, same %b", i, n, name, value, own, same)
		}
		rest |= 1 << n
	})
	if n != len(own) || bits.OnesCount32(rest) != min(n, 32) {
		t.Fatalf("series %d: %d labels, %b of them shown, want %v", i, n, rest, own)
	}
	for n := range own {
		if n < 32 && same>>n&1 != 0 && (n >= len(before) || before[n] != own[n]) {
			t.Fatalf("series %d: label %d is not the one before: %v, %v, same %b", i, n, own, before, same)
		}
	}
	return own
}

func checkSamples(t testing.TB, got, want []Sample) {
	t.Helper()
	same := slices.EqualFunc(got, want, func(x, y Sample) bool { return x.T == y.T && x.ST == y.ST && sameFloat(x.V, y.V) })
	if !same {
		t.Fatalf("samples\n got %+v\nwant %+v", got, want)
	}
}

// checkSeries compares two readings of the same series.
func checkSeries(t testing.TB, i int, got, want flatSeries) {
	t.Helper()
	if !labels.Equal(got.ls, want.ls) {
		t.Fatalf("series %d: labels %v, want %v", i, got.ls, want.ls)
	}
	checkSamples(t, got.samples, want.samples)
	if !slices.EqualFunc(got.histograms, want.histograms, func(x, y flatHistogram) bool { return x.st == y.st && bytes.Equal(x.raw, y.raw) }) {
		t.Fatalf("series %d: histograms\n got %v\nwant %v", i, got.histograms, want.histograms)
	}
	if !slices.EqualFunc(got.exemplars, want.exemplars, func(x, y flatExemplar) bool {
		return x.t == y.t && x.v == y.v && bytes.Equal(x.raw, y.raw)
	}) {
		t.Fatalf("series %d: exemplars\n got %v\nwant %v", i, got.exemplars, want.exemplars)
	}
}
