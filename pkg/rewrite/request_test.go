package rewrite

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"pgregory.net/rapid"
)

// dice is where random requests come from: rapid, which shrinks them, or a seed.
type dice interface{ IntN(n int) int }

type rapidDice struct{ t *rapid.T }

func (d rapidDice) IntN(n int) int { return rapid.IntRange(0, n-1).Draw(d.t, "n") }

func seeded(seed uint64) dice { return rand.New(rand.NewPCG(seed, 1)) }

// drawValue prefers the values that encodings get wrong.
func drawValue(d dice) float64 {
	odd := []float64{
		0, math.Copysign(0, -1), 1, math.Inf(1), math.Inf(-1), math.Float64frombits(value.StaleNaN),
		math.Float64frombits(0x7ff8dead00000001), math.MaxFloat64, math.SmallestNonzeroFloat64,
	}
	if n := d.IntN(2 * len(odd)); n < len(odd) {
		return odd[n]
	}
	return float64(d.IntN(1000)) / 8
}

func drawTime(d dice) int64 {
	return []int64{0, 1, 127, 128, 1_700_000_000_000, 1_700_000_015_000, 1_700_000_030_000, -1, math.MaxInt64, math.MinInt64}[d.IntN(10)]
}

// drawLabels gives a label set in the flat form name, value, name, value: often
// shared with others, sometimes in the wrong order, sometimes with empty values.
func drawLabels(d dice) []string {
	pool := []string{
		"__name__", "a_total", "__name__", "http_request_duration_seconds_bucket", "code", "200", "instance", "10.0.0.1:9100",
		"job", "node", "le", "+Inf", "päth", "/größe", "z", "",
	}
	var out []string
	if d.IntN(8) > 0 {
		n := 2 * d.IntN(2)
		out = append(out, pool[n], pool[n+1])
	}
	for i := 4; i < len(pool); i += 2 {
		if d.IntN(2) == 0 {
			v := pool[i+1]
			if v != "" && d.IntN(3) == 0 {
				v = fmt.Sprint(d.IntN(3))
			}
			out = append(out, pool[i], v)
		}
	}
	if len(out) == 0 || len(out) == 2 && out[1] == "" {
		out = []string{"job", "only"}
	}
	if d.IntN(5) == 0 { // out of order
		n := len(out)
		out[0], out[1], out[n-2], out[n-1] = out[n-2], out[n-1], out[0], out[1]
	}
	return out
}

// unknownFields is what a sender of a later version might add.
func unknownFields(d dice) []byte {
	if d.IntN(6) > 0 {
		return nil
	}
	return [][]byte{
		{0xf8, 0x01, 0x05},             // field 31, varint
		{0xfa, 0x01, 0x02, 'h', 'i'},   // field 31, bytes
		{0xfb, 0x01, 0x08, 1, 0xfc, 1}, // field 31, a group
	}[d.IntN(3)]
}

func drawV1(d dice) *prompb.WriteRequest {
	req := &prompb.WriteRequest{XXX_unrecognized: unknownFields(d)}
	for range d.IntN(6) {
		ts := prompb.TimeSeries{XXX_unrecognized: unknownFields(d)}
		for ls := drawLabels(d); len(ls) > 0; ls = ls[2:] {
			ts.Labels = append(ts.Labels, prompb.Label{Name: ls[0], Value: ls[1]})
		}
		for range d.IntN(3) {
			ts.Samples = append(ts.Samples, prompb.Sample{Value: drawValue(d), Timestamp: drawTime(d), XXX_unrecognized: unknownFields(d)})
		}
		for range d.IntN(6) / 4 {
			ts.Histograms = append(ts.Histograms, drawHistogram(d))
		}
		for range d.IntN(6) / 3 {
			ts.Exemplars = append(ts.Exemplars, prompb.Exemplar{
				Labels: []prompb.Label{{Name: "trace_id", Value: fmt.Sprint(d.IntN(9))}}, Value: drawValue(d), Timestamp: drawTime(d),
				XXX_unrecognized: unknownFields(d),
			})
		}
		req.Timeseries = append(req.Timeseries, ts)
	}
	for range d.IntN(4) / 2 {
		req.Metadata = append(req.Metadata, prompb.MetricMetadata{
			Type: prompb.MetricMetadata_MetricType(d.IntN(8)), MetricFamilyName: []string{"a_total", "a", "http_request_duration_seconds"}[d.IntN(3)],
			Help: "Help.", Unit: "seconds",
		})
	}
	return req
}

func drawV2(d dice) *writev2.Request {
	table := writev2.NewSymbolTable()
	req := &writev2.Request{XXX_unrecognized: unknownFields(d)}
	refs := func(ls []string) (out []uint32) {
		for _, l := range ls {
			out = append(out, table.Symbolize(l))
		}
		return out
	}
	for range d.IntN(6) {
		ts := writev2.TimeSeries{LabelsRefs: refs(drawLabels(d)), XXX_unrecognized: unknownFields(d)}
		ts.Metadata = writev2.Metadata{Type: writev2.Metadata_MetricType(d.IntN(8)), HelpRef: table.Symbolize([]string{"", "Help."}[d.IntN(2)])}
		kind := d.IntN(4)
		if kind < 2 {
			for range 1 + d.IntN(2) {
				s := writev2.Sample{Value: drawValue(d), Timestamp: drawTime(d), XXX_unrecognized: unknownFields(d)}
				if d.IntN(2) == 0 {
					s.StartTimestamp = drawTime(d)
				}
				ts.Samples = append(ts.Samples, s)
			}
		}
		if kind == 2 {
			h := histogramV2(ptr(drawHistogram(d)))
			h.StartTimestamp = drawTime(d)
			ts.Histograms = append(ts.Histograms, h)
		}
		if kind == 3 || d.IntN(4) == 0 {
			ts.Exemplars = append(ts.Exemplars, writev2.Exemplar{
				LabelsRefs: refs([]string{"trace_id", fmt.Sprint(d.IntN(9))}), Value: drawValue(d), Timestamp: drawTime(d), XXX_unrecognized: unknownFields(d),
			})
		}
		if d.IntN(5) == 0 { // rc.3's created_timestamp
			ts.XXX_unrecognized = append([]byte{v2Created<<3 | wireVarint, 0xe8, 0x07}, ts.XXX_unrecognized...)
		}
		req.Timeseries = append(req.Timeseries, ts)
	}
	req.Symbols = table.Symbols()
	return req
}

func ptr[T any](v T) *T { return &v }

// drawHistogram gives a sound histogram of any kind.
func drawHistogram(d dice) prompb.Histogram {
	h := prompb.Histogram{
		Timestamp: drawTime(d), ResetHint: prompb.Histogram_ResetHint(d.IntN(4)), XXX_unrecognized: unknownFields(d),
		Sum: []float64{12.5, math.Copysign(0, -1), math.Float64frombits(value.StaleNaN)}[d.IntN(3)],
	}
	custom, float := d.IntN(3) == 0, d.IntN(2) == 0
	var total int64
	fill := func() (spans []prompb.BucketSpan, deltas []int64, counts []float64) {
		var last int64
		for i := range 1 + d.IntN(2) {
			n := 1 + d.IntN(3)
			spans = append(spans, prompb.BucketSpan{Offset: int32(i + d.IntN(2)), Length: uint32(n)})
			for range n {
				c := int64(d.IntN(9))
				deltas, counts = append(deltas, c-last), append(counts, float64(c))
				last, total = c, total+c
			}
		}
		if float {
			return spans, nil, counts
		}
		return spans, deltas, nil
	}
	h.PositiveSpans, h.PositiveDeltas, h.PositiveCounts = fill()
	if custom {
		h.Schema, h.CustomValues = -53, []float64{-1, 0, 0.5, 1, 2, 4, 8, 16, 32}
	} else {
		h.Schema, h.ZeroThreshold = int32(d.IntN(13)-4), 1e-128
		h.NegativeSpans, h.NegativeDeltas, h.NegativeCounts = fill()
		total += 2
		h.ZeroCount = &prompb.Histogram_ZeroCountInt{ZeroCountInt: 2}
		if float {
			h.ZeroCount = &prompb.Histogram_ZeroCountFloat{ZeroCountFloat: 2}
		}
	}
	h.Count = &prompb.Histogram_CountInt{CountInt: uint64(total)}
	if float {
		h.Count = &prompb.Histogram_CountFloat{CountFloat: float64(total)}
	}
	return h
}

func packV1(t testing.TB, req *prompb.WriteRequest) []byte {
	t.Helper()
	m, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, m)
}

func packV2(t testing.TB, req *writev2.Request) []byte {
	t.Helper()
	m, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, m)
}

func unpackV1(t testing.TB, body []byte) *prompb.WriteRequest {
	t.Helper()
	m, err := snappy.Decode(nil, body)
	if err != nil {
		t.Fatal(err)
	}
	req := &prompb.WriteRequest{}
	if err := req.Unmarshal(m); err != nil {
		t.Fatal(err)
	}
	return req
}

func unpackV2(t testing.TB, body []byte) *writev2.Request {
	t.Helper()
	m, err := snappy.Decode(nil, body)
	if err != nil {
		t.Fatal(err)
	}
	req := &writev2.Request{}
	if err := req.Unmarshal(m); err != nil {
		t.Fatal(err)
	}
	return req
}

func decoded(t testing.TB, v Version, tenant string, body []byte) *Batch {
	t.Helper()
	b := &Batch{}
	if err := b.Decode(v, tenant, body, Limits{}); err != nil {
		t.Fatalf("decode: %v", err)
	}
	return b
}

// sameFloat compares bits: NaNs differ by them, and so do the zeros.
func sameFloat(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) }

func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
		t.Fatalf("%s:\n got %#v\nwant %#v", what, got, want)
	}
}

// created finds rc.3's created_timestamp among a series' unknown fields.
func created(t testing.TB, unknown []byte) (ms int64) {
	t.Helper()
	for p := 0; p < len(unknown); {
		f, q, reason := next(unknown, p)
		if reason != "" {
			t.Fatal(reason)
		}
		if f.num == v2Created && f.wt == wireVarint {
			ms = int64(f.v)
		}
		p = q
	}
	return ms
}

// withoutCreated is the other unknown fields of a series.
func withoutCreated(t testing.TB, unknown []byte) (rest []byte) {
	t.Helper()
	for p := 0; p < len(unknown); {
		f, q, reason := next(unknown, p)
		if reason != "" {
			t.Fatal(reason)
		}
		if f.num != v2Created || f.wt != wireVarint {
			rest = append(rest, unknown[p:q]...)
		}
		p = q
	}
	return slices.Clone(rest)
}
