package relay

import (
	"net/http"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/prompb"
)

// native is an integer histogram with two buckets.
func native(low, high int64) *histogram.Histogram {
	return &histogram.Histogram{
		Schema: 0, ZeroThreshold: 1e-128, Count: uint64(low + high), Sum: float64(low) + 10*float64(high),
		PositiveSpans: []histogram.Span{{Offset: 0, Length: 2}}, PositiveBuckets: []int64{low, high - low},
	}
}

func (r *running) pushNative(name string, t int64, h *histogram.Histogram) {
	r.t.Helper()
	req := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
		Labels: []prompb.Label{{Name: "__name__", Value: name}}, Histograms: []prompb.Histogram{prompb.FromIntHistogram(t, h)},
	}}}
	msg, _ := req.Marshal()
	if status, text := r.post("", snappy.Encode(nil, msg)); status != http.StatusNoContent {
		r.t.Fatalf("answered %d: %s", status, text)
	}
}

// Rule: a native histogram that loses part of its count goes on from the value
// before, through a restart of the relay too; one that never misbehaved passes.
func TestNativeHistogramsOnlyMoveForward(t *testing.T) {
	up, dir := newRecorder(t), t.TempDir()
	r := start(t, dir, up.URL, "")
	at := t0
	push := func(low, high int64) {
		r.pushNative("latency", at, native(low, high))
		r.pushNative("healthy", at, native(at/1000, 3))
		at += 15_000
	}
	for k := range int64(20) {
		push(100+10*k, 50+5*k)
	}
	push(290-80, 145-40) // one of several workers is recycled
	r.delivered()
	r.stop()
	r = start(t, dir, up.URL, "")
	push(220, 110)
	push(230, 115)
	r.delivered()
	counts := values(up.of(" latency"))
	if len(counts) != 23 {
		t.Fatalf("%d samples arrived, want 23", len(counts))
	}
	for i := 1; i < len(counts); i++ {
		if counts[i] < counts[i-1] {
			t.Errorf("the count falls from %v to %v", counts[i-1], counts[i])
		}
	}
	if grew := counts[22] - counts[0]; grew != 19*15+30 {
		t.Errorf("it grew by %v, want the 285 before the loss and the 30 after", grew)
	}
	for i, v := range values(up.of(" healthy")) {
		if want := float64(t0/1000+int64(i)*15) + 3; v != want {
			t.Errorf("sample %d of the healthy one is %v, want %v", i, v, want)
		}
	}
	var series struct {
		Items []struct {
			Type                           string
			LastRaw, LastCorrected, Offset float64
			Corrections                    map[string]int
		}
	}
	r.ask("GET", "/api/v1/series?match[]=latency", &series)
	if s := series.Items; len(s) != 1 || s[0].Type != "native_histogram" || s[0].LastRaw != 345 || s[0].Offset != 120 || len(s[0].Corrections) == 0 {
		t.Errorf("the series: %+v", series.Items)
	}
}
