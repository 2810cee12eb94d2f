package rewrite

import (
	"bytes"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"go.yaml.in/yaml/v2"
	"pgregory.net/rapid"
)

func relabelConfigs(t testing.TB, text string) []*relabel.Config {
	t.Helper()
	var out []*relabel.Config
	if err := yaml.UnmarshalStrict([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	for _, c := range out {
		if err := c.Validate(model.UTF8Validation); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

const writeRelabeling = `
- {source_labels: [code], regex: "2", action: drop}
- {regex: instance, action: labeldrop}
- {source_labels: [job], target_label: aaa, replacement: "first $1"}
`

// relabelled applies the rules to a label set by plain means.
func relabelled(ls labels.Labels, cfgs []*relabel.Config) labels.Labels {
	lb := labels.NewBuilder(ls)
	if !relabel.ProcessBuilder(lb, cfgs...) {
		return labels.EmptyLabels()
	}
	return lb.Labels()
}

func TestRelabellingChangesLabelsAndNothingElse(t *testing.T) {
	cfgs := relabelConfigs(t, writeRelabeling)
	rapid.Check(t, func(r *rapid.T) {
		d := rapidDice{r}
		b, w := draw(t, d)
		edit(d, b, &w)
		to := Version(1 + d.IntN(2))
		body, _, err := b.Encode(nil, to, cfgs)
		if err != nil {
			r.Fatal(err)
		}
		out := decoded(t, to, "", body)
		got := flattenMessage(t, to, out.Message)
		want, _ := expect(w, b.Version, to)
		kept := want[:0]
		for _, s := range want {
			if s.ls = relabelled(s.ls, cfgs); !s.ls.IsEmpty() {
				kept = append(kept, s)
			}
		}
		want = kept
		if len(got.series) != len(want) {
			r.Fatalf("%d series, want %d", len(got.series), len(want))
		}
		for i := range want {
			if b.Version == V2 && to == V1 {
				for j := range want[i].samples {
					want[i].samples[j].ST = 0
				}
				for j := range want[i].histograms {
					want[i].histograms[j].st = 0
				}
			}
			checkSeries(t, i, got.series[i], want[i])
			if to == b.Version && !bytes.Equal(got.series[i].unknown, want[i].unknown) {
				r.Fatalf("series %d: unknown fields %x, want %x", i, got.series[i].unknown, want[i].unknown)
			}
		}
	})
}

func TestRelabellingLeavesNoTraceOfADroppedLabel(t *testing.T) {
	_, body := packPair(t, []string{"__name__", "a", "secret", "do not tell"})
	b := decoded(t, V2, "", body)
	out, _, err := b.Encode(nil, V2, relabelConfigs(t, `[{regex: secret, action: labeldrop}]`))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "symbols", unpackV2(t, out).Symbols, []string{"", "__name__", "a"})
}

func TestLabelsGoOutSortedWhenRewritten(t *testing.T) {
	v1, v2 := packPair(t, []string{"zone", "y", "empty", "", "__name__", "up"})
	one := unpackV1(t, must1(decoded(t, V2, "", v2).Encode(nil, V1, nil)))
	equal(t, "labels", one.Timeseries[0].Labels, []prompb.Label{{Name: "__name__", Value: "up"}, {Name: "zone", Value: "y"}})
	two := unpackV2(t, must1(decoded(t, V1, "", v1).Encode(nil, V2, nil)))
	equal(t, "symbols", two.Symbols, []string{"", "__name__", "up", "zone", "y"})
	equal(t, "references", two.Timeseries[0].LabelsRefs, []uint32{1, 2, 3, 4})
}

func must1(body []byte, _ Counts, err error) []byte { return must(body, err) }

func TestMetadataOf10GoesToTheSeriesOfItsFamily(t *testing.T) {
	series := func(name string) prompb.TimeSeries {
		return prompb.TimeSeries{Labels: []prompb.Label{{Name: "__name__", Value: name}}, Samples: []prompb.Sample{{Value: 1, Timestamp: 1}}}
	}
	req := &prompb.WriteRequest{
		Timeseries: []prompb.TimeSeries{series("d_bucket"), series("d_count"), series("up"), series("other")},
		Metadata: []prompb.MetricMetadata{
			{Type: prompb.MetricMetadata_HISTOGRAM, MetricFamilyName: "d", Help: "Durations.", Unit: "seconds"},
			{Type: prompb.MetricMetadata_GAUGE, MetricFamilyName: "up"},
			{Type: prompb.MetricMetadata_GAUGE, MetricFamilyName: "absent"},
		},
	}
	b := decoded(t, V1, "", packV1(t, req))
	body, kept, err := b.Encode(nil, V2, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "kept", kept, Counts{Samples: 4, Metadata: 2})
	out := decoded(t, V2, "", body)
	equal(t, "types", []MetricType{out.Series[0].Type, out.Series[1].Type, out.Series[2].Type, out.Series[3].Type}, []MetricType{3, 3, 2, 0})
	got := unpackV2(t, body)
	md := must(got.Timeseries[1].ToMetadata(got.Symbols))
	equal(t, "help and unit", md.Help+md.Unit, "Durations.seconds")
}

func TestMetadataAloneHasNoPlaceIn20(t *testing.T) {
	b := decoded(t, V1, "", packV1(t, &prompb.WriteRequest{Metadata: []prompb.MetricMetadata{{MetricFamilyName: "a", Type: 1}}}))
	equal(t, "read", b.Metadata, []Metadata{{Family: "a", Type: 1}})
	_, kept, err := b.Encode(nil, V1, nil)
	equal(t, "to 1.0", fmtCounts(kept, err), fmtCounts(Counts{Metadata: 1}, nil))
	_, kept, err = b.Encode(nil, V2, nil)
	if err != nil || kept != (Counts{}) {
		t.Fatalf("%+v, %v", kept, err)
	}
}

func fmtCounts(c Counts, err error) any {
	return struct {
		c   Counts
		err error
	}{c, err}
}

func TestInlineMetadataBecomesOneEntryPerFamilyIn10(t *testing.T) {
	table := writev2.NewSymbolTable()
	series := func(name string, kind writev2.Metadata_MetricType) writev2.TimeSeries {
		return writev2.TimeSeries{
			LabelsRefs: []uint32{table.Symbolize("__name__"), table.Symbolize(name)},
			Samples:    []writev2.Sample{{Value: 1, Timestamp: 1}},
			Metadata:   writev2.Metadata{Type: kind, HelpRef: table.Symbolize("Help.")},
		}
	}
	req := &writev2.Request{Timeseries: []writev2.TimeSeries{
		series("d_bucket", writev2.Metadata_METRIC_TYPE_HISTOGRAM), series("d_sum", writev2.Metadata_METRIC_TYPE_HISTOGRAM),
		series("c_total", writev2.Metadata_METRIC_TYPE_COUNTER),
	}}
	req.Timeseries = append(req.Timeseries, writev2.TimeSeries{
		LabelsRefs: []uint32{table.Symbolize("__name__"), table.Symbolize("bare")}, Samples: []writev2.Sample{{Value: 1, Timestamp: 1}},
	})
	req.Symbols = table.Symbols()
	body := must1(decoded(t, V2, "", packV2(t, req)).Encode(nil, V1, nil))
	equal(t, "metadata", unpackV1(t, body).Metadata, []prompb.MetricMetadata{
		{Type: prompb.MetricMetadata_HISTOGRAM, MetricFamilyName: "d", Help: "Help."},
		{Type: prompb.MetricMetadata_COUNTER, MetricFamilyName: "c_total", Help: "Help."},
	})
}
