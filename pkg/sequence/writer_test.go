package sequence

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"go.uber.org/goleak"

	"pawl/pkg/config"
	"pawl/pkg/forward"
	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openStore opens journal and state below dir.
func openStore(t testing.TB, dir string) (*store.Journal, *store.State) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	j, err := store.OpenJournal(dir+"/journal", store.JournalOptions{Sync: true, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.OpenState(dir+"/state", log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); j.Close() })
	return j, s
}

func options(j *store.Journal, s *store.State, mark *forward.Mark, out chan forward.Item) Options {
	return Options{
		Journal: j, State: s, Mark: mark, Out: out, Correct: config.Default().Correct, CheckpointEvery: time.Hour,
		TailBytes: 1 << 20, WindowBytes: 1 << 30, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	}
}

// newTestWriter is a writer that nobody runs: tests call it themselves.
func newTestWriter(t testing.TB) *writer {
	t.Helper()
	j, s := openStore(t, t.TempDir())
	w, err := newWriter(options(j, s, forward.NewMark(0), make(chan forward.Item, 1)), store.Checkpoint{}, newMetrics(prometheus.NewRegistry()))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// scrapes are n series, 40 % counters, 45 % parts of classic histograms, 15 %
// gauges, scraped at time k: a healthy world.
func scrapes(n int) func(k int) []byte {
	req := &prompb.WriteRequest{}
	for i := range n {
		var ls labels.Labels
		id := fmt.Sprintf("10.0.%d.%d:9100", i/250, i%250)
		switch c := i % 20; {
		case c < 8:
			ls = labels.FromStrings("__name__", fmt.Sprintf("http_requests_%d_total", c), "job", "node", "instance", id, "method", "GET", "code", "200", "cluster", "eu-west-1")
		case c < 17:
			ls = labels.FromStrings("__name__", "http_request_duration_seconds_bucket", "job", "node", "instance", id, "le", fmt.Sprint(c), "cluster", "eu-west-1")
		default:
			ls = labels.FromStrings("__name__", fmt.Sprintf("memory_%d_bytes", c), "job", "node", "instance", id, "cluster", "eu-west-1")
		}
		req.Timeseries = append(req.Timeseries, prompb.TimeSeries{Labels: prompb.FromLabels(ls, nil), Samples: make([]prompb.Sample, 1)})
	}
	return func(k int) []byte {
		for i := range req.Timeseries {
			req.Timeseries[i].Samples[0] = prompb.Sample{Timestamp: 1_790_000_000_000 + int64(k)*15_000, Value: float64(k*(1+i%7) + 1)}
		}
		msg, err := req.Marshal()
		if err != nil {
			panic(err)
		}
		return snappy.Encode(nil, msg)
	}
}

func decoded(t testing.TB, r *Request, seq uint64, body []byte) *Request {
	r.seq, r.Time, r.kind, r.Body = seq, 1_790_000_000_000+int64(seq), store.KindBatch1, body
	if err := r.Batch.Decode(rewrite.V1, "", body, trusted); err != nil {
		t.Fatal(err)
	}
	return r
}

// Rule: the path of a healthy sample allocates nothing.
func TestHealthySamplesApplyWithoutAllocation(t *testing.T) {
	w := newTestWriter(t)
	at := scrapes(500)
	r := &Request{}
	for k := range 3 {
		w.apply(decoded(t, r, uint64(k+1), at(k)))
	}
	w.clock += w.joinMS // the histograms are known
	w.overdue()
	const runs = 20
	var requests []*Request
	for k := range runs + 1 {
		requests = append(requests, decoded(t, &Request{}, uint64(k+4), at(k+3)))
	}
	i := 0
	if n := testing.AllocsPerRun(runs, func() { w.apply(requests[i]); i++ }); n != 0 {
		t.Errorf("%v allocations for a batch of 500 healthy samples", n)
	}
	for _, r := range requests {
		if r.Batch.Changed() {
			t.Fatal("a healthy batch was changed")
		}
	}
}

// Rule: a batch waits for the last one that it shares a series with.
func TestABatchWaitsForTheLastOneItSharesASeriesWith(t *testing.T) {
	w := newTestWriter(t)
	one := func(seq uint64, names ...string) uint64 {
		req := &prompb.WriteRequest{}
		for _, n := range names {
			req.Timeseries = append(req.Timeseries, prompb.TimeSeries{
				Labels: []prompb.Label{{Name: "__name__", Value: n}}, Samples: []prompb.Sample{{Timestamp: int64(seq), Value: 1}}})
		}
		msg, _ := req.Marshal()
		return w.apply(decoded(t, &Request{}, seq, snappy.Encode(nil, msg)))
	}
	for _, c := range []struct {
		seq   uint64
		names []string
		after uint64
	}{
		{1, []string{"a", "b"}, 0}, {2, []string{"c"}, 0}, {3, []string{"b", "c"}, 2},
		{4, []string{"a"}, 1}, {5, []string{"d", "d"}, 0}, {6, []string{"a", "d"}, 5},
	} {
		if got := one(c.seq, c.names...); got != c.after {
			t.Errorf("batch %d of %v waits for %d, want %d", c.seq, c.names, got, c.after)
		}
	}
}

// Rule: state saved at any moment and read back goes on as if nothing had happened.
func TestCheckpointsGiveBackWhatTheWriterKnew(t *testing.T) {
	vs := []float64{100, 110, 90, 100, 80, 90, 70, 80, 95, 3, 9, 15}
	feed := func(w *writer, from, to int) (out []float64) {
		for i := from; i < to; i++ {
			req := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{Labels: []prompb.Label{{Name: "__name__", Value: "x_total"}},
				Samples: []prompb.Sample{{Timestamp: int64(i+1) * 15_000, Value: vs[i]}}}}}
			msg, _ := req.Marshal()
			r := decoded(t, &Request{}, uint64(i+1), snappy.Encode(nil, msg))
			w.next = r.seq + 1
			w.apply(r)
			out = append(out, r.Batch.Samples[0].V)
		}
		return out
	}
	want := feed(newTestWriter(t), 0, len(vs))
	for cut := 1; cut < len(vs); cut++ {
		w := newTestWriter(t)
		got := feed(w, 0, cut)
		for i := range cut {
			w.mark.Done(uint64(i + 1))
		}
		// The journal must hold what the checkpoint is to be compared with.
		for range cut {
			if err := w.journal.Append([]store.Record{{Kind: store.KindTick}}); err != nil {
				t.Fatal(err)
			}
		}
		w.beginCheckpoint(context.Background())
		w.copySome(math.MaxInt)
		if err := <-w.checkpointed; err != nil {
			t.Fatal(err)
		}
		good, ok := w.state.Good()
		if !ok || good.Seq != uint64(cut) {
			t.Fatalf("good checkpoint %+v, want at %d", good, cut)
		}
		o := options(w.journal, w.state, forward.NewMark(good.Seq), make(chan forward.Item))
		again, err := newWriter(o, good, newMetrics(prometheus.NewRegistry()))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, feed(again, cut, len(vs))...)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("saved after %d samples: %v, want %v", cut, got, want)
		}
	}
}

// BenchmarkApply is the writer's share of a healthy sample.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{500, 100_000} {
		b.Run(fmt.Sprintf("series=%d", n), func(b *testing.B) {
			w := newTestWriter(b)
			at := scrapes(n)
			reqs := []*Request{decoded(b, &Request{}, 1, at(0)), decoded(b, &Request{}, 2, at(1))}
			w.apply(reqs[0])
			w.apply(reqs[1])
			seq := uint64(2)
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				// The same batch with a later time and a higher value: only what apply reads.
				r := reqs[seq%2]
				seq++
				r.seq = seq
				for i := range r.Batch.Samples {
					r.Batch.Samples[i].T += 30_000
					r.Batch.Samples[i].V += 10 // more than the two batches differ by
				}
				w.apply(r)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/sample")
		})
	}
}

// Rule: a part that comes back after correct.forget_after takes its histogram
// apart, also when the very request made that histogram suspicious: what it
// held of the request goes out.
func TestAPartThatWasAwayDissolvesAWaitingHistogram(t *testing.T) {
	w := newTestWriter(t)
	w.forgetMS = 60_000
	send := func(seq uint64, receivedMS int64, les ...string) *Request {
		req := &prompb.WriteRequest{}
		for i, le := range les {
			v := float64(100*(i+1)) + float64(seq)
			if seq == 9 && i == 0 {
				v = 1 // it falls: suspicious
			}
			req.Timeseries = append(req.Timeseries, prompb.TimeSeries{
				Labels:  []prompb.Label{{Name: "__name__", Value: "x_bucket"}, {Name: "le", Value: le}},
				Samples: []prompb.Sample{{Timestamp: int64(seq) * 15_000, Value: v}}})
		}
		msg, _ := req.Marshal()
		r := decoded(t, &Request{}, seq, snappy.Encode(nil, msg))
		r.Time = receivedMS
		w.next, w.clock = seq+1, receivedMS
		w.apply(r)
		return r
	}
	const t0 = 1_790_000_000_000
	send(1, t0, "1", "2", "+Inf")
	for seq := uint64(2); seq < 9; seq++ { // le=2 stays away
		send(seq, t0+int64(seq)*15_000, "1", "+Inf")
	}
	r := send(9, t0+9*15_000, "1", "2", "+Inf")
	batches, _ := w.takeLate(9)
	arrived := 0
	for _, b := range append(batches, &r.Batch) {
		_, kept, err := b.Encode(nil, rewrite.V1, nil)
		if err != nil {
			t.Fatal(err)
		}
		arrived += kept.Samples
	}
	for _, g := range w.groups.all {
		if g != nil && g.histogram.Waiting() {
			t.Log("the new histogram waits for parts of its own")
			arrived++
		}
	}
	if arrived < 3 {
		t.Errorf("%d of 3 samples go out or wait", arrived)
	}
}
