package accuracy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/prompb"
	"golang.org/x/sync/errgroup"

	"pawl/pkg/correct"
)

// connections are how many the series are spread over, by turns as Prometheus
// spreads them over its shards: the parts of a histogram travel apart.
const connections = 4

// wireSeries is one series as it is sent.
type wireSeries struct {
	labels     []prompb.Label // sorted
	samples    []prompb.Sample
	histograms []prompb.Histogram
}

// Families as they are sent, and their types.
const (
	counterName = "simulated_requests_total"
	classicName = "simulated_duration_seconds"
	summaryName = "simulated_wait_seconds"
	nativeName  = "simulated_size_bytes"
)

// Counters implements Way.
func (p *Program) Counters(ctx context.Context, policy correct.Policy, traces []Trace) ([][]Point, error) {
	var series []wireSeries
	for _, tr := range traces {
		series = append(series, floats(p.labels(counterName, ""), tr.Raw))
		p.run++
	}
	got, err := p.send(ctx, policy, series)
	if err != nil {
		return nil, err
	}
	outs := make([][]Point, len(traces))
	for i := range outs {
		outs[i] = pointsOf(got[i])
	}
	return outs, nil
}

// Histograms implements Way.
func (p *Program) Histograms(ctx context.Context, policy correct.Policy, traces []HistTrace) ([][]Frame, error) {
	var series []wireSeries
	for _, tr := range traces {
		name := classicName
		if tr.Summary {
			name = summaryName
		} else {
			for k, le := range tr.Bounds {
				series = append(series, floats(p.labels(name+"_bucket", strconv.FormatFloat(le, 'g', -1, 64)), column(tr.Raw, k)))
			}
		}
		series = append(series, floats(p.labels(name+"_count", ""), column(tr.Raw, len(tr.Bounds)-1)),
			floats(p.labels(name+"_sum", ""), column(tr.Raw, sumColumn)))
		p.run++
	}
	got, err := p.send(ctx, policy, series)
	if err != nil {
		return nil, err
	}
	outs := make([][]Frame, len(traces))
	for i, tr := range traces {
		buckets := len(tr.Bounds)
		if tr.Summary {
			buckets = 0
		}
		var odd int
		outs[i], odd = framesOf(tr, got[:buckets], got[buckets], got[buckets+1])
		p.odd += odd
		got = got[buckets+2:]
	}
	return outs, nil
}

// Natives implements Way.
func (p *Program) Natives(ctx context.Context, policy correct.Policy, traces []NativeTrace) ([][]NativeSample, error) {
	var series []wireSeries
	for _, tr := range traces {
		s := wireSeries{labels: p.labels(nativeName, "")}
		for _, x := range tr.Raw {
			s.histograms = append(s.histograms, prompb.FromIntHistogram(x.T, integer(x.H)))
		}
		series = append(series, s)
		p.run++
	}
	got, err := p.send(ctx, policy, series)
	if err != nil {
		return nil, err
	}
	outs := make([][]NativeSample, len(traces))
	for i := range outs {
		for _, a := range got[i] {
			outs[i] = append(outs[i], NativeSample{T: a.t, H: a.h})
		}
	}
	return outs, nil
}

// labels are those of a series of the trace at hand.
func (p *Program) labels(name, le string) []prompb.Label {
	ls := []prompb.Label{{Name: "__name__", Value: name}, {Name: "job", Value: "simulation"}}
	if le != "" {
		ls = append(ls, prompb.Label{Name: "le", Value: le})
	}
	return append(ls, prompb.Label{Name: "trace", Value: strconv.Itoa(p.run)})
}

func floats(ls []prompb.Label, points []Point) wireSeries {
	s := wireSeries{labels: ls}
	for _, x := range points {
		s.samples = append(s.samples, prompb.Sample{Timestamp: x.T, Value: x.V})
	}
	return s
}

// integer is h as client libraries send it.
func integer(h *histogram.FloatHistogram) *histogram.Histogram {
	out := &histogram.Histogram{Schema: h.Schema, ZeroThreshold: h.ZeroThreshold, Count: uint64(h.Count), Sum: h.Sum, PositiveSpans: h.PositiveSpans}
	last := int64(0)
	for _, n := range h.PositiveBuckets {
		out.PositiveBuckets = append(out.PositiveBuckets, int64(n)-last)
		last = int64(n)
	}
	return out
}

// arriveLimit: longer than join_wait, which the last parts may wait for.
const arriveLimit = time.Minute

// send sends all series over the connections, and returns what arrived of each
// when all has. A connection never runs ahead of another by more than the
// scrape at hand, as the batch deadline of a sender is shorter than its
// interval, or by p.batch scrapes, as when it catches up.
func (p *Program) send(ctx context.Context, policy correct.Policy, series []wireSeries) ([][]arrival, error) {
	if policy != (correct.Policy{}) {
		return nil, fmt.Errorf("the relay runs with the default policy, not with %+v", policy)
	}
	var conns [connections]*http.Client
	for c := range conns {
		transport := &http.Transport{MaxConnsPerHost: 1}
		defer transport.CloseIdleConnections()
		conns[c] = &http.Client{Transport: transport}
	}
	before, _ := p.upstream.arrived()
	if err := p.post(ctx, conns[0], metadata()); err != nil {
		return nil, err
	}
	sent := 0
	for some := range slices.Chunk(scrapesOf(series), p.batch) {
		var requests [connections]prompb.WriteRequest
		for i, ts := range slices.Concat(some...) {
			if n := len(ts.Samples) + len(ts.Histograms); n > 0 {
				to := &requests[i%len(series)%connections]
				to.Timeseries = append(to.Timeseries, ts)
				sent += n
			}
		}
		group, ctx := errgroup.WithContext(ctx)
		for c := range conns {
			group.Go(func() error { return p.post(ctx, conns[c], &requests[c]) })
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
	}
	if err := p.awaitArrival(ctx, before+sent); err != nil {
		return nil, err
	}
	return p.collect(series)
}

// scrapesOf cuts the series at every interval; each scrape has an element, perhaps an empty one, for every series.
func scrapesOf(series []wireSeries) (scrapes [][]prompb.TimeSeries) {
	for i, s := range series {
		put := func(t int64) *prompb.TimeSeries {
			k := int((t - epochMS) / int64(interval*1000))
			for len(scrapes) <= k {
				scrapes = append(scrapes, make([]prompb.TimeSeries, len(series)))
			}
			ts := &scrapes[k][i]
			ts.Labels = s.labels
			return ts
		}
		for j := range s.samples {
			ts := put(s.samples[j].Timestamp)
			ts.Samples = append(ts.Samples, s.samples[j])
		}
		for j := range s.histograms {
			ts := put(s.histograms[j].Timestamp)
			ts.Histograms = append(ts.Histograms, s.histograms[j])
		}
	}
	return scrapes
}

// metadata is remote write 1.0's request of its own for the types of the families.
func metadata() *prompb.WriteRequest {
	req := &prompb.WriteRequest{}
	for name, typ := range map[string]prompb.MetricMetadata_MetricType{
		counterName: prompb.MetricMetadata_COUNTER, classicName: prompb.MetricMetadata_HISTOGRAM,
		summaryName: prompb.MetricMetadata_SUMMARY, nativeName: prompb.MetricMetadata_HISTOGRAM,
	} {
		req.Metadata = append(req.Metadata, prompb.MetricMetadata{MetricFamilyName: name, Type: typ})
	}
	return req
}

// post sends one request until it is acknowledged, as a sender does after 5xx.
func (p *Program) post(ctx context.Context, client *http.Client, msg *prompb.WriteRequest) error {
	raw, err := msg.Marshal()
	if err != nil {
		return fmt.Errorf("encode a request: %w", err)
	}
	body := snappy.Encode(nil, raw)
	for {
		status, text, err := p.try(ctx, client, body)
		switch {
		case err != nil:
			return fmt.Errorf("send a request: %w", err)
		case status/100 == 2:
			return nil
		case status/100 != 5:
			return fmt.Errorf("the relay answered %d: %s", status, text)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the relay answered %d: %s: %w", status, text, ctx.Err())
		case <-p.done:
			return fmt.Errorf("the relay ended: %s", p.log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (p *Program) try(ctx context.Context, client *http.Client, body []byte) (status int, text string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// awaitArrival waits until the upstream has n samples.
func (p *Program) awaitArrival(ctx context.Context, n int) error {
	deadline := time.Now().Add(arriveLimit)
	for {
		got, err := p.upstream.arrived()
		switch {
		case err != nil:
			return fmt.Errorf("the upstream was sent something that it cannot read: %w", err)
		case got >= n:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%d of %d samples have arrived within %s: %s", got, n, arriveLimit, p.log())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// collect gives what has arrived of each series, which must be in order and complete.
func (p *Program) collect(series []wireSeries) ([][]arrival, error) {
	got := make([][]arrival, len(series))
	for i, s := range series {
		got[i] = p.upstream.of(keyOf(s.labels))
		if want := len(s.samples) + len(s.histograms); len(got[i]) != want {
			return nil, fmt.Errorf("%d of %d samples of %v have arrived", len(got[i]), want, s.labels)
		}
		if !slices.IsSortedFunc(got[i], func(a, b arrival) int { return int(a.t - b.t) }) {
			return nil, fmt.Errorf("the samples of %v have arrived out of order", s.labels)
		}
	}
	return got, nil
}

func pointsOf(list []arrival) (points []Point) {
	for _, a := range list {
		points = append(points, Point{T: a.t, V: a.v})
	}
	return points
}

// framesOf puts the parts of a histogram together again, and counts where _count is not +Inf.
func framesOf(tr HistTrace, buckets [][]arrival, count, sum []arrival) (frames []Frame, odd int) {
	frames = make([]Frame, len(tr.Raw))
	if tr.Summary {
		buckets = [][]arrival{count}
	}
	for i, f := range tr.Raw {
		frames[i] = Frame{T: f.T, B: make([]float64, len(f.B)), Sum: sum[i].v, Stale: f.Stale}
		for k := range buckets {
			frames[i].B[k] = buckets[k][i].v
		}
		if !near(frames[i].B[len(f.B)-1], count[i].v) {
			odd++
		}
	}
	return frames, odd
}
