package forward

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/client_golang/prometheus"
	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// upstreamFake answers by script and remembers what it was sent.
type upstreamFake struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string // in the order in which they were answered with 2xx
	heads  []http.Header
	script func(n int, body string) (status int, header map[string]string, text string) // n counts requests from 0
	n      int
}

func newUpstream(t *testing.T, script func(n int, body string) (int, map[string]string, string)) *upstreamFake {
	u := &upstreamFake{script: script}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		u.mu.Lock()
		defer u.mu.Unlock()
		status, header, text := u.script(u.n, string(b))
		u.n++
		u.heads = append(u.heads, r.Header.Clone())
		if status/100 == 2 {
			u.bodies = append(u.bodies, string(b))
		}
		for k, v := range header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(u.Close)
	return u
}

func always(status int) func(int, string) (int, map[string]string, string) {
	return func(int, string) (int, map[string]string, string) { return status, nil, "" }
}

type rejects struct {
	mu  sync.Mutex
	got []store.Rejected
}

func (r *rejects) Add(b store.Rejected) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.Body = append([]byte(nil), b.Body...)
	r.got = append(r.got, b)
	return nil
}

func remoteWrite(t *testing.T, raw string, change func(*config.RemoteWriteConfig)) *config.RemoteWriteConfig {
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	rc := config.DefaultRemoteWriteConfig
	rc.URL = &commonconfig.URL{URL: u}
	rc.QueueConfig.MinBackoff = model.Duration(time.Millisecond)
	rc.QueueConfig.MaxBackoff = model.Duration(5 * time.Millisecond)
	if change != nil {
		change(&rc)
	}
	return &rc
}

func newForwarder(t *testing.T, rc *config.RemoteWriteConfig, mark *Mark, rej Rejecter) *Forwarder {
	f, err := New(Options{
		Upstream: rc, TenantHeader: "X-Scope-OrgID", UserAgent: "Pawl/test", Mark: mark, Rejected: rej,
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// batch is a request of one sample of the series named, at 1000·seq ms.
func batch(t *testing.T, name, tenant string, seq uint64) *rewrite.Batch {
	req := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
		Labels:  []prompb.Label{{Name: "__name__", Value: name}},
		Samples: []prompb.Sample{{Timestamp: int64(seq) * 1000, Value: float64(seq)}},
	}}}
	msg, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	b := &rewrite.Batch{}
	if err := b.Decode(rewrite.V1, tenant, snappy.Encode(nil, msg), rewrite.Limits{MaxDecodedBytes: 1 << 20, MaxLabels: 10, MaxLabelValueBytes: 100}); err != nil {
		t.Fatal(err)
	}
	return b
}

// series are those of a 1.0 request as it arrived.
func series(t *testing.T, body string) []prompb.TimeSeries {
	msg, err := snappy.Decode(nil, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	var req prompb.WriteRequest
	if err := req.Unmarshal(msg); err != nil {
		t.Fatal(err)
	}
	return req.Timeseries
}

func sampleOf(t *testing.T, body string) string {
	ts := series(t, body)[0]
	return fmt.Sprintf("%s@%d", ts.Labels[0].Value, ts.Samples[0].Timestamp/1000)
}

func runAll(t *testing.T, f *Forwarder, items []Item, workers int) error {
	in := make(chan Item, len(items))
	for _, it := range items {
		in <- it
	}
	close(in)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return f.Run(ctx, in, workers)
}

// Rule (DESIGN.md, "Order upstream"): a batch is sent only once every batch up
// to the last one that it shares a series with was acknowledged, on retry too.
func TestOrderHoldsPerSeriesThroughRetries(t *testing.T) {
	u := newUpstream(t, func(n int, _ string) (int, map[string]string, string) {
		if n%3 != 2 { // two of three attempts fail
			return http.StatusServiceUnavailable, nil, "later"
		}
		return http.StatusNoContent, nil, ""
	})
	mark := NewMark(0)
	f := newForwarder(t, remoteWrite(t, u.URL, nil), mark, &rejects{})
	var items []Item
	last := map[string]uint64{}
	for seq := uint64(1); seq <= 60; seq++ {
		name := fmt.Sprintf("s%d", seq%4)
		items = append(items, Item{Seq: seq, After: last[name], Batch: batch(t, name, "", seq)})
		last[name] = seq
	}
	if err := runAll(t, f, items, 8); err != nil {
		t.Fatal(err)
	}
	if mark.Low() != 60 {
		t.Fatalf("delivered up to %d, want 60", mark.Low())
	}
	newest := map[string]int{}
	for _, b := range u.bodies {
		name, at, _ := strings.Cut(sampleOf(t, b), "@")
		n, err := strconv.Atoi(at)
		if err != nil {
			t.Fatal(err)
		}
		if n <= newest[name] {
			t.Errorf("%s: %d arrived after %d", name, n, newest[name])
		}
		newest[name] = n
	}
	if len(u.bodies) != 60 {
		t.Errorf("%d batches arrived, want 60", len(u.bodies))
	}
}

// Rule: what each status code means for a batch.
func TestWhatAnAnswerMeans(t *testing.T) {
	for status, want := range map[int]verdict{
		200: taken, 202: taken, 204: taken,
		400: refused, 409: refused, 413: refused, 422: refused, 418: refused,
		401: held, 403: held, 404: held, 405: held, 407: held, 415: held, 301: held, 307: held,
		408: retry, 429: retry, 500: retry, 502: retry, 503: retry, 504: retry, 599: retry,
	} {
		u := newUpstream(t, always(status))
		c, err := newClient(remoteWrite(t, u.URL, nil), "", "Pawl/test")
		if err != nil {
			t.Fatal(err)
		}
		a := c.send(t.Context(), "", []byte("x"), rewrite.Counts{Samples: 1}, 0)
		if a.verdict != want || a.status != status {
			t.Errorf("%d means %v, want %v", status, a.verdict, want)
		}
		if (a.err == nil) != (want == taken) {
			t.Errorf("%d: error %v", status, a.err)
		}
	}
}

// Rule: no answer at all is retried, and its error shows no URL.
func TestNetworkErrorsAreRetriedAndHideTheURL(t *testing.T) {
	c, err := newClient(remoteWrite(t, "http://user:canary@127.0.0.1:1/push?key=canary", nil), "", "Pawl/test")
	if err != nil {
		t.Fatal(err)
	}
	a := c.send(t.Context(), "", nil, rewrite.Counts{Samples: 1}, 0)
	if a.verdict != retry || a.err == nil || strings.Contains(a.err.Error(), "canary") || strings.Contains(c.display, "canary") {
		t.Errorf("verdict %v, error %v, shown as %s", a.verdict, a.err, c.display)
	}
}

// Rule (remote write 2.0; Prometheus 2.x and Thanos answer 2xx to what they
// cannot read): 2xx without any Written header took nothing.
func TestTwoPointZeroNeedsWrittenHeaders(t *testing.T) {
	headers := map[string]string{}
	u := newUpstream(t, func(int, string) (int, map[string]string, string) { return 204, headers, "" })
	rc := remoteWrite(t, u.URL, func(rc *config.RemoteWriteConfig) { rc.ProtobufMessage = "io.prometheus.write.v2.Request" })
	c, err := newClient(rc, "", "Pawl/test")
	if err != nil {
		t.Fatal(err)
	}
	sent := rewrite.Counts{Samples: 3}
	if a := c.send(t.Context(), "", nil, sent, 0); a.verdict != held || !strings.Contains(a.err.Error(), "prometheus.WriteRequest") {
		t.Errorf("without headers: %v, %v", a.verdict, a.err)
	}
	headers["X-Prometheus-Remote-Write-Samples-Written"] = "3"
	if a := c.send(t.Context(), "", nil, sent, 0); a.verdict != taken || a.note != "" {
		t.Errorf("with all written: %v, note %q", a.verdict, a.note)
	}
	headers["X-Prometheus-Remote-Write-Samples-Written"] = "2"
	if a := c.send(t.Context(), "", nil, sent, 0); a.verdict != taken || a.note == "" {
		t.Errorf("with fewer written: %v, note %q", a.verdict, a.note)
	}
	if ct := u.heads[0].Get("Content-Type"); ct != "application/x-protobuf;proto=io.prometheus.write.v2.Request" {
		t.Errorf("Content-Type %q", ct)
	}
}

// Rule: a final refusal stands in the rejected store, with the upstream's
// answer and the very body, before the queue moves on.
func TestFinalRefusalIsKept(t *testing.T) {
	u := newUpstream(t, func(_ int, body string) (int, map[string]string, string) {
		if sampleOf(t, body) == "bad@2" {
			return 400, nil, "out of order sample"
		}
		return 204, nil, ""
	})
	mark, rej := NewMark(0), &rejects{}
	f := newForwarder(t, remoteWrite(t, u.URL, nil), mark, rej)
	bad := batch(t, "bad", "team-a", 2)
	body := string(bad.Compressed)
	done := 0
	items := []Item{{Seq: 1, Batch: batch(t, "ok", "", 1)}, {Seq: 2, Batch: bad, Done: func() { done++ }}, {Seq: 3, After: 2, Batch: batch(t, "bad", "team-a", 3)}}
	if err := runAll(t, f, items, 1); err != nil {
		t.Fatal(err)
	}
	if mark.Low() != 3 || len(u.bodies) != 2 || done != 1 {
		t.Errorf("settled up to %d, %d arrived, done %d times", mark.Low(), len(u.bodies), done)
	}
	if len(rej.got) != 1 {
		t.Fatalf("%d rejected batches are kept, want 1", len(rej.got))
	}
	r := rej.got[0]
	if r.Status != 400 || r.Answer != "out of order sample" || r.Tenant != "team-a" || r.Samples != 1 || r.Version != 1 || string(r.Body) != body {
		t.Errorf("kept %+v", r)
	}
}

// Rule: the tenant, Retry-Attempt, the configured headers and the specified
// ones are sent.
func TestHeaders(t *testing.T) {
	u := newUpstream(t, func(n int, _ string) (int, map[string]string, string) { return []int{503, 204}[n], nil, "" })
	rc := remoteWrite(t, u.URL, func(rc *config.RemoteWriteConfig) { rc.Headers = map[string]string{"X-Extra": "1"} })
	f := newForwarder(t, rc, NewMark(0), &rejects{})
	if err := runAll(t, f, []Item{{Seq: 1, Batch: batch(t, "a", "team-a", 1)}}, 1); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "1"} {
		h := u.heads[i]
		if h.Get("Retry-Attempt") != want {
			t.Errorf("attempt %d: Retry-Attempt %q, want %q", i, h.Get("Retry-Attempt"), want)
		}
		for k, v := range map[string]string{
			"X-Scope-OrgID": "team-a", "X-Extra": "1", "Content-Encoding": "snappy", "Content-Type": "application/x-protobuf",
			"X-Prometheus-Remote-Write-Version": "0.1.0", "User-Agent": "Pawl/test",
		} {
			if h.Get(k) != v {
				t.Errorf("%s is %q, want %q", k, h.Get(k), v)
			}
		}
	}
}

// Rule: a redirect is not followed; the batch waits for the configuration.
func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := newUpstream(t, always(204))
	u := newUpstream(t, func(int, string) (int, map[string]string, string) {
		return 307, map[string]string{"Location": elsewhere.URL}, ""
	})
	c, err := newClient(remoteWrite(t, u.URL, nil), "", "Pawl/test")
	if err != nil {
		t.Fatal(err)
	}
	if a := c.send(t.Context(), "", nil, rewrite.Counts{Samples: 1}, 0); a.verdict != held || elsewhere.n != 0 {
		t.Errorf("verdict %v, the other host saw %d requests", a.verdict, elsewhere.n)
	}
}

// Rule: another configuration takes over a batch that is being retried, with
// the message version that it asks for.
func TestReloadTakesOverWaitingBatches(t *testing.T) {
	down := newUpstream(t, always(503))
	up := newUpstream(t, func(int, string) (int, map[string]string, string) {
		return 204, map[string]string{"X-Prometheus-Remote-Write-Samples-Written": "1"}, ""
	})
	mark := NewMark(0)
	f := newForwarder(t, remoteWrite(t, down.URL, nil), mark, &rejects{})
	in := make(chan Item, 1)
	in <- Item{Seq: 1, Batch: batch(t, "a", "", 1)}
	close(in)
	over := make(chan error, 1)
	go func() { over <- f.Run(t.Context(), in, 1) }()
	for tries := 0; ; {
		down.mu.Lock()
		tries = down.n
		down.mu.Unlock()
		if tries > 2 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	rc := remoteWrite(t, up.URL, func(rc *config.RemoteWriteConfig) { rc.ProtobufMessage = "io.prometheus.write.v2.Request" })
	if err := f.Configure(rc, "", "Pawl/test"); err != nil {
		t.Fatal(err)
	}
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	if mark.Low() != 1 || len(up.bodies) != 1 {
		t.Fatalf("settled up to %d, %d arrived", mark.Low(), len(up.bodies))
	}
	msg, err := snappy.Decode(nil, []byte(up.bodies[0]))
	if err != nil {
		t.Fatal(err)
	}
	var req writev2.Request
	if err := req.Unmarshal(msg); err != nil || len(req.Timeseries) != 1 || req.Timeseries[0].Samples[0].Value != 1 {
		t.Errorf("arrived %v, %v", req, err)
	}
}

// many is a batch of n series s0, s1, ... with one sample each.
func many(t *testing.T, n int) *rewrite.Batch {
	req := &prompb.WriteRequest{}
	for i := range n {
		req.Timeseries = append(req.Timeseries, prompb.TimeSeries{
			Labels:  []prompb.Label{{Name: "__name__", Value: fmt.Sprintf("s%d", i)}},
			Samples: []prompb.Sample{{Timestamp: 1000, Value: float64(i)}},
		})
	}
	msg, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	b := &rewrite.Batch{}
	if err := b.Decode(rewrite.V1, "", snappy.Encode(nil, msg), rewrite.Limits{}); err != nil {
		t.Fatal(err)
	}
	return b
}

func namesIn(t *testing.T, body string) (names []string) {
	for _, ts := range series(t, body) {
		names = append(names, ts.Labels[0].Value)
	}
	return names
}

// Rule (RELIABILITY.md, the row of the poison series): of a batch that the
// upstream refuses because of some series, the rest arrives, and only the
// guilty ones are in the rejected store.
func TestOnlyTheGuiltySeriesIsRejected(t *testing.T) {
	poison := map[string]bool{"s137": true, "s138": true, "s1900": true}
	u := newUpstream(t, func(_ int, body string) (int, map[string]string, string) {
		for _, n := range namesIn(t, body) {
			if poison[n] {
				return 400, nil, "out of order sample for " + n
			}
		}
		return 204, nil, ""
	})
	mark, rej := NewMark(0), &rejects{}
	f := newForwarder(t, remoteWrite(t, u.URL, nil), mark, rej)
	if err := runAll(t, f, []Item{{Seq: 1, Batch: many(t, 2000)}, {Seq: 2, Batch: batch(t, "later", "", 2)}}, 1); err != nil {
		t.Fatal(err)
	}
	arrived := map[string]int{}
	for _, b := range u.bodies {
		for _, n := range namesIn(t, b) {
			arrived[n]++
		}
	}
	kept := map[string]bool{}
	for _, r := range rej.got {
		for _, n := range namesIn(t, string(r.Body)) {
			kept[n] = true
		}
	}
	if fmt.Sprint(kept) != fmt.Sprint(poison) || len(arrived) != 1998 || arrived["later"] != 1 || mark.Low() != 2 {
		t.Errorf("rejected %v, %d series arrived, settled to %d", kept, len(arrived), mark.Low())
	}
	for n, times := range arrived {
		if times != 1 {
			t.Errorf("%s arrived %d times", n, times)
		}
	}
	if u.n > maxHalves+2 {
		t.Errorf("%d requests for one refused batch", u.n)
	}
}

// Rule (RELIABILITY.md, D): a series that stands in a refused batch several times, as one whose samples were held does, still
// arrives in order.
func TestARefusedBatchKeepsTheOrderOfASeries(t *testing.T) {
	for poison := range 8 {
		req := &prompb.WriteRequest{}
		for k := range 8 {
			name := "held"
			if k == poison {
				name = "poison"
			}
			req.Timeseries = append(req.Timeseries, prompb.TimeSeries{
				Labels: []prompb.Label{{Name: "__name__", Value: name}}, Samples: []prompb.Sample{{Timestamp: int64(k+1) * 1000, Value: 1}},
			})
		}
		msg, err := req.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		b := &rewrite.Batch{}
		if err := b.Decode(rewrite.V1, "", snappy.Encode(nil, msg), rewrite.Limits{MaxDecodedBytes: 1 << 20, MaxLabels: 10, MaxLabelValueBytes: 100}); err != nil {
			t.Fatal(err)
		}
		var arrived []int64
		u := newUpstream(t, func(_ int, body string) (int, map[string]string, string) {
			all := series(t, body)
			for _, s := range all {
				if s.Labels[0].Value == "poison" {
					return 409, nil, "no"
				}
			}
			for _, s := range all {
				arrived = append(arrived, s.Samples[0].Timestamp)
			}
			return 204, nil, ""
		})
		f := newForwarder(t, remoteWrite(t, u.URL, nil), NewMark(0), &rejects{})
		if err := runAll(t, f, []Item{{Seq: 1, Batch: b}}, 1); err != nil {
			t.Fatal(err)
		}
		if len(arrived) != 7 || !slices.IsSorted(arrived) {
			t.Errorf("poison at %d s: samples arrived at %v", poison+1, arrived)
		}
	}
}

// Rule: an upstream that refuses everything is not asked without end, and
// nothing of the batch is lost.
func TestAnUpstreamThatRefusesEverythingIsNotAskedForEver(t *testing.T) {
	u := newUpstream(t, always(400))
	mark, rej := NewMark(0), &rejects{}
	f := newForwarder(t, remoteWrite(t, u.URL, nil), mark, rej)
	if err := runAll(t, f, []Item{{Seq: 1, Batch: many(t, 2000)}}, 1); err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, r := range rej.got {
		kept += len(namesIn(t, string(r.Body)))
		if int(r.Samples) != len(namesIn(t, string(r.Body))) {
			t.Errorf("told %d samples, kept %d", r.Samples, len(namesIn(t, string(r.Body))))
		}
	}
	if kept != 2000 || u.n > maxHalves+1 || mark.Low() != 1 {
		t.Errorf("kept %d series after %d requests, settled to %d", kept, u.n, mark.Low())
	}
}
