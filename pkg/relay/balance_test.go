package relay

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"

	"pawl/pkg/config"
)

// selective is an upstream that answers 429 to one tenant, or, for "*", 503 to all, until it is told otherwise.
func selective(t *testing.T, tenant string) (up *httptest.Server, refused *atomic.Value) {
	refused = &atomic.Value{}
	refused.Store(tenant)
	up = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		switch refused.Load() {
		case "*":
			w.WriteHeader(http.StatusServiceUnavailable)
		case req.Header.Get("X-Scope-OrgID"):
			w.WriteHeader(http.StatusTooManyRequests)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	t.Cleanup(up.Close)
	return up, refused
}

func (r *running) forwarded() float64 {
	return r.metric("pawl_forwarded_total", "outcome", "delivered", "type", "sample")
}

// accounted is rule F, with all that is known to be left out or put in:
// accepted + zeros = delivered + rejected + left out + pending.
func (r *running) accounted(accepted, pending float64) {
	r.t.Helper()
	rejected := r.metric("pawl_forwarded_total", "outcome", "rejected", "type", "sample")
	left := r.metric("pawl_duplicate_samples_total") + r.metric("pawl_ha_deduplicated_samples_total") + r.metric("pawl_forward_relabelled_away_samples_total")
	zeros := r.metric("pawl_reset_zeros_total")
	if p := r.metric("pawl_backlog_samples"); p != pending || accepted+zeros != r.forwarded()+rejected+left+p {
		r.t.Errorf("accepted %v + zeros %v, delivered %v + rejected %v + left out %v + pending %v (want %v)", accepted, zeros, r.forwarded(), rejected, left, p, pending)
	}
}

// repeat sends a request of two series: in one, another value at a time that it has one for already.
func (r *running) repeat(tenant, again, other string, t int64) {
	r.t.Helper()
	req := &prompb.WriteRequest{}
	for _, name := range []string{again, other} {
		req.Timeseries = append(req.Timeseries, prompb.TimeSeries{
			Labels:  []prompb.Label{{Name: "__name__", Value: name}, {Name: "job", Value: "test"}},
			Samples: []prompb.Sample{{Timestamp: t, Value: 77}},
		})
	}
	msg, _ := req.Marshal()
	if status, text := r.post(tenant, snappy.Encode(nil, msg)); status != http.StatusNoContent {
		r.t.Fatalf("push of %s and %s answered %d: %s", again, other, status, text)
	}
}

// Rule: a sample that is left out of a batch is pending until the batch is settled, and left out from then on; never both.
func TestWhatIsLeftOutIsPendingUntilItsBatchIsSettled(t *testing.T) {
	up, refused := selective(t, "*")
	dir := t.TempDir()
	r := start(t, dir, up.URL, "")
	r.push("team", "a_total", t0, 5)
	r.repeat("team", "a_total", "b_total", t0)
	r.eventually("applied", func() bool { return r.metric("pawl_applied_samples_total") == 3 })
	r.accounted(3, 3)
	r.stop()

	// A start finds the three pending again.
	r = start(t, dir, up.URL, "")
	r.push("team", "c_total", t0, 1)
	r.accounted(4, 4)
	refused.Store("")
	r.delivered()
	r.accounted(4, 0)
	if n := r.metric("pawl_duplicate_samples_total"); n != 1 {
		t.Errorf("%v left out, want 1", n)
	}
}

// Rule: while the batches of one tenant wait, those of the others that came later are delivered and not pending.
func TestWhatIsDeliveredBeforeAnEarlierBatchIsNotPending(t *testing.T) {
	up, refused := selective(t, "slow")
	r := start(t, t.TempDir(), up.URL, "")
	r.push("slow", "a_total", t0, 1, 2, 3)
	r.repeat("slow", "a_total", "b_total", t0+30_000)
	r.push("quick", "a_total", t0, 1, 2, 3, 4, 5)
	r.eventually("delivered", func() bool { return r.forwarded() == 5 })
	r.eventually("kept aside", func() bool { return r.metric("pawl_forward_parked_batches") == 4 })
	r.accounted(10, 5)
	refused.Store("")
	r.delivered()
	r.accounted(10, 0)
}

// Rule: what relabelling and the elected replica leave out, and what marks put in, is in the balance too.
func TestTheBalanceKnowsEveryReason(t *testing.T) {
	up, _ := selective(t, "")
	r := start(t, t.TempDir(), up.URL+`
  write_relabel_configs: [{source_labels: [__name__], regex: unwanted_.*, action: drop}]`, `
correct: {rules: [{match: '{__name__="a_total"}', resets: mark}]}
ha: {}
`)
	r.push("team", "unwanted_total", t0, 1, 2)
	r.push("team", "a_total", t0, 500, 600, 3, 4)
	for _, replica := range []string{"one", "two"} {
		body := replicaRequest(t0, 1, "c", replica)
		if status, text := r.post("team", body); status != http.StatusNoContent {
			t.Fatal(status, text)
		}
	}
	r.delivered()
	r.accounted(8, 0)
	for name, want := range map[string]float64{"pawl_forward_relabelled_away_samples_total": 2, "pawl_ha_deduplicated_samples_total": 1, "pawl_reset_zeros_total": 1} {
		if n := r.metric(name); n != want {
			t.Errorf("%s is %v, want %v", name, n, want)
		}
	}
}

// Rule: a sample that waits for the rest of its histogram is pending, though its request is settled, and still is after a
// restart. Once nothing is corrected any more, nothing waits: it goes out.
func TestWhatIsHeldIsPendingUntilItGoesOut(t *testing.T) {
	up, _ := selective(t, "nobody")
	dir := t.TempDir()
	const rules = "correct: {join_wait: 1m}\n"
	r := start(t, dir, up.URL, rules)
	frames := recycled()[:20]
	for k, f := range frames {
		r.pushParts(t0+int64(k)*15_000, false, f...)
	}
	r.delivered()
	all := float64(len(frames) * len(frames[0]))
	r.accounted(all, 0)
	r.pushParts(t0+int64(len(frames))*15_000, false, part{"_bucket", "1000", 240}) // fell; its siblings are to come
	r.delivered()
	r.accounted(all+1, 1)
	r.stop()

	r = start(t, dir, up.URL, rules)
	r.delivered()
	r.accounted(1, 1)
	c := *r.current()
	c.Correct.Mode = config.ModeObserve
	if err := r.ApplyConfig(&c); err != nil {
		t.Fatal(err)
	}
	r.eventually("let go", func() bool { return r.forwarded() == 1 })
	r.delivered()
	r.accounted(1, 0)
}
