package sequence

import (
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
)

// BenchmarkMeet is a series' first sample: who it is, what it is, its place.
func BenchmarkMeet(b *testing.B) {
	const n = 20_000
	r := decoded(b, &Request{}, 1, scrapes(n)(0))
	w := newTestWriter(b)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		w.table, w.groups, w.natives = newTable(), newGroups(), newNatives()
		w.labels = newIdentities()
		b.StartTimer()
		w.apply(r)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/series")
	b.ReportMetric(0, "ns/op")
}

// Rule: the parts of a histogram find one another, whatever they are asked by.
func TestThePartsKeyIsThatOfTheLabelsThatPartsShare(t *testing.T) {
	for _, ls := range []labels.Labels{
		labels.FromStrings("__name__", "x_bucket", "le", "0.5", "job", "a"),
		labels.FromStrings("__name__", "x_bucket", "le", "+Inf", "job", "a"),
		labels.FromStrings("__name__", "x_count", "job", "a"),
		labels.FromStrings("__name__", "x_sum", "job", "a", "zone", "z"),
		labels.FromStrings("__name__", strings.Repeat("long", 50)+"_bucket", "le", "1"),
		labels.FromStrings("__name__", "x_bucket"),
	} {
		for _, tenant := range []string{"", "t"} {
			b := decodeV1(t, tenant, nil, ls)
			base, _ := split(b.Name(0))
			if got, want := partsKey(tenant, b.Series[0].Key, looked(b, 0), base), groupKey(tenant, string(base), ls); got != want {
				t.Errorf("%v of %q: %v, want %v", ls, tenant, got, want)
			}
		}
	}
}

// Rule: what is learned of a family holds at once, also where it was asked for just before.
func TestAFamilyIsNotRememberedBeyondItsChange(t *testing.T) {
	c := newClassifier()
	for _, name := range []string{"a", "b", "a"} {
		if c.family("t", []byte(name)).Buckets {
			t.Fatal("nobody said so")
		}
	}
	c.update("t", []byte("a"), func(f *family) { f.Buckets = true })
	if !c.family("t", []byte("a")).Buckets || c.family("t", []byte("b")).Buckets || c.family("", []byte("a")).Buckets {
		t.Error("not what was learned")
	}
}
