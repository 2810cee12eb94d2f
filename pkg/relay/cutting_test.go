package relay

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"

	"pawl/internal/accuracy"
)

// cutSeries is one series of the property below, and what is sent of it.
type cutSeries struct {
	labels  []prompb.Label
	part    bool // of a histogram
	samples []prompb.Sample
}

func (s *cutSeries) key() string { return fmt.Sprint(s.labels) }

// brokenSeries are an hour of counters that recycle, restart, flip and crash, and of
// two histograms that recycle, then two scrapes at which nothing happens.
func brokenSeries(seed uint64) (all []cutSeries) {
	add := func(name, le, trace string, part bool) *cutSeries {
		ls := []prompb.Label{{Name: "__name__", Value: name}}
		if le != "" {
			ls = append(ls, prompb.Label{Name: "le", Value: le})
		}
		all = append(all, cutSeries{labels: append(ls, prompb.Label{Name: "trace", Value: trace}), part: part})
		return &all[len(all)-1]
	}
	for i, class := range accuracy.Classes() {
		if i == 1 { // the post-mortem: another clock
			continue
		}
		tr := class.Traces(seed, 1)[1]
		s := add("broken_total", "", fmt.Sprint(i), false)
		for _, x := range tr.Raw {
			s.samples = append(s.samples, prompb.Sample{Timestamp: x.T, Value: x.V})
		}
	}
	for i, tr := range accuracy.GunicornPool(seed, 1) {
		column := func(name, le string, value func(accuracy.Frame) float64) {
			s := add("broken_seconds"+name, le, fmt.Sprint(i), true)
			for _, f := range tr.Raw {
				s.samples = append(s.samples, prompb.Sample{Timestamp: f.T, Value: value(f)})
			}
			last := s.samples[len(s.samples)-1]
			for k := range int64(2) {
				s.samples = append(s.samples, prompb.Sample{Timestamp: last.Timestamp + 15_000*(k+1), Value: last.Value})
			}
		}
		for k, le := range tr.Bounds {
			column("_bucket", fmt.Sprint(le), func(f accuracy.Frame) float64 { return f.B[k] })
		}
		column("_count", "", func(f accuracy.Frame) float64 { return f.B[len(f.B)-1] })
		column("_sum", "", func(f accuracy.Frame) float64 { return f.Sum })
	}
	return all
}

// lane is one connection: its series, and how far each has been sent.
type lane struct {
	series []*cutSeries
	scrape int // the next one
	sent   [][]byte
}

const cutScrapes = 243 // an hour's, and the two quiet ones

// request is the lane's next n scrapes, each sample an element of its own, as Prometheus sends them.
func (l *lane) request(n int) []byte {
	req := &prompb.WriteRequest{}
	for range n {
		const start = 1_700_000_000_000
		from := int64(start + 15_000*l.scrape)
		for _, s := range l.series {
			if some := s.between(from, from+15_000); len(some) > 0 {
				req.Timeseries = append(req.Timeseries, prompb.TimeSeries{Labels: s.labels, Samples: some})
			}
		}
		l.scrape++
	}
	msg, _ := req.Marshal()
	return snappy.Encode(nil, msg)
}

func (s *cutSeries) between(from, to int64) (some []prompb.Sample) {
	for _, x := range s.samples {
		if x.Timestamp >= from && x.Timestamp < to {
			some = append(some, x)
		}
	}
	return some
}

// cutting says how the samples are cut and in which order they come.
type cutting struct {
	lanes   int
	most    int  // scrapes in one request
	ahead   int  // scrapes that a lane may be ahead of the slowest
	retries bool // requests come again, some of them after later ones
	restart bool // the relay is stopped and started in between
}

// play sends the series through a relay and gives what arrived, by the series' key.
func (c cutting) play(t *testing.T, seed uint64, series []cutSeries) map[string][]point {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 41))
	up, dir := newRecorder(t), t.TempDir()
	up.byLabels = true
	run := start(t, dir, up.URL, "")
	lanes := make([]lane, c.lanes)
	for i := range series {
		l := &lanes[i%c.lanes]
		l.series = append(l.series, &series[i])
	}
	post := func(body []byte) {
		if status, text := run.post("", body); status != http.StatusNoContent {
			t.Fatalf("answered %d: %s", status, text)
		}
	}
	for sent := 0; ; sent++ {
		slowest := cutScrapes
		for i := range lanes {
			slowest = min(slowest, lanes[i].scrape)
		}
		if slowest >= cutScrapes {
			break
		}
		l := &lanes[r.IntN(c.lanes)]
		if l.scrape > slowest+c.ahead {
			continue // the others come first
		}
		n := min(1+r.IntN(c.most), cutScrapes-l.scrape)
		l.sent = append(l.sent, l.request(n))
		post(l.sent[len(l.sent)-1])
		if c.retries && r.IntN(4) == 0 {
			post(l.sent[len(l.sent)-1])
		}
		if c.retries && r.IntN(8) == 0 {
			post(l.sent[max(0, len(l.sent)-1-r.IntN(3))])
		}
		if c.restart && sent%150 == 149 {
			run.stop()
			run = start(t, dir, up.URL, "")
		}
	}
	run.delivered()
	got := map[string][]point{}
	up.mu.Lock()
	defer up.mu.Unlock()
	for key, ps := range up.series {
		got[key] = distinct(t, ps) // and what came twice went out with the same bits
	}
	return got
}

// Rule: any cutting into batches and any interleaving of connections that keeps
// each series' own order, with the parts of a histogram in the order of their scrapes,
// retries that overlap, and restarts in between give the same: a counter the
// same bits, a histogram the same totals, and the same values but where a part
// had gone out before another gave a fault away. That is put right with its next
// sample. (docs/accuracy.md has what parts cost that come several scrapes apart.)
func TestAnyCuttingGivesTheSame(t *testing.T) {
	seed := rand.Uint64N(1 << 32)
	t.Logf("seed %d", seed)
	series := brokenSeries(seed)
	want := cutting{lanes: 1, most: 1}.play(t, seed, series)
	for name, c := range map[string]cutting{
		"larger batches":                      {lanes: 1, most: 9},
		"retries":                             {lanes: 1, most: 5, retries: true},
		"four connections":                    {lanes: 4, most: 1},
		"four connections, retries, restarts": {lanes: 4, most: 1, retries: true, restart: true},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.play(t, seed+1, series)
			for i := range series {
				compareCut(t, &series[i], got[series[i].key()], want[series[i].key()])
			}
		})
	}
}

// Rule (DESIGN.md part 3, RELIABILITY.md 6): however far apart the parts of a
// histogram come, all copies of one sample are the same bits, every sample arrives, and
// none is less than the one before. play sees to the first, and looks a few requests back.
func TestWhatComesAgainIsTheSameHoweverFarApartPartsCome(t *testing.T) {
	seed := rand.Uint64N(1 << 32)
	t.Logf("seed %d", seed)
	series := brokenSeries(seed)
	for _, ahead := range []int{1, 8, 20} {
		t.Run(fmt.Sprintf("%d scrapes", ahead), func(t *testing.T) {
			got := cutting{lanes: 4, most: min(8, ahead), ahead: ahead, retries: true, restart: true}.play(t, seed+2, series)
			for i := range series {
				s := &series[i]
				ps := got[s.key()]
				if len(ps) != len(s.samples) {
					t.Errorf("%v: %d samples arrived, want %d", s.labels, len(ps), len(s.samples))
				}
				for k := 1; k < len(ps); k++ {
					if a, b := math.Float64frombits(ps[k-1].bits), math.Float64frombits(ps[k].bits); ps[k].t <= ps[k-1].t || b < a {
						t.Errorf("%v: %v at %d after %v at %d", s.labels, b, ps[k].t, a, ps[k-1].t)
					}
				}
			}
		})
	}
}

func compareCut(t *testing.T, s *cutSeries, got, want []point) {
	t.Helper()
	if len(got) != len(want) || len(got) != len(s.samples) {
		t.Errorf("%v: %d samples arrived, want %d of %d", s.labels, len(got), len(want), len(s.samples))
		return
	}
	other := 0
	for i := range want {
		a, b := math.Float64frombits(got[i].bits), math.Float64frombits(want[i].bits)
		if got[i].t != want[i].t {
			t.Errorf("%v: sample %d is of %d, want %d", s.labels, i, got[i].t, want[i].t)
			return
		}
		same := got[i].bits == want[i].bits || s.part && math.Abs(a-b) <= 1e-9*math.Abs(b)
		if same {
			continue
		}
		other++
		if !s.part || i == len(want)-1 {
			t.Errorf("%v: sample %d is %v, want %v", s.labels, i, a, b)
			return
		}
	}
	if other > 0 {
		t.Logf("%v: %d of %d samples otherwise", s.labels, other, len(want))
	}
}
