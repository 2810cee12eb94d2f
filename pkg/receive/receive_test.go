package receive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"pawl/internal/proportion"
	"pawl/pkg/config"
	"pawl/pkg/rewrite"
	"pawl/pkg/sequence"
	"pawl/pkg/store"
)

// sink remembers what was committed.
type sink struct {
	mu     sync.Mutex
	err    error
	block  chan struct{}
	bodies []string
	tenant string
}

func (s *sink) Commit(r *sequence.Request) error {
	if s.block != nil {
		<-s.block
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.bodies = append(s.bodies, string(r.Body))
		s.tenant = r.Batch.Tenant
	}
	return s.err
}

func handler(s *sink, change func(*config.Receive)) *Handler {
	set := config.Default().Receive
	if change != nil {
		change(&set)
	}
	return New(Options{Sink: s, Pressure: func() error { return nil }, Known: func() int { return 0 }, Settings: set,
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
}

func bodyV1() []byte {
	req := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
		Labels:    []prompb.Label{{Name: "__name__", Value: "x_total"}},
		Samples:   []prompb.Sample{{Timestamp: 1, Value: 1}, {Timestamp: 2, Value: 2}},
		Exemplars: []prompb.Exemplar{{Labels: []prompb.Label{{Name: "trace_id", Value: "1"}}, Timestamp: 1, Value: 1}},
	}}}
	msg, _ := req.Marshal()
	return snappy.Encode(nil, msg)
}

func bodyV2() []byte {
	req := &writev2.Request{Symbols: []string{"", "__name__", "x_total"}, Timeseries: []writev2.TimeSeries{{
		LabelsRefs: []uint32{1, 2}, Samples: []writev2.Sample{{Timestamp: 1, Value: 1}},
	}}}
	msg, _ := req.Marshal()
	return snappy.Encode(nil, msg)
}

// Rule: the answer to every kind of request (DESIGN.md, "The write listener").
func TestAnswers(t *testing.T) {
	bomb := append([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, 0) // snappy length 4 GiB - 1
	for _, c := range []struct {
		name                string
		contentType, coding string
		body                []byte
		change              func(*config.Receive)
		sinkErr             error
		status              int
		says                string
		written             string // Samples-Written
	}{
		{name: "1.0", contentType: "application/x-protobuf", coding: "snappy", body: bodyV1(), status: 204},
		{name: "1.0 named", contentType: "application/x-protobuf;proto=prometheus.WriteRequest", coding: "snappy", body: bodyV1(), status: 204},
		{name: "1.0 without headers", body: bodyV1(), status: 204},
		{name: "2.0", contentType: typeV2, coding: "snappy", body: bodyV2(), status: 204, written: "1"},
		{name: "2.0 with a space", contentType: "application/x-protobuf; proto=io.prometheus.write.v2.Request", coding: "snappy", body: bodyV2(), status: 204, written: "1"},
		{name: "2.0 quoted", contentType: `application/x-protobuf;proto="io.prometheus.write.v2.Request"`, coding: "snappy", body: bodyV2(), status: 204, written: "1"},
		{name: "2.0 body called 1.0", contentType: "application/x-protobuf", coding: "snappy", body: bodyV2(), status: 400, says: "remote write 2.0 is"},
		{name: "another message", contentType: "application/x-protobuf;proto=acme.v9", coding: "snappy", body: bodyV1(), status: 415, says: "acme.v9"},
		{name: "JSON", contentType: "application/json", coding: "snappy", body: []byte("{}"), status: 415, says: "application/json"},
		{name: "no media type", contentType: ";;", coding: "snappy", body: bodyV1(), status: 415},
		{name: "zstd", contentType: "application/x-protobuf", coding: "zstd", body: bodyV1(), status: 415, says: "zstd"},
		{name: "415 comes before the body is looked at", contentType: "text/plain", coding: "snappy", body: bomb, status: 415},
		{name: "not snappy", contentType: "application/x-protobuf", coding: "snappy", body: []byte("hello"), status: 400},
		{name: "half a body", contentType: "application/x-protobuf", coding: "snappy", body: bodyV1()[:10], status: 400},
		{name: "bomb", contentType: "application/x-protobuf", coding: "snappy", body: bomb, status: 413},
		{name: "too large", contentType: "application/x-protobuf", coding: "snappy", body: make([]byte, 100), status: 413, says: "max_body_bytes",
			change: func(s *config.Receive) { s.MaxBodyBytes = 99 }},
		{name: "too large decoded", contentType: "application/x-protobuf", coding: "snappy", body: snappy.Encode(nil, make([]byte, 5000)), status: 413,
			change: func(s *config.Receive) { s.MaxDecodedBytes = 4999 }},
		{name: "malformed 2.0 says that nothing was written", contentType: typeV2, coding: "snappy", body: []byte("x"), status: 400, written: "0"},
		{name: "journal full", body: bodyV1(), sinkErr: store.ErrFull, status: 503, says: "backlog"},
		{name: "stopping", body: bodyV1(), sinkErr: sequence.ErrStopping, status: 503},
		{name: "disk broken", body: bodyV1(), sinkErr: errors.New("write: input/output error"), status: 503, says: "input/output"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &sink{err: c.sinkErr}
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(c.body))
			if c.contentType != "" {
				r.Header.Set("Content-Type", c.contentType)
			}
			if c.coding != "" {
				r.Header.Set("Content-Encoding", c.coding)
			}
			handler(s, c.change).ServeHTTP(w, r)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
				t.Fatalf("answered %d %q, want %d with %q", w.Code, w.Body, c.status, c.says)
			}
			if got := len(s.bodies); got != 0 != (c.status == 204) {
				t.Errorf("%d requests committed", got)
			}
			if got := w.Header().Get("X-Prometheus-Remote-Write-Samples-Written"); got != c.written {
				t.Errorf("Samples-Written %q, want %q: 2.0 demands it, 1.0 must not see it", got, c.written)
			}
			if retry := w.Header().Get("Retry-After"); (retry != "") != (c.status == 503) {
				t.Errorf("Retry-After %q with %d", retry, w.Code)
			}
		})
	}
}

// Rule: what is committed is the very body that came, with its tenant.
func TestTheBodyIsCommittedAsItCame(t *testing.T) {
	s := &sink{}
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(bodyV1()))
	r.Header.Set("X-Scope-OrgID", "team-a")
	handler(s, nil).ServeHTTP(httptest.NewRecorder(), r)
	if len(s.bodies) != 1 || s.bodies[0] != string(bodyV1()) || s.tenant != "team-a" {
		t.Errorf("committed %q of %q", s.bodies, s.tenant)
	}
}

// Rule: a tenant that the upstream could never take is refused at the door.
func TestTenants(t *testing.T) {
	for tenant, want := range map[string]int{
		"": 204, "team-a": 204, "a|b": 204, strings.Repeat("x", 150): 204,
		strings.Repeat("x", 151): 400, "two words": 400, "caf\xc3\xa9": 400, "a\tb": 400,
	} {
		s := &sink{}
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(bodyV1()))
		r.Header["X-Scope-Orgid"] = []string{tenant}
		handler(s, nil).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("tenant %q: %d, want %d", tenant, w.Code, want)
		}
	}
	s := &sink{}
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(bodyV1()))
	r.Header.Set("X-Scope-OrgID", "team-a")
	handler(s, func(c *config.Receive) { c.TenantHeader = "" }).ServeHTTP(httptest.NewRecorder(), r)
	if s.tenant != "" {
		t.Errorf("tenant %q although tenants are off", s.tenant)
	}
}

// Rule: over max_in_flight the answer is 503 at once, and a place that was
// left is free again.
func TestInFlightIsBounded(t *testing.T) {
	s := &sink{block: make(chan struct{})}
	h := handler(s, func(c *config.Receive) { c.MaxInFlight = 2 })
	post := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(bodyV1())))
		return w.Code
	}
	codes := make(chan int, 2)
	for range 2 {
		go func() { codes <- post() }()
	}
	for h.budget.held(working) < 2 {
		time.Sleep(time.Millisecond)
	}
	if code := post(); code != 503 {
		t.Errorf("the third of two answered %d, want 503", code)
	}
	close(s.block)
	for range 2 {
		if code := <-codes; code != 204 {
			t.Errorf("answered %d", code)
		}
	}
	if code := post(); code != 204 {
		t.Errorf("afterwards answered %d", code)
	}
}

// Rule: pressure refuses before the body is read.
func TestPressureRefusesUnread(t *testing.T) {
	h := handler(&sink{}, nil)
	h.pressure = func() error { return errors.New("the disk is full") }
	w := httptest.NewRecorder()
	body := &countingReader{}
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", body))
	if w.Code != 503 || body.n != 0 || w.Header().Get("Retry-After") == "" {
		t.Errorf("answered %d after reading %d bytes", w.Code, body.n)
	}
}

// Rule (RELIABILITY.md, finding 4): Retry-After is spread over some seconds, so that senders do not come back in step, and never is 0.
func TestRetryAfterIsSpread(t *testing.T) {
	h := handler(&sink{}, nil)
	h.pressure = func() error { return errors.New("the disk is full") }
	seen := map[string]int{}
	for range 200 {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
		after := w.Header().Get("Retry-After")
		if n, err := strconv.Atoi(after); err != nil || n < 1 || n > 10 {
			t.Fatalf("Retry-After %q", after)
		}
		seen[after]++
	}
	if len(seen) < 3 {
		t.Errorf("Retry-After of 200 refusals: %v", seen)
	}
}

// countingReader counts what was read of r, or of zeros without end.
type countingReader struct {
	r io.Reader
	n int
}

func (r *countingReader) Read(p []byte) (n int, err error) {
	if n = len(p); r.r != nil {
		n, err = r.r.Read(p)
	}
	r.n += n
	return n, err
}

// FuzzReceive: whatever comes in is answered 204, 400 or 413, without a panic,
// and what was accepted can be encoded in both versions.
func FuzzReceive(f *testing.F) {
	f.Add(bodyV1(), false)
	f.Add(bodyV2(), true)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, body []byte, v2 bool) {
		s := &sink{}
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		version := rewrite.V1
		if v2 {
			r.Header.Set("Content-Type", typeV2)
			version = rewrite.V2
		}
		h := handler(s, func(c *config.Receive) { c.MaxDecodedBytes = 1 << 20 })
		proportion.Check(t, len(body), 4<<20, 64, func() { h.ServeHTTP(w, r) }) // 1 MiB decompressed, whatever the body says
		switch w.Code {
		case 204:
			if len(s.bodies) == 0 {
				return // an empty request
			}
			for _, to := range []rewrite.Version{rewrite.V1, rewrite.V2} {
				var b rewrite.Batch
				err := b.Decode(version, "", []byte(s.bodies[0]), rewrite.Limits{MaxDecodedBytes: 1 << 20, MaxLabels: 128, MaxLabelValueBytes: 64 << 10})
				if err == nil {
					_, _, err = b.Encode(nil, to, nil)
				}
				if err != nil {
					t.Errorf("accepted, and then: %v", err)
				}
			}
		case 400, 413:
			if len(s.bodies) != 0 {
				t.Error("refused and committed")
			}
		default:
			t.Errorf("answered %d: %s", w.Code, w.Body)
		}
	})
}

// BenchmarkReceive is the receiving share of a request: read, decompress, check.
func BenchmarkReceive(b *testing.B) {
	req := &prompb.WriteRequest{}
	for i := range 2000 {
		req.Timeseries = append(req.Timeseries, prompb.TimeSeries{
			Labels: []prompb.Label{{Name: "__name__", Value: "http_requests_total"}, {Name: "cluster", Value: "eu-west-1"},
				{Name: "instance", Value: fmt.Sprintf("10.0.%d.%d:9100", i/250, i%250)}, {Name: "job", Value: "node"}},
			Samples: []prompb.Sample{{Timestamp: 1, Value: float64(i)}},
		})
	}
	msg, _ := req.Marshal()
	body := snappy.Encode(nil, msg)
	h := handler(&sink{}, nil)
	h.sink = releasing{}
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body)))
		if w.Code != 204 {
			b.Fatal(w.Code, w.Body)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2000, "ns/sample")
}

type releasing struct{}

func (releasing) Commit(r *sequence.Request) error { r.Release(); return nil }

// Rule: a lowered limit holds from the next request on, for label sets that were good before too.
func TestAReloadedLimitHoldsForLabelSetsThatCameBefore(t *testing.T) {
	h := handler(&sink{}, nil)
	set := config.Default().Receive
	send := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(bodyV1())))
		return w.Code
	}
	for range 2 {
		if got := send(); got != http.StatusNoContent {
			t.Fatal(got)
		}
	}
	set.MaxLabelValueBytes = 3 // of x_total
	h.Configure(set)
	for range 2 {
		if got := send(); got != http.StatusRequestEntityTooLarge {
			t.Error(got)
		}
	}
	h.Configure(config.Default().Receive)
	if got := send(); got != http.StatusNoContent {
		t.Error(got)
	}
}

// Rule: what is remembered of label sets may grow with the series that there are, and no further: what is refused makes no series.
func TestWhatMayBeRememberedGrowsWithTheSeries(t *testing.T) {
	h := handler(&sink{}, nil)
	for series, want := range map[int]int{0: memoryBytes, memoryBytes / memoryShare: memoryBytes, 5_000_000: 5_000_000 * memoryShare} {
		h.known = func() int { return series }
		if got := h.memoryMost(); got != want {
			t.Errorf("%d series: %d bytes, want %d", series, got, want)
		}
	}
}
