//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"

	"pawl/internal/port"
)

// point is one stored sample: ms, and the value's bits, so that no stale marker or
// other NaN is lost in comparing. A native histogram is kept as its message's bytes.
type point struct {
	T         int64
	Bits      uint64
	Histogram string
}

func (p point) value() float64 { return math.Float64frombits(p.Bits) }

func (p point) String() string {
	if p.Histogram == "" {
		return fmt.Sprintf("%v@%d", p.value(), p.T)
	}
	var h prompb.Histogram
	_ = h.Unmarshal([]byte(p.Histogram)) // ours
	return fmt.Sprintf("%v@%d", h, p.T)
}

// data is what a server holds: the samples of every series in order of time, by the
// series' labels as text.
type data map[string][]point

// prometheus is a running server.
type prometheus struct {
	*process
	url string
}

// startPrometheus runs the given server program on a free port with an empty database.
func startPrometheus(t *testing.T, name, bin, config string, flags ...string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	addr := port.ForTest(t)
	args := append([]string{
		"--config.file=" + writeFile(t, filepath.Join(dir, name+".yml"), config),
		"--storage.tsdb.path=" + filepath.Join(dir, "tsdb"),
		"--web.listen-address=" + addr,
	}, flags...)
	p := startProcess(t, filepath.Join(dir, name+".log"), bin, args...)
	p.waitReady("http://"+addr+"/-/ready", time.Minute)
	return &prometheus{process: p, url: "http://" + addr}
}

// startReceiver runs the Prometheus that the relay forwards to. It scrapes nothing.
func startReceiver(t *testing.T) *prometheus {
	t.Helper()
	return startPrometheus(t, "receiver", program(t, "prometheus"), "global: {}\n",
		"--web.enable-remote-write-receiver", "--enable-feature=exemplar-storage")
}

// read downloads everything that the server holds by remote read: unlike a query it
// gives the stale markers too, and doubles as they are stored.
func (p *prometheus) read(t *testing.T) data {
	t.Helper()
	now := time.Now().UnixMilli()
	req, err := (&prompb.ReadRequest{Queries: []*prompb.Query{{
		StartTimestampMs: now - time.Hour.Milliseconds(),
		EndTimestampMs:   now + time.Hour.Milliseconds(),
		Matchers:         []*prompb.LabelMatcher{{Type: prompb.LabelMatcher_RE, Name: model.MetricNameLabel, Value: ".+"}},
	}}}).Marshal()
	if err != nil {
		t.Fatalf("encode remote read: %v", err)
	}
	resp, err := http.Post(p.url+"/api/v1/read", "application/x-protobuf", bytes.NewReader(snappy.Encode(nil, req)))
	if err != nil {
		t.Fatalf("remote read from %s: %v", p.name, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("remote read from %s: %s %v %s", p.name, resp.Status, err, body)
	}
	raw, err := snappy.Decode(nil, body)
	if err != nil {
		t.Fatalf("decompress remote read: %v", err)
	}
	var answer prompb.ReadResponse
	if err := answer.Unmarshal(raw); err != nil {
		t.Fatalf("decode remote read: %v", err)
	}
	got := data{}
	var b labels.ScratchBuilder
	for _, r := range answer.Results {
		for _, ts := range r.Timeseries {
			key := ts.ToLabels(&b, nil).String()
			for _, s := range ts.Samples {
				got[key] = append(got[key], point{T: s.Timestamp, Bits: math.Float64bits(s.Value)})
			}
			for _, h := range ts.Histograms {
				h.ResetHint = 0 // the database's own, it depends on how samples share chunks
				raw, err := h.Marshal()
				if err != nil {
					t.Fatalf("encode a histogram again: %v", err)
				}
				got[key] = append(got[key], point{T: h.Timestamp, Histogram: string(raw)})
			}
		}
	}
	return got
}

// result is one series' part of a query's answer: Value of an instant vector, Values of a
// range vector.
type result struct {
	Metric labels.Labels
	Value  model.SamplePair
	Values []model.SamplePair
}

func (r result) points() []point {
	points := make([]point, len(r.Values))
	for i, v := range r.Values {
		points[i] = point{T: int64(v.Timestamp), Bits: math.Float64bits(float64(v.Value))}
	}
	return points
}

// ask sends one instant query, evaluated at the given time (ms).
func ask(t *testing.T, base, query string, at int64) []result {
	t.Helper()
	var answer struct {
		Status, Error string
		Data          struct{ Result []result }
	}
	form := url.Values{"query": {query}, "time": {strconv.FormatFloat(float64(at)/1000, 'f', 3, 64)}}
	resp, err := http.PostForm(base+"/api/v1/query", form)
	if err != nil {
		t.Fatalf("ask %s: %v", query, err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Status != "success" {
		t.Fatalf("ask %s: %s %v %s", query, resp.Status, err, answer.Error)
	}
	return answer.Data.Result
}

// scalar asks for a query's one value. at is in ms.
func scalar(t *testing.T, base, query string, at int64) float64 {
	t.Helper()
	results := ask(t, base, query, at)
	if len(results) != 1 {
		t.Fatalf("ask %s: %d results, want 1: %v", query, len(results), results)
	}
	return float64(results[0].Value.Value)
}

// rangeOf downloads the raw samples of a selector by the query API, which leaves stale
// markers out: the one way that Thanos offers over HTTP.
func rangeOf(t *testing.T, base, selector string, at int64) data {
	t.Helper()
	got := data{}
	for _, r := range ask(t, base, selector+"[1h]", at) {
		got[r.Metric.String()] = r.points()
	}
	return got
}

// upTo leaves what is not later than t (ms).
func (d data) upTo(t int64) data {
	got := data{}
	for key, points := range d {
		if kept := slices.DeleteFunc(slices.Clone(points), func(p point) bool { return p.T > t }); len(kept) > 0 {
			got[key] = kept
		}
	}
	return got
}

// last is the time (ms) of the newest sample.
func (d data) last() int64 {
	var t int64
	for _, points := range d {
		t = max(t, points[len(points)-1].T)
	}
	return t
}

// nameOf gives the metric name of a series in data, whose keys are Labels.String().
func nameOf(key string) string {
	const before = `__name__="`
	_, rest, _ := strings.Cut(key, before)
	name, _, _ := strings.Cut(rest, `"`)
	return name
}
