package forward

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pawl/pkg/rewrite"
)

// metrics are what a Forwarder tells about itself.
type metrics struct {
	samples          *prometheus.CounterVec // by outcome and type
	batches          *prometheus.CounterVec
	retries          prometheus.Counter
	droppedExemplars prometheus.Counter
	relabelled       prometheus.Counter
	parked           prometheus.Counter
	encode           prometheus.Histogram
	send             *prometheus.HistogramVec
	delay            prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	buckets := prometheus.ExponentialBuckets(0.0005, 2, 16) // 0.5 ms … 16 s
	m := &metrics{
		samples: f.NewCounterVec(prometheus.CounterOpts{Name: "pawl_forwarded_total",
			Help: "Samples, native histograms, exemplars and metadata entries settled with the upstream, by outcome (delivered, rejected)."}, []string{"type", "outcome"}),
		batches: f.NewCounterVec(prometheus.CounterOpts{Name: "pawl_forwarded_batches_total",
			Help: "Batches settled with the upstream, by outcome (delivered, rejected)."}, []string{"outcome"}),
		retries: f.NewCounter(prometheus.CounterOpts{Name: "pawl_forward_retries_total",
			Help: "Attempts to send a batch that failed and are made again."}),
		droppedExemplars: f.NewCounter(prometheus.CounterOpts{Name: "pawl_forward_exemplars_dropped_total",
			Help: "Exemplars left out because remote write 2.0 receivers refuse an exemplar without a sample in the same request."}),
		relabelled: f.NewCounter(prometheus.CounterOpts{Name: "pawl_forward_relabelled_away_samples_total",
			Help: "Samples and native histograms left out because write_relabel_configs drop their series."}),
		parked: f.NewCounter(prometheus.CounterOpts{Name: "pawl_forward_parked_total",
			Help: "Batches kept aside on disk because the upstream did not take those of their tenant."}),
		encode: f.NewHistogram(prometheus.HistogramOpts{Name: "pawl_encode_duration_seconds",
			Help: "Time to patch, splice or transcode a batch.", Buckets: prometheus.ExponentialBuckets(0.000005, 4, 10)}),
		send: f.NewHistogramVec(prometheus.HistogramOpts{Name: "pawl_send_duration_seconds",
			Help: "Time of one attempt to send a batch, by result (ok, retry, held, refused).", Buckets: buckets}, []string{"result"}),
		delay: f.NewHistogram(prometheus.HistogramOpts{Name: "pawl_delivery_delay_seconds",
			Help: "Time from receiving a batch to the upstream's acknowledgement.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 20)}),
	}
	// Every series exists from the start, so that increase() sees the first event.
	for _, outcome := range []string{"delivered", "rejected"} {
		m.count(outcome, rewrite.Counts{}, 0)
	}
	for _, v := range []verdict{taken, retry, held, refused} {
		m.send.WithLabelValues(v.String())
	}
	return m
}

func (m *metrics) count(outcome string, c rewrite.Counts, batches float64) {
	m.samples.WithLabelValues("sample", outcome).Add(float64(c.Samples))
	m.samples.WithLabelValues("histogram", outcome).Add(float64(c.Histograms))
	m.samples.WithLabelValues("exemplar", outcome).Add(float64(c.Exemplars))
	m.samples.WithLabelValues("metadata", outcome).Add(float64(c.Metadata))
	m.batches.WithLabelValues(outcome).Add(batches)
}

func (m *metrics) delivered(c rewrite.Counts) { m.count("delivered", c, 1) }
func (m *metrics) rejected(c rewrite.Counts)  { m.count("rejected", c, 1) }

// away counts what of a settled batch did not go out by the upstream's configuration.
func (m *metrics) away(b *rewrite.Batch, up *upstream, kept rewrite.Counts) {
	m.droppedExemplars.Add(float64(b.DroppedExemplars()))
	if len(up.relabel) > 0 {
		m.relabelled.Add(float64(b.Remaining() - kept.Samples - kept.Histograms))
	}
}

// arrived notes that the upstream has what came in at a time in ms. A clock
// that was put back since must not make the sum fall: it is a counter.
func (m *metrics) arrived(received int64) {
	m.delay.Observe(max(0, time.Since(time.UnixMilli(received)).Seconds()))
}

// registerLanes tells how much is kept aside.
func registerLanes(reg prometheus.Registerer, ls *lanes, parker Parker) {
	gauge := func(name, help string, value func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("pawl_forward_held_tenants", "Tenants whose batches the upstream does not take; they are kept aside on disk and retried, and the others' go on.",
		func() float64 { held, _ := ls.counts(); return float64(held) })
	gauge("pawl_forward_parked_batches", "Batches kept aside on disk because the upstream does not take those of their tenant.",
		func() float64 { _, parked := ls.counts(); return float64(parked) })
	gauge("pawl_forward_parked_bytes", "Size on disk of the batches kept aside.",
		func() float64 {
			if parker == nil {
				return 0
			}
			return float64(parker.Bytes())
		})
}
