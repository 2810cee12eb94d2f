package sequence

import (
	"slices"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
)

// Rule: when old series happen to be looked for changes no value: a histogram of
// which one bucket is no longer sent goes on, offsets and all. What nobody sends goes.
func TestPurgingChangesNoValue(t *testing.T) {
	run := func(purge bool) (went []string) {
		p := play(t, t.TempDir())
		defer p.end()
		p.forgetMS = 60_000
		for scrape := range int64(12) {
			req := &prompb.WriteRequest{}
			for i, le := range []string{"1", "2", "+Inf"} {
				if i == 1 && scrape > 2 {
					continue // this bucket is gone
				}
				v := float64(1000*(i+1)) + float64(scrape)
				if scrape > 1 {
					v -= 100 // a loss, so there are offsets
				}
				req.Timeseries = append(req.Timeseries, prompb.TimeSeries{
					Labels:  []prompb.Label{{Name: "__name__", Value: "x_bucket"}, {Name: "le", Value: le}},
					Samples: []prompb.Sample{{Timestamp: playMS + scrape*15_000, Value: v}}})
			}
			msg, err := req.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			went = append(went, p.next(step{body: snappy.Encode(nil, msg), ms: playMS + scrape*15_000}))
			if purge {
				p.purge(100)
			}
		}
		if len(p.groups.byKey) != 1 || !p.groups.all[0].carries() {
			t.Fatal("there is no histogram with an offset: the test shows nothing")
		}
		p.clock += 10 * 60_000
		p.purge(100)
		if p.table.live != 0 || len(p.groups.byKey) != 0 {
			t.Errorf("%d series and %d histograms are kept for nobody", p.table.live, len(p.groups.byKey))
		}
		return went
	}
	if kept, purged := run(false), run(true); !slices.Equal(kept, purged) {
		t.Errorf("with purging\n%v\nwithout\n%v", purged, kept)
	}
}
