//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// recorder is an upstream in the test that keeps every sample in the order of arrival. It
// decodes with Prometheus' own generated code, so it judges the relay's independently.
type recorder struct {
	url     string
	mu      sync.Mutex
	got     data
	tenants map[string]bool
	errors  []error
}

func startRecorder(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{got: data{}, tenants: map[string]bool{}}
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	r.url = srv.URL
	return r
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.record(w.Header(), req); err != nil {
		r.errors = append(r.errors, err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.tenants[req.Header.Get("X-Scope-OrgID")] = true
	w.WriteHeader(http.StatusNoContent)
}

// record takes the samples of one request; on 2.0 it sets the headers that tell how many.
func (r *recorder) record(header http.Header, req *http.Request) error {
	if enc := req.Header.Get("Content-Encoding"); enc != "snappy" {
		return fmt.Errorf("content encoding %q", enc)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return err
	}
	raw, err := snappy.Decode(nil, body)
	if err != nil {
		return err
	}
	media, params, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil || media != "application/x-protobuf" {
		return fmt.Errorf("content type %q: %w", req.Header.Get("Content-Type"), err)
	}
	if params["proto"] != messageV2 {
		return r.recordV1(raw)
	}
	written, err := r.recordV2(raw)
	header.Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(written))
	header.Set("X-Prometheus-Remote-Write-Histograms-Written", "0")
	header.Set("X-Prometheus-Remote-Write-Exemplars-Written", "0")
	return err
}

func (r *recorder) recordV1(raw []byte) error {
	var msg prompb.WriteRequest
	if err := msg.Unmarshal(raw); err != nil {
		return err
	}
	var b labels.ScratchBuilder
	for _, ts := range msg.Timeseries {
		key := ts.ToLabels(&b, nil).String()
		for _, s := range ts.Samples {
			r.got[key] = append(r.got[key], point{T: s.Timestamp, Bits: math.Float64bits(s.Value)})
		}
	}
	return nil
}

func (r *recorder) recordV2(raw []byte) (int, error) {
	var msg writev2.Request
	if err := msg.Unmarshal(raw); err != nil {
		return 0, err
	}
	var b labels.ScratchBuilder
	n := 0
	for _, ts := range msg.Timeseries {
		ls, err := ts.ToLabels(&b, msg.Symbols)
		if err != nil {
			return n, err
		}
		for _, s := range ts.Samples {
			r.got[ls.String()] = append(r.got[ls.String()], point{T: s.Timestamp, Bits: math.Float64bits(s.Value)})
			n++
		}
	}
	return n, nil
}

// recorded is a copy of what has arrived. A request that could not be read fails the test.
func (r *recorder) recorded(t *testing.T) data {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, err := range r.errors {
		t.Errorf("the upstream was sent something unreadable: %v", err)
	}
	return r.got.upTo(math.MaxInt64)
}
