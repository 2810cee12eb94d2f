package relay

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
)

// BenchmarkPipeline is the whole way of a healthy sample, over HTTP on
// loopback, with a sync before every answer: four connections, requests of
// 2,000 series; the upstream here only reads. Sender and upstream share the
// process, so this is an upper bound; `make bench` measures the relay alone.
func BenchmarkPipeline(b *testing.B) {
	const connections, series = 4, 2000
	up := newDiscard(b)
	r := start(b, b.TempDir(), up.URL, "")
	var reqs [connections]*prompb.WriteRequest
	for c := range reqs {
		reqs[c] = &prompb.WriteRequest{}
		for i := range series {
			reqs[c].Timeseries = append(reqs[c].Timeseries, prompb.TimeSeries{
				Labels: []prompb.Label{{Name: "__name__", Value: "http_requests_total"}, {Name: "cluster", Value: "eu-west-1"}, {Name: "code", Value: "200"},
					{Name: "instance", Value: fmt.Sprintf("10.%d.%d.%d:9100", c, i/250, i%250)}, {Name: "job", Value: "node"}},
				Samples: []prompb.Sample{{}},
			})
		}
	}
	b.ReportAllocs()
	k := 0
	for b.Loop() {
		k++
		var wg sync.WaitGroup
		for c := range reqs {
			for i := range reqs[c].Timeseries {
				reqs[c].Timeseries[i].Samples[0] = prompb.Sample{Timestamp: t0 + int64(k)*15_000, Value: float64(k * 3)}
			}
			msg, _ := reqs[c].Marshal()
			body := snappy.Encode(nil, msg)
			wg.Go(func() {
				if status, text := r.post("", body); status != http.StatusNoContent {
					b.Errorf("%d %s", status, text)
				}
			})
		}
		wg.Wait()
	}
	r.delivered()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*connections*series), "ns/sample")
}
