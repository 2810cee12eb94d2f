package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// fake answers with what it is given, and remembers what it was asked.
type fake struct {
	status      Status
	series      []Series
	corrections []Correction
	rows        []SummaryRow
	elections   []Election
	rejected    []Rejected
	batch       RejectedBatch
	resent      ResendReport
	dropped     Dropped
	next        string
	yaml        string
	err         error
	panics      bool

	askedSeries      SeriesQuery
	askedCorrections CorrectionQuery
	askedBy          []string
	askedAfter       string
	askedLimit       int
	askedForget      [][]*labels.Matcher
	askedID          string
	askedRejected    RejectedQuery
	reloads          int
}

func (f *fake) Status(context.Context) (Status, error) {
	if f.panics {
		panic("the fake was told to")
	}
	return f.status, f.err
}

func (f *fake) Series(_ context.Context, q SeriesQuery) ([]Series, string, error) {
	f.askedSeries = q
	return f.series, f.next, f.err
}

func (f *fake) Corrections(_ context.Context, q CorrectionQuery) ([]Correction, string, error) {
	f.askedCorrections = q
	return f.corrections, f.next, f.err
}

func (f *fake) Summary(_ context.Context, q CorrectionQuery, by []string) ([]SummaryRow, error) {
	f.askedCorrections, f.askedBy = q, by
	return f.rows, f.err
}

func (f *fake) Elections(_ context.Context, after string, limit int) ([]Election, string, error) {
	f.askedAfter, f.askedLimit = after, limit
	return f.elections, f.next, f.err
}

func (f *fake) Rejected(_ context.Context, after string, limit int) ([]Rejected, string, error) {
	f.askedAfter, f.askedLimit = after, limit
	return f.rejected, f.next, f.err
}

func (f *fake) RejectedBatch(_ context.Context, id string, limit int) (RejectedBatch, error) {
	f.askedID, f.askedLimit = id, limit
	return f.batch, f.err
}

func (f *fake) Resend(_ context.Context, q RejectedQuery) (ResendReport, error) {
	f.askedRejected = q
	return f.resent, f.err
}

func (f *fake) Drop(_ context.Context, q RejectedQuery) (Dropped, error) {
	f.askedRejected = q
	return f.dropped, f.err
}

func (f *fake) Forget(_ context.Context, m [][]*labels.Matcher) (int, error) {
	f.askedForget = m
	return 7, f.err
}

func (f *fake) Config() string { return f.yaml }

func (f *fake) Reload() error {
	f.reloads++
	return f.err
}

// full has a value in every field, the odd ones of floats among them.
func full() *fake {
	at := time.Date(2026, 11, 20, 5, 10, 59, 487e6, time.UTC)
	ls := map[string]string{"__name__": "requests_total", "job": "shop", "path": `/a&<b>"ü`}
	return &fake{
		status: Status{
			Version: "1.0.0", StartTime: at, UptimeSeconds: 12.5, Mode: "correct", Ready: true,
			Journal:    JournalStatus{First: 1, End: math.MaxInt64, Applied: 8, Delivered: 7, Bytes: 4096},
			Checkpoint: CheckpointStatus{Version: 3, Seq: 6, Time: at, Keys: 9},
			Backlog:    BacklogStatus{Samples: 2000, Bytes: 3000, Seconds: 0.5},
			Upstream: UpstreamStatus{URL: "http://u:xxxxx@mimir/", Healthy: true, LastError: "503", LastSuccess: at, InFlight: 2,
				HeldTenants: 1, Held: []HeldTenant{{Tenant: "b", Since: at, Status: 401, LastError: "who is that?", Batches: 3}}},
			Series: 12,
		},
		series: []Series{
			{Labels: ls, Tenant: "a", Type: "counter", TypeSource: "metadata", LastTimestamp: at, LastRaw: 72932, LastCorrected: 72933, Offset: 1, Corrections: map[string]int{"loss": 1}},
			{Labels: ls, LastRaw: Float(math.NaN()), LastCorrected: Float(math.Inf(1)), Offset: Float(math.Inf(-1))},
			{LastRaw: 1e300, LastCorrected: 5e-324, Offset: Float(math.Copysign(0, -1))},
		},
		corrections: []Correction{
			{Labels: ls, Tenant: "a", Time: at, PreviousTime: at.Add(-30 * time.Second), Kind: "loss", Previous: 72933, Raw: 72932, Corrected: 72933, Amount: 1,
				FalseIncrease: 72932, Pending: true, Settles: &at, Seq: "17.3",
				Evidence: []Evidence{{"drop", 4.5, "fell 1 of 72933"}, {"pace", Float(math.Inf(1)), "would need 2431/s from zero, its peak is 0.07/s"}}},
			{Kind: "duplicate", Time: at},
		},
		rows:      []SummaryRow{{By: map[string]string{"kind": "loss"}, Count: 3, Amount: 3, FalseIncrease: 200000}, {By: map[string]string{"kind": "noise"}, Count: 9, Amount: Float(math.NaN())}},
		elections: []Election{{Tenant: "a", Cluster: "eu", Replica: "r1", Since: at, LastSeen: at.Add(time.Minute), Changes: 2}},
		rejected:  []Rejected{{ID: "5", Time: at, Tenant: "a", Status: 400, Answer: "out of bounds", Samples: 500, Bytes: 9000}},
		batch: RejectedBatch{
			Rejected:    Rejected{ID: "5", Time: at, Tenant: "a", Status: 400, Answer: "out of bounds", Samples: 500, Bytes: 9000},
			RemoteWrite: "1.0", BodyKept: true, SeriesCount: 2,
			Series: []RejectedSeries{{Labels: ls, Samples: []RejectedSample{{at, 1}, {at, Float(math.NaN())}}, Histograms: []RejectedHistogram{{at, "{count:1, sum:1}"}}}, {}},
		},
		resent:  ResendReport{Items: []ResendResult{{"5", Accepted, 204, "", 500}, {"6", RefusedAgain, 400, "out of order", 1}, {"7", Failed, 0, "connection refused", 1}}, Stopped: "connection refused", Next: "7"},
		dropped: Dropped{Batches: 2, Samples: 501},
		next:    "abc",
		yaml:    "remote_write: []\n",
	}
}

func request(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

func ask(h http.Handler, r *http.Request) (*http.Response, []byte) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	resp := w.Result()
	b, _ := io.ReadAll(resp.Body)
	return resp, b
}

// get asks for what must succeed, and reads data into out.
func get(t *testing.T, src Source, target string, out any) {
	t.Helper()
	resp, b := ask(New(src, Options{}), request("GET", target, ""))
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s", target, resp.Status, b)
	}
	var e struct {
		Status string
		Data   json.RawMessage
	}
	if err := json.Unmarshal(b, &e); err != nil || e.Status != "success" {
		t.Fatalf("%s: %v: %s", target, err, b)
	}
	if out != nil {
		if err := json.Unmarshal(e.Data, out); err != nil {
			t.Fatalf("%s: %v: %s", target, err, b)
		}
	}
}

// refused asks for what must fail, and returns the text of the error.
func refused(t *testing.T, src Source, r *http.Request, code int, kind string) string {
	t.Helper()
	resp, b := ask(New(src, Options{}), r)
	var e struct{ Status, ErrorType, Error string }
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatalf("%s %s: %s: %v: %s", r.Method, r.URL, resp.Status, err, b)
	}
	if resp.StatusCode != code || e.Status != "error" || e.ErrorType != kind || e.Error == "" {
		t.Errorf("%s %s: %s %s, want %d %s", r.Method, r.URL, resp.Status, b, code, kind)
	}
	return e.Error
}

var errDisk = errors.New("read series 5: input/output error")
