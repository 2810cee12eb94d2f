package sequence

import (
	"reflect"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"

	"pawl/pkg/config"
	"pawl/pkg/correct"
	"pawl/pkg/rewrite"
)

// decodeV1 is the batch of a 1.0 request of the given label sets, one sample each.
func decodeV1(t testing.TB, tenant string, metadata []prompb.MetricMetadata, sets ...labels.Labels) *rewrite.Batch {
	t.Helper()
	req := &prompb.WriteRequest{Metadata: metadata}
	for i, ls := range sets {
		req.Timeseries = append(req.Timeseries, prompb.TimeSeries{
			Labels: prompb.FromLabels(ls, nil), Samples: []prompb.Sample{{Timestamp: 1, Value: float64(i) + 1}},
		})
	}
	msg, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	b := &rewrite.Batch{}
	if err := b.Decode(rewrite.V1, tenant, snappy.Encode(nil, msg), trusted); err != nil {
		t.Fatal(err)
	}
	return b
}

// Rules: "What counts as a counter", CORRECTION.md: metadata, rules, or names
// with two signs.
func TestWhatCountsAsACounter(t *testing.T) {
	set := labels.FromStrings
	for _, c := range []struct {
		name     string
		beside   []labels.Labels // seen before
		metadata []prompb.MetricMetadata
		rules    string
		series   labels.Labels
		counter  bool
		source   string
	}{
		{name: "a total", series: set("__name__", "requests_total"), counter: true, source: "name"},
		{name: "nothing told", series: set("__name__", "temperature"), source: "none"},
		{name: "a count alone is a gauge", series: set("__name__", "pg_stat_activity_count"), source: "name"},
		{name: "a count beside its buckets", beside: []labels.Labels{set("__name__", "lat_bucket", "le", "1")},
			series: set("__name__", "lat_count"), counter: true, source: "name"},
		{name: "a sum beside its quantiles", beside: []labels.Labels{set("__name__", "lat", "quantile", "0.5")},
			series: set("__name__", "lat_sum"), counter: true, source: "name"},
		{name: "quantiles themselves pass", series: set("__name__", "lat", "quantile", "0.5"), source: "none"},
		{name: "a bucket with le", series: set("__name__", "lat_bucket", "le", "1"), counter: true, source: "name"},
		{name: "a bucket without le", series: set("__name__", "lat_bucket"), source: "name"},
		{name: "metadata beats the name", metadata: []prompb.MetricMetadata{{MetricFamilyName: "queue_total", Type: prompb.MetricMetadata_GAUGE}},
			series: set("__name__", "queue_total"), source: "metadata"},
		{name: "metadata makes a counter", metadata: []prompb.MetricMetadata{{MetricFamilyName: "hits", Type: prompb.MetricMetadata_COUNTER}},
			series: set("__name__", "hits"), counter: true, source: "metadata"},
		{name: "OpenMetrics names the family without _total", metadata: []prompb.MetricMetadata{{MetricFamilyName: "queue", Type: prompb.MetricMetadata_GAUGE}},
			series: set("__name__", "queue_total"), source: "metadata"},
		{name: "a created timestamp is none", metadata: []prompb.MetricMetadata{{MetricFamilyName: "hits", Type: prompb.MetricMetadata_COUNTER}},
			series: set("__name__", "hits_created"), source: "metadata"},
		{name: "a gauge histogram is never touched", metadata: []prompb.MetricMetadata{{MetricFamilyName: "sizes", Type: prompb.MetricMetadata_GAUGEHISTOGRAM}},
			series: set("__name__", "sizes_bucket", "le", "1"), source: "metadata"},
		{name: "a rule beats everything", rules: "rules: [{match: 'queue_total{job=\"a\"}', type: gauge}]",
			series: set("__name__", "queue_total", "job", "a"), source: "rule"},
		{name: "the first rule that matches decides", rules: "rules: [{match: 'q{job=\"a\"}', type: counter}, {match: 'q', type: gauge}]",
			series: set("__name__", "q", "job", "a"), counter: true, source: "rule"},
		{name: "a rule with type auto leaves it open", rules: "rules: [{match: 'queue_total', losses: hold}]",
			series: set("__name__", "queue_total"), counter: true, source: "name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newClassifier()
			rules, err := config.ParseDecisions([]byte(c.rules), "rules")
			if err != nil {
				t.Fatal(err)
			}
			cl.adopt(rules.Correct)
			before := decodeV1(t, "a", c.metadata, c.beside...)
			cl.learn("a", before.Metadata)
			for i := range before.Series {
				cl.notice("a", looked(before, i))
			}
			d := whatIs(cl, decodeV1(t, "a", nil, c.series))
			if d.counter != c.counter || d.source != c.source {
				t.Errorf("counter %v by %s, want %v by %s", d.counter, d.source, c.counter, c.source)
			}
			if len(c.metadata)+len(c.beside) > 0 && c.rules == "" {
				other := whatIs(cl, decodeV1(t, "b", nil, c.series))
				if alone := whatIs(newClassifier(), decodeV1(t, "b", nil, c.series)); !reflect.DeepEqual(other, alone) {
					t.Errorf("another tenant's is decided by this one's metadata: %+v, alone %+v", other, alone)
				}
			}
		})
	}
}

// looked is what look finds.
func looked(b *rewrite.Batch, i int) *labelsOf {
	l := look(b, i)
	return &l
}

// whatIs is what the first series of a batch is.
func whatIs(cl *classifier, b *rewrite.Batch) decision { return *cl.decide(b, 0, looked(b, 0)) }

// Rule: _count and _sum are judged as one where metadata calls the family a
// summary or histogram, though it has no quantiles, or its buckets come later.
func TestPartsAreKnownByMetadata(t *testing.T) {
	for _, typ := range []prompb.MetricMetadata_MetricType{prompb.MetricMetadata_SUMMARY, prompb.MetricMetadata_HISTOGRAM} {
		for name, role := range map[string]correct.Role{"lat_count": correct.RoleCount, "lat_sum": correct.RoleSum} {
			cl := newClassifier()
			cl.learn("", decodeV1(t, "", []prompb.MetricMetadata{{MetricFamilyName: "lat", Type: typ}}).Metadata)
			if d := whatIs(cl, decodeV1(t, "", nil, labels.FromStrings("__name__", name))); !d.part || d.role != role || string(d.base) != "lat" {
				t.Errorf("%s of a %v: %+v, want a part", name, typ, d)
			}
			inline := decodeV1(t, "", nil, labels.FromStrings("__name__", name))
			inline.Series[0].Type = map[prompb.MetricMetadata_MetricType]rewrite.MetricType{
				prompb.MetricMetadata_SUMMARY: typeSummary, prompb.MetricMetadata_HISTOGRAM: typeHistogram}[typ]
			if d := whatIs(newClassifier(), inline); !d.part || d.role != role {
				t.Errorf("%s of a %v told with the series: %+v, want a part", name, typ, d)
			}
		}
	}
}

// Rule: a family whose type never comes to rest is believed no more, and does
// not make every series be decided anew for ever.
func TestTypesThatTurnOverAreNotBelieved(t *testing.T) {
	cl := newClassifier()
	flip := []rewrite.MetricType{typeCounter, typeGauge}
	for i := range 20 {
		cl.learn("", []rewrite.Metadata{{Family: "x_total", Type: flip[i%2]}})
	}
	gen := cl.gen
	for i := range 20 {
		cl.learn("", []rewrite.Metadata{{Family: "x_total", Type: flip[i%2]}})
	}
	if cl.gen != gen {
		t.Errorf("the generation still moves")
	}
	if d := whatIs(cl, decodeV1(t, "", nil, labels.FromStrings("__name__", "x_total"))); !d.counter || d.source != "name" {
		t.Errorf("decided %+v, want by name", d)
	}
}
