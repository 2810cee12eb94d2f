package receive

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pawl/pkg/rewrite"
)

// written is what a request holds, as 2.0's headers tell it.
type written struct{ samples, histograms, exemplars, metadata int }

func countsOf(b *rewrite.Batch) written {
	return written{len(b.Samples), len(b.Histograms), b.Exemplars, len(b.Metadata)}
}

// header sets the Written headers that 2.0 demands of every answer; a 1.0
// sender would take them for a statement about its own request.
func (c written) header(h http.Header) {
	const prefix = "X-Prometheus-Remote-Write-"
	h.Set(prefix+"Samples-Written", strconv.Itoa(c.samples))
	h.Set(prefix+"Histograms-Written", strconv.Itoa(c.histograms))
	h.Set(prefix+"Exemplars-Written", strconv.Itoa(c.exemplars))
}

// metrics are what the handler tells about itself.
type metrics struct {
	received *prometheus.CounterVec
	bytes    prometheus.Counter
	requests *prometheus.CounterVec
	refused  [reasons]prometheus.Counter
	duration prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, b *budget) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		received: f.NewCounterVec(prometheus.CounterOpts{Name: "pawl_received_total",
			Help: "Samples, native histograms, exemplars and metadata entries accepted: checked and durable in the journal."}, []string{"type"}),
		bytes: f.NewCounter(prometheus.CounterOpts{Name: "pawl_received_bytes_total",
			Help: "Bytes of accepted request bodies, compressed."}),
		requests: f.NewCounterVec(prometheus.CounterOpts{Name: "pawl_received_requests_total",
			Help: "Requests accepted, by remote-write version."}, []string{"version"}),
		duration: f.NewHistogram(prometheus.HistogramOpts{Name: "pawl_receive_duration_seconds",
			Help: "Time from a request's header to its answer, for accepted requests.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15)}),
	}
	refused := f.NewCounterVec(prometheus.CounterOpts{Name: "pawl_refused_requests_total",
		Help: "Requests of which nothing was accepted, by status code and reason."}, []string{"code", "reason"})
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "pawl_receive_in_flight_requests",
		Help: "Requests that are worked on, from their body's last byte to their answer (receive.max_in_flight)."}, func() float64 { return float64(b.held(working)) })
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "pawl_receive_in_flight_bytes",
		Help: "Bytes held by requests that are read or worked on (receive.max_in_flight_bytes)."}, func() float64 { return float64(b.held(memory)) })
	// Every series exists from the start, so that increase() sees the first event.
	for r := range reasons {
		status, name := r.answer()
		m.refused[r] = refused.WithLabelValues(strconv.Itoa(status), name)
	}
	for _, t := range []string{"sample", "histogram", "exemplar", "metadata"} {
		m.received.WithLabelValues(t)
	}
	for _, v := range []string{"1.0", "2.0"} {
		m.requests.WithLabelValues(v)
	}
	return m
}

func (m *metrics) accepted(v rewrite.Version, c written, body int, took time.Duration) {
	m.received.WithLabelValues("sample").Add(float64(c.samples))
	m.received.WithLabelValues("histogram").Add(float64(c.histograms))
	m.received.WithLabelValues("exemplar").Add(float64(c.exemplars))
	m.received.WithLabelValues("metadata").Add(float64(c.metadata))
	name := "1.0"
	if v == rewrite.V2 {
		name = "2.0"
	}
	m.requests.WithLabelValues(name).Inc()
	m.bytes.Add(float64(body))
	m.duration.Observe(took.Seconds())
}

// quiet lets one log line per reason and interval through: a sender that is
// refused a thousand times a second must not fill the log.
type quiet struct {
	mu   sync.Mutex
	last map[reason]time.Time
}

const quietInterval = 10 * time.Second

func (q *quiet) allow(why reason) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last == nil {
		q.last = map[reason]time.Time{}
	}
	if time.Since(q.last[why]) < quietInterval {
		return false
	}
	q.last[why] = time.Now()
	return true
}
