package sequence

import (
	"testing"

	"github.com/prometheus/prometheus/prompb"

	"pawl/pkg/rewrite"
)

// An election may fall into the middle of a scrape whose parts travel in several requests. Of a histogram such a
// scrape is left out whole: half of it would show a restart in some buckets and not in others, whose parts never come.
func TestAnElectionWithinAScrapeCutsNoHistogram(t *testing.T) {
	both(t, func(t *testing.T, v rewrite.Version) {
		p := newPairWorld(t, v)
		if err := p.w.adopt([]byte("ha: {failover_timeout: 2s}\n")); err != nil {
			t.Fatal(err)
		}
		parts := func(ms int64, replica string, n float64) (low, high []prompb.TimeSeries) {
			part := func(name string, v float64, more ...string) prompb.TimeSeries {
				return one(ms, v, append([]string{"__name__", name, "cluster", "c", "__replica__", replica}, more...)...)
			}
			return []prompb.TimeSeries{part("took_seconds_bucket", float64(int(n/4)), "le", "0.1"), part("took_seconds_bucket", float64(int(n/2)), "le", "1"), part("took_seconds_count", n)},
				[]prompb.TimeSeries{part("took_seconds_bucket", n, "le", "+Inf")}
		}
		at, n := haT0, 5000.0
		scrape := func(replica string, apart int64) {
			low, high := parts(at, replica, n)
			p.send(at, low...)
			p.send(at+apart, high...)
			at, n = at+250, n+4
		}
		for range 30 {
			scrape("a", 0)
		}
		n = 2 // the target restarts, and a is gone
		for range 6 {
			scrape("b", 0)
		}
		counted := n
		scrape("b", 250) // its first parts come before the timeout, the last one after it
		if all := p.w.pairs.all["team\x00c"]; all.replica != "b" {
			t.Fatalf("%s is elected: this shows nothing", all.replica)
		}
		for range 20 {
			scrape("b", 0)
		}
		const before = 5000 + 29*4
		for name, points := range p.out {
			last := points[len(points)-1].Value
			want := before + n - 4
			switch name {
			case `{__name__="took_seconds_bucket", cluster="c", le="0.1"}`:
				want = float64(before/4 + int((n-4)/4))
			case `{__name__="took_seconds_bucket", cluster="c", le="1.0"}`, `{__name__="took_seconds_bucket", cluster="c", le="1"}`:
				want = float64(before/2 + int((n-4)/2))
			}
			if last != want {
				t.Errorf("%s ends at %v, want %v (%v was counted when b was elected)", name, last, want, counted)
			}
		}
		if len(p.out) != 4 {
			t.Errorf("%d series", len(p.out))
		}
	})
}
