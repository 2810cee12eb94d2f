package sequence

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"

	"pawl/pkg/forward"
	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

const haRules = "ha: {failover_timeout: 30s}\n"

// pairWorld sends requests to a writer and keeps what goes out.
type pairWorld struct {
	t   testing.TB
	w   *writer
	seq uint64
	v   rewrite.Version
	out map[string][]prompb.Sample             // by series
	hs  map[string][]*histogram.FloatHistogram // by series
}

func newPairWorld(t testing.TB, v rewrite.Version) *pairWorld {
	p := &pairWorld{t: t, w: newTestWriter(t), v: v, out: map[string][]prompb.Sample{}, hs: map[string][]*histogram.FloatHistogram{}}
	if err := p.w.adopt([]byte(haRules)); err != nil {
		t.Fatal(err)
	}
	return p
}

// send applies one request that came at a time (ms) and takes in what goes out.
func (p *pairWorld) send(receivedMS int64, series ...prompb.TimeSeries) {
	p.t.Helper()
	p.seq++
	v1, err := (&prompb.WriteRequest{Timeseries: series}).Marshal()
	if err != nil {
		p.t.Fatal(err)
	}
	r := &Request{seq: p.seq, Time: receivedMS, kind: store.KindBatch1, Body: snappy.Encode(nil, v1)}
	if err := r.Batch.Decode(rewrite.V1, "team", r.Body, trusted); err != nil {
		p.t.Fatal(err)
	}
	if p.v == rewrite.V2 {
		body, _, err := r.Batch.Encode(nil, rewrite.V2, nil)
		if err != nil {
			p.t.Fatal(err)
		}
		r.kind, r.Body = store.KindBatch2, slices.Clone(body)
		if err := r.Batch.Decode(rewrite.V2, "team", r.Body, trusted); err != nil {
			p.t.Fatal(err)
		}
	}
	p.w.next, p.w.clock, p.w.nth = p.seq+1, receivedMS, 0
	p.w.overdue()
	p.w.apply(r)
	late, _ := p.w.takeLate(p.seq)
	for _, b := range append(late, &r.Batch) {
		p.arrive(b)
	}
}

func (p *pairWorld) arrive(b *rewrite.Batch) {
	p.t.Helper()
	body, kept, err := b.Encode(nil, rewrite.V1, nil)
	if err != nil || kept == (rewrite.Counts{}) {
		if err != nil {
			p.t.Fatal(err)
		}
		return
	}
	msg, err := snappy.Decode(nil, body)
	if err != nil {
		p.t.Fatal(err)
	}
	var req prompb.WriteRequest
	if err := req.Unmarshal(msg); err != nil {
		p.t.Fatal(err)
	}
	var sb labels.ScratchBuilder
	for _, ts := range req.Timeseries {
		name := ts.ToLabels(&sb, nil).String()
		if len(ts.Samples) > 0 {
			p.out[name] = append(p.out[name], ts.Samples...)
		}
		for i := range ts.Histograms {
			p.hs[name] = append(p.hs[name], ts.Histograms[i].ToFloatHistogram())
		}
	}
}

func one(ms int64, v float64, ls ...string) prompb.TimeSeries {
	return prompb.TimeSeries{Labels: prompb.FromLabels(labels.FromStrings(ls...), nil), Samples: []prompb.Sample{{Timestamp: ms, Value: v}}}
}

func both(t *testing.T, test func(t *testing.T, v rewrite.Version)) {
	for _, v := range []rewrite.Version{rewrite.V1, rewrite.V2} {
		t.Run(fmt.Sprintf("version=%d", v), func(t *testing.T) { test(t, v) })
	}
}

const haT0 = int64(1_790_000_000_000)

// Mimir's convention: who comes first is elected; the other is not forwarded; after
// the timeout without anything of the elected one, the next request of the other elects that.
func TestOneReplicaOfAPairIsElected(t *testing.T) {
	both(t, func(t *testing.T, v rewrite.Version) {
		p := newPairWorld(t, v)
		from := func(after int64, replica string, value float64) {
			p.send(haT0+after, one(haT0+after, value, "__name__", "x_total", "cluster", "c", "__replica__", replica))
		}
		from(0, "a", 1)
		from(1000, "b", 100)
		from(15_000, "a", 2)
		from(44_999, "b", 200) // a was silent for 29,999 ms
		from(45_000, "b", 3)   // for 30 s
		from(46_000, "a", 300)
		from(76_000, "a", 4) // b for 31 s
		got := p.out[`{__name__="x_total", cluster="c"}`]
		want := []prompb.Sample{{Timestamp: haT0, Value: 1}, {Timestamp: haT0 + 15_000, Value: 2}, {Timestamp: haT0 + 45_000, Value: 3}, {Timestamp: haT0 + 76_000, Value: 4}}
		if fmt.Sprint(got) != fmt.Sprint(want) || len(p.out) != 1 {
			t.Errorf("went out %v\nwant %v", p.out, want)
		}
		if n := p.w.account.Deduplicated; n != 3 {
			t.Errorf("%v samples deduplicated, want 3", n)
		}
		if n := testutil.ToFloat64(p.w.metrics.electionChanges); n != 2 {
			t.Errorf("%v failovers, want 2", n)
		}
	})
}

// It is decided for every series by itself: a request may mix replicas, clusters, and series without the labels.
func TestARequestMayMixReplicasAndOthers(t *testing.T) {
	both(t, func(t *testing.T, v rewrite.Version) {
		p := newPairWorld(t, v)
		for k := range int64(3) {
			ms := haT0 + k*15_000
			at := func(v float64, ls ...string) prompb.TimeSeries { return one(ms, v, ls...) }
			x := float64(k)
			p.send(ms,
				at(x, "__name__", "plain_total", "job", "j"),
				at(10+x, "__name__", "x_total", "__replica__", "a", "cluster", "c"),
				at(90+x, "__name__", "x_total", "__replica__", "b", "cluster", "c"),
				at(20+x, "__name__", "x_total", "__replica__", "b", "cluster", "d"),
				at(30+x, "__name__", "half_total", "cluster", "c"),
				at(40+x, "__name__", "half_total", "__replica__", "b"),
				at(91+x, "__name__", "y_total", "__replica__", "b", "cluster", "c"),
				at(50+x, "__name__", "y_total", "__replica__", "a", "cluster", "c"))
		}
		want := map[string]float64{
			`{__name__="plain_total", job="j"}`: 0, `{__name__="x_total", cluster="c"}`: 10, `{__name__="x_total", cluster="d"}`: 20,
			`{__name__="half_total", cluster="c"}`: 30, `{__name__="half_total", __replica__="b"}`: 40, `{__name__="y_total", cluster="c"}`: 50,
		}
		for name, samples := range p.out {
			base, ok := want[keyed(t, name, want)]
			if !ok || len(samples) != 3 {
				t.Errorf("%s went out with %v", name, samples)
				continue
			}
			for k, s := range samples {
				if s.Value != base+float64(k) {
					t.Errorf("%s: %v, want %v", name, s.Value, base+float64(k))
				}
			}
		}
		if len(p.out) != len(want) {
			t.Errorf("%d series went out, want %d", len(p.out), len(want))
		}
		if n := p.w.account.Deduplicated; n != 6 {
			t.Errorf("%v samples deduplicated, want 6", n)
		}
	})
}

// keyed finds a series among the wanted ones whatever the order in which its labels are printed.
func keyed(t testing.TB, name string, want map[string]float64) string {
	t.Helper()
	if _, ok := want[name]; ok {
		return name
	}
	for w := range want {
		if len(w) == len(name) {
			a, b := []byte(w), []byte(name)
			slices.Sort(a)
			slices.Sort(b)
			if string(a) == string(b) {
				return w
			}
		}
	}
	return name
}

// Parts that were let go before a sibling made their histogram suspicious are taken back: those of the
// elected replica, though the other one's stand beside them, of the same timestamp.
func TestRecalledPartsAreTheElectedReplicas(t *testing.T) {
	both(t, func(t *testing.T, v rewrite.Version) {
		p := newPairWorld(t, v)
		send := func(k int64, low, inf float64) {
			var all []prompb.TimeSeries
			for _, x := range []struct {
				le string
				v  float64
			}{{"+Inf", inf}, {"1", low}} {
				for _, replica := range []string{"a", "b"} {
					all = append(all, one(haT0+k*15_000, x.v, "__name__", "h_bucket", "le", x.le, "cluster", "c", "__replica__", replica))
				}
			}
			p.send(haT0+k*15_000, all...)
		}
		for k := range int64(20) {
			send(k, 100+float64(k), 1000+10*float64(k))
		}
		send(20, 60, 1200) // le=1 lost 59, which +Inf, gone before it, hides: it is taken back and gets them, too
		p.send(haT0+400_000, one(haT0, 1, "__name__", "late"))
		for _, le := range []string{"1", "+Inf"} {
			got := p.out[`{__name__="h_bucket", cluster="c", le="`+le+`"}`]
			want := map[string]float64{"1": 119, "+Inf": 1259}[le]
			if len(got) != 21 || got[20].Value != want {
				t.Errorf("le=%s: %d samples went out, the last %v; want %v", le, len(got), got[len(got)-1].Value, want)
			}
		}
	})
}

// What a replica that was elected has not sent yet is of a time that the one before has told: it is left out.
func TestWhatThePreviousReplicaToldIsNotToldAgain(t *testing.T) {
	both(t, func(t *testing.T, v rewrite.Version) {
		p := newPairWorld(t, v)
		native := func(ms int64, k float64) prompb.TimeSeries {
			h := &histogram.FloatHistogram{Count: k, Sum: k, PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []float64{k}}
			return prompb.TimeSeries{Labels: prompb.FromLabels(labels.FromStrings("__name__", "n", "cluster", "c", "__replica__", "a"), nil),
				Histograms: []prompb.Histogram{prompb.FromFloatHistogram(ms, h)}}
		}
		send := func(received, ms int64, replica string, k float64) {
			n := native(ms, k)
			for i := range n.Labels {
				if n.Labels[i].Name == "__replica__" {
					n.Labels[i].Value = replica
				}
			}
			p.send(received,
				one(ms, k, "__name__", "x_total", "cluster", "c", "__replica__", replica),
				one(ms, k, "__name__", "h_bucket", "le", "1", "cluster", "c", "__replica__", replica),
				one(ms, 2*k, "__name__", "h_bucket", "le", "+Inf", "cluster", "c", "__replica__", replica),
				one(ms, 2*k, "__name__", "h_count", "cluster", "c", "__replica__", replica), n)
		}
		for k := range int64(20) {
			send(haT0+k*15_000, haT0+k*15_000, "a", 100+float64(k)*10)
		}
		end := haT0 + 19*15_000
		// b is behind: its samples of before come first, then one that is newer and has a little less, then it goes on.
		send(end+40_000, end-20_000, "b", 277)
		send(end+41_000, end-5_000, "b", 287)
		send(end+42_000, end+45_000, "b", 285) // after such a silence, of one sender it would be a loss
		send(end+43_000, end+60_000, "b", 296)
		for name, samples := range p.out {
			scale := 2.0
			if name == `{__name__="x_total", cluster="c"}` || name == `{__name__="h_bucket", cluster="c", le="1"}` {
				scale = 1
			}
			n := len(samples)
			want := []prompb.Sample{{Timestamp: end + 45_000, Value: scale * 290}, {Timestamp: end + 60_000, Value: scale * 296}}
			if n != 22 || fmt.Sprint(samples[n-2:]) != fmt.Sprint(want) {
				t.Errorf("%s ends with %d: %v", name, n, samples[n-3:])
			}
		}
		hs := p.hs[`{__name__="n", cluster="c"}`]
		if n := len(hs); n != 22 || hs[n-2].Count != 290 || hs[n-1].Count != 296 {
			t.Errorf("native: %v", hs)
		}
		if n := p.w.account.Deduplicated; n != 10 {
			t.Errorf("%v samples deduplicated, want 10", n)
		}
	})
}

// pairTarget is a scraped target: what it has counted after so many seconds.
type pairTarget struct {
	counts   []float64
	restarts []int // seconds
}

func newPairTarget(rng *rand.Rand, seconds int) pairTarget {
	var x pairTarget
	n := float64(rng.IntN(5000))
	for s := range seconds {
		if s > 300 && rng.IntN(900) == 0 {
			n, x.restarts = 0, append(x.restarts, s)
		}
		n += float64(rng.IntN(4))
		x.counts = append(x.counts, n)
	}
	return x
}

func (x pairTarget) scrape(s int, ms int64, replica string) []prompb.TimeSeries {
	v := x.counts[s]
	f := func(share, v float64) float64 { return float64(int(share * v)) }
	at := func(v float64, ls ...string) prompb.TimeSeries {
		return one(ms, v, append(ls, "cluster", "c", "__replica__", replica)...)
	}
	h := &histogram.FloatHistogram{Count: f(.5, v) + f(.3, v), Sum: v, PositiveSpans: []histogram.Span{{Length: 2}}, PositiveBuckets: []float64{f(.5, v), f(.3, v)}}
	return []prompb.TimeSeries{
		at(v, "__name__", "x_total"),
		at(f(.2, v), "__name__", "h_bucket", "le", "1"), at(f(.7, v), "__name__", "h_bucket", "le", "2"), at(v, "__name__", "h_bucket", "le", "+Inf"),
		at(v, "__name__", "h_count"), at(v/2, "__name__", "h_sum"),
		{Labels: prompb.FromLabels(labels.FromStrings("__name__", "n", "cluster", "c", "__replica__", replica), nil), Histograms: []prompb.Histogram{prompb.FromFloatHistogram(ms, h)}},
	}
}

// The totals are what one replica would have shown that had been there all
// along: no step down, no sample of a series twice, nothing of two replicas side by side, and the same whatever requests are cut into.
func TestAPairGivesTheTotalsOfOneReplica(t *testing.T) {
	for seed := range uint64(12) {
		v := rewrite.Version(1 + seed%2)
		rng := rand.New(rand.NewPCG(seed, 7))
		const seconds = 3000
		x := newPairTarget(rng, seconds)
		p := newPairWorld(t, v)
		down := [2][2]int{{700, 1300}, {1600, 2100}} // when each is away
		var seen []int
		for s := range seconds {
			for who, replica := range []string{"a", "b"} {
				if s >= down[who][0] && s < down[who][1] || (s+7*who)%15 != 0 {
					continue
				}
				ms := haT0 + int64(s)*1000
				for rest := x.scrape(s, ms, replica); len(rest) > 0; {
					n := 1 + rng.IntN(len(rest))
					p.send(ms+int64(rng.IntN(2)), rest[:n]...)
					rest = rest[n:]
				}
				if e := p.w.pairs.all["team\x00c"]; e.replica == replica && (len(seen) == 0 || seen[len(seen)-1] < s) {
					seen = append(seen, s)
				}
			}
		}
		p.send(haT0+seconds*1000+60_000, one(haT0, 1, "__name__", "late")) // what still waits goes out
		var truth float64
		last := x.counts[seen[0]]
		for _, s := range seen[1:] {
			if slices.ContainsFunc(x.restarts, func(at int) bool { return at > s-60 && at <= s && x.counts[s] < last }) {
				last = 0
			}
			truth += x.counts[s] - last
			last = x.counts[s]
		}
		for _, name := range []string{`{__name__="x_total", cluster="c"}`, `{__name__="h_bucket", cluster="c", le="+Inf"}`, `{__name__="h_count", cluster="c"}`} {
			got := p.out[name]
			if len(got) != len(seen) {
				t.Fatalf("seed %d: %d samples of %s went out, %d scrapes of the elected", seed, len(got), name, len(seen))
			}
			for i := 1; i < len(got); i++ {
				if got[i].Value < got[i-1].Value || got[i].Timestamp <= got[i-1].Timestamp {
					t.Errorf("seed %d: %s: %v after %v", seed, name, got[i], got[i-1])
				}
			}
			if inc := got[len(got)-1].Value - got[0].Value; inc != truth {
				t.Errorf("seed %d: %s grew by %v, in truth by %v", seed, name, inc, truth)
			}
		}
		if n := testutil.ToFloat64(p.w.metrics.electionChanges); n != 2 {
			t.Errorf("seed %d: %v failovers, want 2", seed, n)
		}
		if len(p.out) != 7 || len(p.hs) != 1 {
			t.Errorf("seed %d: %d and %d series went out", seed, len(p.out), len(p.hs))
		}
	}
}

// Elections, and whose samples came last, are part of the state: saved at any moment and read back, it elects and corrects the same.
func TestElectionsAreKeptInCheckpoints(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	x := newPairTarget(rng, 400)
	type request struct {
		ms     int64
		series []prompb.TimeSeries
	}
	var all []request
	for s := 0; s < 400; s += 5 {
		ms := haT0 + int64(s)*1000
		switch {
		case s < 100 && s%15 == 0:
			all = append(all, request{ms, x.scrape(s, ms, "a")})
		case s >= 60 && s%15 == 10: // b sends late, by another clock: its first newer sample is behind
			parts := x.scrape(s-60, ms-45_000, "b")
			all = append(all, request{ms, parts[:3]}, request{ms, parts[3:]}, request{ms + 1, parts}) // the last one is a retry
		}
	}
	run := func(cut int) string {
		p := newPairWorld(t, rewrite.V1)
		for i, r := range all {
			if i == cut {
				p.restart()
			}
			p.send(r.ms, r.series...)
		}
		p.send(haT0+500_000, one(haT0, 1, "__name__", "late"))
		return fmt.Sprint(p.out, p.hs)
	}
	want := run(-1)
	failover := slices.IndexFunc(all, func(r request) bool { return r.ms >= haT0+120_000 })
	for cut := failover - 3; cut < failover+8; cut++ {
		if got := run(cut); got != want {
			t.Fatalf("saved after %d requests:\n%s\nwant\n%s", cut, got, want)
		}
	}
}

// restart saves the state, and reads it back into another writer.
func (p *pairWorld) restart() {
	p.t.Helper()
	w := p.w
	w.rules = []byte(haRules)
	for i := range p.seq {
		w.mark.Done(i + 1)
		if err := w.journal.Append([]store.Record{{Kind: store.KindTick}}); err != nil {
			p.t.Fatal(err)
		}
	}
	w.beginCheckpoint(context.Background())
	w.copySome(1 << 30)
	if err := <-w.checkpointed; err != nil {
		p.t.Fatal(err)
	}
	good, _ := w.state.Good()
	if good.Seq != p.seq {
		p.t.Fatalf("good checkpoint at %d, want %d", good.Seq, p.seq)
	}
	var err error
	p.w, err = newWriter(options(w.journal, w.state, forward.NewMark(good.Seq), make(chan forward.Item)), good, newMetrics(prometheus.NewRegistry()))
	if err != nil {
		p.t.Fatal(err)
	}
}

// A request is read by the rules in force at its place in the journal, whatever
// was in force when it came in, or when it is read back.
func TestRequestsAreReadByTheRulesAtTheirPlace(t *testing.T) {
	for _, budget := range []int64{0, 1 << 20} { // read back from disk; from memory
		j, state := openStore(t, t.TempDir())
		out := make(chan forward.Item)
		o := options(j, state, forward.NewMark(0), out)
		o.TailBytes = budget
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- s.Run(ctx) }()
		commit := func(replica string) {
			msg, err := (&prompb.WriteRequest{Timeseries: []prompb.TimeSeries{one(haT0, 1, "__name__", "x_total", "cluster", "c", "__replica__", replica)}}).Marshal()
			if err != nil {
				t.Fatal(err)
			}
			r := Borrow(0)
			r.Time = time.Now().UnixMilli()
			r.Body = append(r.Body, snappy.Encode(nil, msg)...)
			if err := r.Batch.Decode(rewrite.V1, "", r.Body, trusted); err != nil {
				t.Fatal(err)
			}
			if err := s.Commit(r); err != nil {
				t.Fatal(err)
			}
		}
		adopt := func(rules string) {
			if err := s.control(store.KindRules, []byte(rules)); err != nil {
				t.Fatal(err)
			}
		}
		commit("a") // nobody takes it: everything below waits in the journal
		commit("b")
		adopt(haRules)
		commit("a")
		commit("b")
		adopt("ha: {replica_label: other}\n")
		commit("b")
		adopt("{}\n")
		commit("a")
		adopt("mode: observe\n" + haRules)
		commit("b")
		var got []string
		for len(got) < 7 {
			it := <-out
			if it.Batch == nil {
				continue
			}
			_, kept, err := it.Batch.Encode(nil, rewrite.V1, nil)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s %d", it.Batch.Label(0, "__replica__"), kept.Samples))
			it.Done()
			o.Mark.Done(it.Seq)
		}
		if want := []string{"a 1", "b 1", " 1", " 0", "b 1", "a 1", "b 1"}; !slices.Equal(got, want) {
			t.Errorf("budget %d: went out %q, want %q", budget, got, want)
		}
		stop()
		for range out {
		}
		if err := <-over; err != nil {
			t.Error(err)
		}
	}
}

// Rule: the path of a healthy sample allocates nothing, of a pair's neither.
func TestHealthySamplesOfAPairApplyWithoutAllocation(t *testing.T) {
	w := newTestWriter(t)
	if err := w.adopt([]byte("ha: {cluster_label: cluster, replica_label: code}\n")); err != nil {
		t.Fatal(err)
	}
	at := scrapes(500)
	r := &Request{}
	for k := range 3 {
		w.apply(decoded(t, r, uint64(k+1), at(k)))
	}
	w.clock += w.joinMS // the histograms are known
	w.overdue()
	var requests []*Request
	for k := range 21 {
		r := decoded(t, &Request{}, uint64(k+4), at(k+3))
		r.Batch.SeekReplicas(w.pairs.labels)
		if r.Batch.Members() == 0 {
			t.Fatal("no series of a pair")
		}
		requests = append(requests, r)
	}
	i := 0
	if n := testing.AllocsPerRun(20, func() { w.apply(requests[i]); i++ }); n != 0 {
		t.Errorf("%v allocations for a batch of 500 healthy samples", n)
	}
}
