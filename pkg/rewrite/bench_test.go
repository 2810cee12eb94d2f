package rewrite

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"golang.org/x/sys/unix"
)

// loadLabels gives the labels of the i-th series of a Kubernetes-like target:
// about 200 bytes, 40 % counters, 45 % parts of classic histograms, 15 % gauges.
func loadLabels(i int) labels.Labels {
	pod := fmt.Sprintf("checkout-7d9f8b6c5-%05d", i/400)
	ls := []string{
		"cluster", "eu-west-1", "container", "server", "instance", fmt.Sprintf("10.12.%d.%d:9100", i/400/200, i/400%200),
		"job", "kubernetes-pods", "namespace", "shop", "node", "ip-10-12-0-17.internal", "pod", pod,
	}
	switch n := i % 400; {
	case n < 160:
		ls = append(ls, "__name__", fmt.Sprintf("http_requests_%d_total", n/8), "code", []string{"200", "204", "400", "500"}[n%4], "method", []string{"GET", "POST"}[n/4%2])
	case n < 340:
		ls = append(ls, "__name__", fmt.Sprintf("request_%d_duration_seconds_bucket", n/12), "le", fmt.Sprint(float64(n%12)/4), "handler", "/api/v1/orders")
	default:
		ls = append(ls, "__name__", fmt.Sprintf("go_memstats_%d_bytes", n))
	}
	return labels.FromStrings(ls...)
}

// loadV1 is the request of n series with one sample each that begins at series from.
func loadV1(t testing.TB, n, from int) []byte {
	req := &prompb.WriteRequest{}
	for i := range n {
		req.Timeseries = append(req.Timeseries, prompb.TimeSeries{
			Labels:  prompb.FromLabels(loadLabels(from+i), nil),
			Samples: []prompb.Sample{{Value: float64(i*37%5000) + 1, Timestamp: 1_700_000_000_000 + int64(i/400)}},
		})
	}
	return packV1(t, req)
}

func loadV2(t testing.TB, n, from int) []byte {
	table := writev2.NewSymbolTable()
	req := &writev2.Request{}
	for i := range n {
		req.Timeseries = append(req.Timeseries, writev2.TimeSeries{
			LabelsRefs: table.SymbolizeLabels(loadLabels(from+i), nil),
			Samples:    []writev2.Sample{{Value: float64(i*37%5000) + 1, Timestamp: 1_700_000_000_000 + int64(i/400), StartTimestamp: 1_690_000_000_000}},
			Metadata:   writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_COUNTER, HelpRef: table.Symbolize("The number of requests that were answered.")},
		})
	}
	req.Symbols = table.Symbols()
	return packV2(t, req)
}

const benchSeries = 2000

var benchLimits = Limits{MaxDecodedBytes: 64 << 20, MaxLabels: 128, MaxLabelValueBytes: 64 << 10}

// perSample runs f, which handles benchSeries samples, and reports ns per sample, by the
// clock and of the thread's own CPU time, which holds on a busy machine too.
func perSample(b *testing.B, f func()) {
	b.ReportAllocs()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	f() // warm
	b.ResetTimer()
	began := threadTime(b)
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64(threadTime(b)-began)/float64(b.N)/benchSeries, "cpu-ns/sample")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchSeries, "ns/sample")
}

// threadTime is what the calling thread has worked so far.
func threadTime(b *testing.B) time.Duration {
	var ru unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &ru); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

func versions(b *testing.B, f func(b *testing.B, v Version, body []byte)) {
	for v, load := range map[Version]func(testing.TB, int, int) []byte{V1: loadV1, V2: loadV2} {
		body := load(b, benchSeries, 0)
		b.Run(fmt.Sprintf("v%d", v), func(b *testing.B) { f(b, v, body) })
	}
}

func benchDecode(b *testing.B, batch *Batch, v Version, body []byte) {
	if err := batch.Decode(v, "tenant", body, benchLimits); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkDecode(b *testing.B) {
	versions(b, func(b *testing.B, v Version, body []byte) {
		var batch Batch
		perSample(b, func() { benchDecode(b, &batch, v, body) })
	})
}

// BenchmarkDecodeAgain is a request whose label sets came before, as nearly all do.
func BenchmarkDecodeAgain(b *testing.B) {
	versions(b, func(b *testing.B, v Version, body []byte) {
		var batch Batch
		lim := benchLimits
		lim.Memory = NewMemory(func() int { return 1 << 20 }, lim)
		perSample(b, func() {
			if err := batch.Decode(v, "tenant", body, lim); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// BenchmarkSnappy is the part of decode that is not ours.
func BenchmarkSnappy(b *testing.B) {
	versions(b, func(b *testing.B, v Version, body []byte) {
		var batch Batch
		batch.reset(v, "", body, benchLimits)
		perSample(b, func() {
			if err := batch.decompress(); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// BenchmarkHash is the keys alone, every label hashed and nothing remembered from
// series to series: what decoding would pay without its memory.
func BenchmarkHash(b *testing.B) {
	var batch Batch
	benchDecode(b, &batch, V2, loadV2(b, benchSeries, 0))
	var all []labels.Labels
	for i := range batch.Series {
		all = append(all, batch.Labels(i))
	}
	b.Run("labels", func(b *testing.B) {
		perSample(b, func() {
			for _, ls := range all {
				KeyOf("tenant", ls)
			}
		})
	})
}

func BenchmarkPatch(b *testing.B) {
	versions(b, func(b *testing.B, v Version, body []byte) {
		var batch Batch
		benchDecode(b, &batch, v, body)
		x := 1.5
		perSample(b, func() {
			x++
			for s := range batch.Samples {
				batch.SetValue(s, x)
			}
		})
	})
}

func benchEncode(b *testing.B, batch *Batch, to Version) {
	var dst []byte
	perSample(b, func() {
		body, _, err := batch.Encode(dst, to, nil)
		if err != nil {
			b.Fatal(err)
		}
		if batch.Changed() || to != batch.Version {
			dst = body
		}
	})
}

func BenchmarkEncodeUntouched(b *testing.B) {
	versions(b, func(b *testing.B, v Version, body []byte) {
		var batch Batch
		benchDecode(b, &batch, v, body)
		benchEncode(b, &batch, v)
	})
}

func BenchmarkEncodePatched(b *testing.B) {
	versions(b, func(b *testing.B, v Version, body []byte) {
		var batch Batch
		benchDecode(b, &batch, v, body)
		batch.SetValue(7, 0.5)
		benchEncode(b, &batch, v)
	})
}

// BenchmarkEncodeSpliced leaves one sample in a hundred out.
func BenchmarkEncodeSpliced(b *testing.B) {
	versions(b, func(b *testing.B, v Version, body []byte) {
		var batch Batch
		benchDecode(b, &batch, v, body)
		for s := 0; s < len(batch.Samples); s += 100 {
			batch.Drop(s)
		}
		benchEncode(b, &batch, v)
	})
}

func BenchmarkTranscode(b *testing.B) {
	versions(b, func(b *testing.B, v Version, body []byte) {
		var batch Batch
		benchDecode(b, &batch, v, body)
		benchEncode(b, &batch, 3-v)
	})
}

// BenchmarkRelabel drops a label, within one version.
func BenchmarkRelabel(b *testing.B) {
	cfgs := relabelConfigs(b, `[{regex: node, action: labeldrop}]`)
	versions(b, func(b *testing.B, v Version, body []byte) {
		var batch Batch
		benchDecode(b, &batch, v, body)
		var dst []byte
		perSample(b, func() {
			var err error
			if dst, _, err = batch.Encode(dst, v, cfgs); err != nil {
				b.Fatal(err)
			}
		})
	})
}
