package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/prompb"
	"go.uber.org/goleak"

	"pawl/pkg/config"
	"pawl/pkg/sequence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// point is one sample, its value as bits.
type point struct {
	t    int64
	bits uint64
}

// recorder is an upstream that remembers everything in the order of arrival.
type recorder struct {
	*httptest.Server
	mu      sync.Mutex
	series  map[string][]point // by "tenant name"
	batches int
	answer  func() int // status; nil: 204

	byLabels bool // series by all their labels
}

func newRecorder(t *testing.T) *recorder {
	r := &recorder{series: map[string][]point{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.answer != nil {
			if status := r.answer(); status/100 != 2 {
				w.WriteHeader(status)
				return
			}
		}
		r.batches++
		msg, err := snappy.Decode(nil, body)
		var wr prompb.WriteRequest
		if err == nil {
			err = wr.Unmarshal(msg)
		}
		if err != nil {
			t.Errorf("the upstream cannot read a batch: %v", err)
		}
		for _, ts := range wr.Timeseries {
			name := req.Header.Get("X-Scope-OrgID") + " " + ts.Labels[0].Value
			if len(ts.Labels) > 1 && ts.Labels[1].Name == "le" {
				name += " " + ts.Labels[1].Value
			}
			if r.byLabels {
				name = fmt.Sprint(ts.Labels)
			}
			for _, h := range ts.Histograms { // by its count
				r.series[name] = append(r.series[name], point{h.Timestamp, math.Float64bits(float64(h.GetCountInt()) + h.GetCountFloat())})
			}
			for _, s := range ts.Samples {
				r.series[name] = append(r.series[name], point{s.Timestamp, math.Float64bits(s.Value)})
			}
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(r.Close)
	return r
}

// newDiscard is an upstream that only reads.
func newDiscard(t testing.TB) *httptest.Server {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(up.Close)
	return up
}

func (r *recorder) set(answer func() int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *recorder) of(name string) []point {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]point(nil), r.series[name]...)
}

// distinct is what arrived, without repetitions, which must be identical.
func distinct(t *testing.T, ps []point) []point {
	t.Helper()
	seen := map[int64]uint64{}
	var out []point
	for _, p := range ps {
		if bits, again := seen[p.t]; again {
			if bits != p.bits {
				t.Errorf("at %d arrived %v and then %v", p.t, math.Float64frombits(bits), math.Float64frombits(p.bits))
			}
			continue
		}
		seen[p.t] = p.bits
		out = append(out, p)
	}
	return out
}

func values(ps []point) (vs []float64) {
	for _, p := range ps {
		vs = append(vs, math.Float64frombits(p.bits))
	}
	return vs
}

// running is a relay at work.
type running struct {
	*Relay
	t     testing.TB
	write *httptest.Server
	admin *httptest.Server
	stop  func()
}

func start(t testing.TB, dir, upstream, extra string) *running {
	t.Helper()
	return startWith(t, dir, upstream, extra, func(*Options) {})
}

func startWith(t testing.TB, dir, upstream, extra string, change func(*Options)) *running {
	t.Helper()
	cfg, err := config.Parse([]byte(fmt.Sprintf("remote_write:\n- url: %s\n  queue_config: {min_backoff: 1ms, max_backoff: 10ms, max_shards: 8}\nstorage: {ballast_bytes: 0MB, min_free_bytes: 1MB, max_used_percent: 100}\n%s", upstream, extra)), "test.yml")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Config: cfg, StoragePath: dir, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Version: "test"}
	change(&o)
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- r.Run(ctx) }()
	run := &running{Relay: r, t: t, write: httptest.NewServer(r.WriteHandler()), admin: httptest.NewServer(r.AdminHandler())}
	var once sync.Once
	run.stop = func() {
		once.Do(func() {
			run.write.Close()
			run.admin.Close()
			cancel()
			if err := <-over; err != nil {
				t.Errorf("the relay stopped with: %v", err)
			}
		})
	}
	t.Cleanup(run.stop)
	run.eventually("ready", func() bool { return r.pressure() == nil })
	return run
}

func (r *running) eventually(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("not %s within 20 s", what)
		}
	}
}

func (r *running) delivered() {
	r.t.Helper()
	r.eventually("delivered", func() bool { return r.mark.Low()+1 == r.disk.journal.End() })
}

// push sends samples of one series, 15 s apart from t0 on, one request each.
func (r *running) push(tenant, name string, t0 int64, vs ...float64) {
	r.t.Helper()
	for i, v := range vs {
		if status, text := r.post(tenant, request(name, t0+int64(i)*15_000, v)); status != http.StatusNoContent {
			r.t.Fatalf("push of %s answered %d: %s", name, status, text)
		}
	}
}

func request(name string, t int64, v float64) []byte {
	req := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
		Labels:  []prompb.Label{{Name: "__name__", Value: name}, {Name: "job", Value: "test"}},
		Samples: []prompb.Sample{{Timestamp: t, Value: v}},
	}}}
	msg, _ := req.Marshal()
	return snappy.Encode(nil, msg)
}

func (r *running) post(tenant string, body []byte) (int, string) {
	req, _ := http.NewRequest(http.MethodPost, r.write.URL+"/api/v1/write", bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("X-Scope-OrgID", tenant)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

// ask gets data of the admin API.
func (r *running) ask(method, path string, into any) {
	r.t.Helper()
	req, _ := http.NewRequest(method, r.admin.URL+path, nil)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var envelope struct {
		Status, Error string
		Data          json.RawMessage
	}
	text, _ := io.ReadAll(resp.Body)
	if err := json.Unmarshal(text, &envelope); err != nil || envelope.Status != "success" {
		r.t.Fatalf("%s %s: %s", method, path, text)
	}
	if err := json.Unmarshal(envelope.Data, into); err != nil {
		r.t.Fatalf("%s: %v in %s", path, err, text)
	}
}

func equal(t *testing.T, what string, got []point, want ...float64) {
	t.Helper()
	if fmt.Sprint(values(got)) != fmt.Sprint(want) {
		t.Errorf("%s: the upstream has %v, want %v", what, values(got), want)
	}
}

// panicked is a counter that loses an increment after a gap (STORIES.md).
var panicked = []float64{72929, 72929, 72930, 72930, 72932, 72932, 72933, 72932, 72932, 72933}
var mended = []float64{72929, 72929, 72930, 72930, 72932, 72932, 72933, 72933, 72933, 72934}

const t0 = int64(1_790_000_000_000)

// Rule: a lost increment is no reset, upstream; gauges pass bit for bit; each
// tenant's series are its own; and the log says why.
func TestALostIncrementIsCorrectedUpstream(t *testing.T) {
	up := newRecorder(t)
	r := start(t, t.TempDir(), up.URL, "")
	for i, v := range panicked {
		at := t0 + int64(i)*30_000
		if i >= 7 {
			at += 150_000
		}
		r.push("a", "requests_total", at, v)
		r.push("b", "requests_total", at, 5) // another tenant's
		r.push("a", "pg_stat_activity_count", at, v)
	}
	r.delivered()
	equal(t, "the counter", up.of("a requests_total"), mended...)
	equal(t, "the other tenant's", up.of("b requests_total"), 5, 5, 5, 5, 5, 5, 5, 5, 5, 5)
	equal(t, "the gauge", up.of("a pg_stat_activity_count"), panicked...)

	var log struct {
		Items []struct {
			Labels        map[string]string
			Tenant, Kind  string
			FalseIncrease float64
			Evidence      []struct{ Text string }
		}
	}
	r.ask("GET", "/api/v1/corrections?match[]=requests_total", &log)
	if len(log.Items) == 0 || log.Items[0].Tenant != "a" || len(log.Items[0].Evidence) == 0 {
		t.Fatalf("the log holds %+v", log.Items)
	}
	falsely := 0.0
	for _, c := range log.Items {
		falsely += c.FalseIncrease
	}
	if falsely < 72931 || falsely > 72933 {
		t.Errorf("the log says that PromQL showed %v too much, want about 72932", falsely)
	}
	var series struct {
		Items []struct {
			Tenant, Type           string
			LastRaw, LastCorrected float64
			Offset                 float64
			Corrections            map[string]int
		}
	}
	r.ask("GET", "/api/v1/series?match[]=requests_total&tenant=a", &series)
	if s := series.Items; len(s) != 1 || s[0].Type != "counter" || s[0].LastRaw != 72933 || s[0].LastCorrected != 72934 || s[0].Offset != 1 || len(s[0].Corrections) == 0 {
		t.Errorf("the series: %+v", series.Items)
	}
}

// Rule: a stop and a start lose neither queue nor corrections: state comes
// from the checkpoint, and nothing is delivered a second time after a clean stop.
func TestStateSurvivesARestart(t *testing.T) {
	up, dir := newRecorder(t), t.TempDir()
	r := start(t, dir, up.URL, "")
	r.push("", "requests_total", t0, 100, 110, 90, 100)
	r.delivered()
	r.stop()
	if _, err := os.Stat(filepath.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	r = start(t, dir, up.URL, "")
	r.push("", "requests_total", t0+60_000, 105, 107)
	r.delivered()
	equal(t, "the counter", up.of(" requests_total"), 100, 110, 110, 120, 125, 127)
}

// Rule (same journal, same bits): whatever moment the storage is copied at, a
// relay that starts from the copy delivers the same values, and with the
// original all of them.
func TestAnyCopyOfTheStorageReplaysToTheSameBits(t *testing.T) {
	up, dir := newRecorder(t), t.TempDir()
	r := start(t, dir, up.URL, "")
	vs := []float64{100, 110, 90, 100, 80, 90, 70, 80, 95, 3, 9, 15, 12, 22, 30, 31}
	var copies []string
	for i, v := range vs {
		r.push("", "requests_total", t0+int64(i)*15_000, v)
		if i%4 == 1 {
			c := t.TempDir()
			copyTree(t, dir, c)
			copies = append(copies, c)
		}
		if i == 6 { // a checkpoint in between
			r.sequence.Drain(t.Context())
		}
	}
	r.delivered()
	want := up.of(" requests_total")
	if len(want) != len(vs) {
		t.Fatalf("%d samples arrived, want %d", len(want), len(vs))
	}
	for i, c := range copies {
		again := newRecorder(t)
		rr := start(t, c, again.URL, "")
		for j := i*4 + 2; j < len(vs); j++ {
			rr.push("", "requests_total", t0+int64(j)*15_000, vs[j])
		}
		rr.delivered()
		rr.stop()
		got := again.of(" requests_total")
		if len(got) == 0 || fmt.Sprint(distinct(t, append(append([]point(nil), want...), got...))) != fmt.Sprint(want) {
			t.Errorf("copy %d delivers %v, the original %v", i, values(got), values(want))
		}
	}
}

// undelivered lets a storage forget what the upstream has: all of it is sent again. The note is written in time, or not.
func undelivered(t *testing.T, dir string) {
	if err := os.RemoveAll(filepath.Join(dir, "journal", "delivered")); err != nil {
		t.Fatal(err)
	}
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// Rule: while the upstream is away batches wait in the journal; when it is
// back all arrive, in order.
func TestBatchesWaitForTheUpstream(t *testing.T) {
	up := newRecorder(t)
	up.set(func() int { return http.StatusServiceUnavailable })
	r := start(t, t.TempDir(), up.URL, "")
	var want []float64
	for i := range 300 {
		r.push("", "requests_total", t0+int64(i)*15_000, float64(i))
		want = append(want, float64(i))
	}
	var st struct {
		Backlog  struct{ Samples int64 }
		Upstream struct {
			Healthy   bool
			LastError string
		}
	}
	r.ask("GET", "/api/v1/status", &st)
	if st.Backlog.Samples != 300 || st.Upstream.Healthy || !strings.Contains(st.Upstream.LastError, "503") {
		t.Errorf("status while it is away: %+v", st)
	}
	up.set(nil)
	r.delivered()
	equal(t, "the counter", up.of(" requests_total"), want...)
}

// Rule: forgetting goes through the journal: the next sample is a first one,
// and starts from 0 because the series had an offset, in a replay too.
func TestForgetStartsASeriesAnew(t *testing.T) {
	up, dir := newRecorder(t), t.TempDir()
	r := start(t, dir, up.URL, "")
	r.push("", "requests_total", t0, 100, 110, 90, 100)
	var out struct{ Forgotten int }
	r.ask("POST", "/api/v1/series/forget?match[]=requests_total", &out)
	r.push("", "requests_total", t0+60_000, 7)
	r.delivered()
	equal(t, "the counter", up.of(" requests_total"), 100, 110, 110, 120, 0)
	c := t.TempDir()
	copyTree(t, dir, c)
	r.stop()
	undelivered(t, c)
	again := newRecorder(t)
	rr := start(t, c, again.URL, "")
	rr.delivered()
	equal(t, "replayed", distinct(t, again.of(" requests_total")), 100, 110, 110, 120, 0)
}

// Rule: a reload that leaves something as it was until the next start says what.
func TestAReloadSaysWhatTakesARestart(t *testing.T) {
	var log lockedBuffer
	up := newRecorder(t)
	r := startWith(t, t.TempDir(), up.URL, "", func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	reload := func(change func(*config.Config)) {
		t.Helper()
		c := *r.current()
		rw := *c.RemoteWrite[0]
		c.RemoteWrite = append(c.RemoteWrite[:0:0], &rw)
		change(&c)
		if err := r.ApplyConfig(&c); err != nil {
			t.Fatal(err)
		}
	}
	reload(func(*config.Config) {})
	if said := log.String(); strings.Contains(said, "next start only") {
		t.Errorf("nothing changed, and it says %s", said)
	}
	before := r.current().String()
	reload(func(c *config.Config) { c.RemoteWrite[0].QueueConfig.MaxShards++ })
	reload(func(c *config.Config) { c.Journal.MaxBytes *= 2 })
	if now := r.current().String(); now != before {
		t.Errorf("shown as in force:\n%s\nin force:\n%s", now, before)
	}
	for _, what := range []string{"queue_config.max_shards changes", "journal settings change"} {
		if n := strings.Count(log.String(), what); n != 1 {
			t.Errorf("said %d times: %s", n, what)
		}
	}
}

// lockedBuffer is a log's output that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Rule: rules decide from the moment they are in force, and a replay finds
// them at the same place.
func TestRulesTakeEffectWhereTheyStand(t *testing.T) {
	up, dir := newRecorder(t), t.TempDir()
	r := start(t, dir, up.URL, "")
	r.push("", "queue_total", t0, 10, 8)
	cfg, err := config.Parse([]byte("remote_write:\n- url: "+up.URL+"\ncorrect:\n  rules:\n  - match: queue_total\n    type: gauge\n"), "test.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.ApplyConfig(cfg); err != nil {
		t.Fatal(err)
	}
	r.push("", "queue_total", t0+30_000, 8, 6)
	r.delivered()
	want := values(up.of(" queue_total"))
	if fmt.Sprint(want[1:]) != "[10 8 6]" && fmt.Sprint(want[1:]) != "[18 8 6]" {
		t.Errorf("upstream has %v: as a counter it may not fall, as a gauge it must", want)
	}
	c := t.TempDir()
	copyTree(t, dir, c)
	undelivered(t, c)
	again := newRecorder(t)
	rr := start(t, c, again.URL, "") // with a configuration that has no rules
	rr.delivered()
	equal(t, "replayed", distinct(t, again.of(" queue_total")), want...)
}

// Rule: what was refused for good is listed, and the queue moves on.
func TestRefusedBatchesAreListed(t *testing.T) {
	up := newRecorder(t)
	n := 0
	up.set(func() int { n++; return map[bool]int{true: 400, false: 204}[n == 2] })
	r := start(t, t.TempDir(), up.URL, "")
	r.push("team", "requests_total", t0, 1, 2, 3)
	r.delivered()
	equal(t, "the counter", up.of("team requests_total"), 1, 3)
	var list struct {
		Items []struct {
			Tenant          string
			Status, Samples int
		}
	}
	r.ask("GET", "/api/v1/rejected", &list)
	if len(list.Items) != 1 || list.Items[0].Status != 400 || list.Items[0].Tenant != "team" || list.Items[0].Samples != 1 {
		t.Errorf("listed: %+v", list.Items)
	}
}

// Rule: a request is answered 503 while the relay stops, never 4xx, and readiness says why.
func TestStoppingAnswers503(t *testing.T) {
	up := newRecorder(t)
	r := start(t, t.TempDir(), up.URL, "")
	r.Quiesce()
	if status, _ := r.post("", request("requests_total", t0, 1)); status != http.StatusServiceUnavailable {
		t.Errorf("answered %d, want 503", status)
	}
	for name, url := range map[string]string{"write": r.write.URL, "admin": r.admin.URL} {
		resp, err := http.Get(url + "/-/ready")
		if err != nil {
			t.Fatal(err)
		}
		why, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(why), sequence.ErrStopping.Error()) {
			t.Errorf("%s listener: %s, %q does not say why", name, resp.Status, why)
		}
	}
}

// Rule: mode observe decides and records, and forwards what came, bit for bit.
func TestObserveForwardsWhatCame(t *testing.T) {
	up := newRecorder(t)
	r := start(t, t.TempDir(), up.URL, "correct: {mode: observe, join_wait: 50ms}")
	for i, v := range panicked {
		r.push("", "requests_total", t0+int64(i)*30_000, v)
	}
	fs := recycled()
	for k, f := range fs {
		r.pushParts(t0+int64(k)*15_000, k%2 == 0, f...)
	}
	r.delivered()
	equal(t, "the counter", up.of(" requests_total"), panicked...)
	var sent []float64
	for _, f := range fs {
		sent = append(sent, f[0].v)
	}
	equal(t, "the bucket", up.of(" latency_bucket 1000"), sent...)
	cfg, err := config.Parse([]byte("remote_write:\n- url: "+up.URL+"\n"), "test.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.ApplyConfig(cfg); err != nil {
		t.Fatal(err)
	}
	// From now on it is corrected, and follows on from the raw values.
	r.push("", "requests_total", t0+400_000, 72934, 72936, 72935, 72936)
	r.delivered()
	equal(t, "the counter, corrected", up.of(" requests_total")[len(panicked):], 72934, 72936, 72936, 72937)
	var log struct{ Items []struct{ Kind string } }
	r.ask("GET", "/api/v1/corrections?match[]={__name__=~\"requests_total|latency.*\"}", &log)
	if len(log.Items) < 2 {
		t.Errorf("the log holds %v, want what would have been corrected", log.Items)
	}
}
