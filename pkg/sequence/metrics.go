package sequence

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pawl/pkg/correct"
	"pawl/pkg/forward"
	"pawl/pkg/rewrite"
)

// metrics are what the sequencer tells about itself.
type metrics struct {
	sync, group, checkpointWrite prometheus.Histogram
	readBack                     prometheus.Counter
	samples, changed             prometheus.Counter
	held                         prometheus.Counter
	electionChanges              prometheus.Counter
	clusters                     prometheus.Gauge
	corrections                  [kindSlots]prometheus.Counter
	falseIncrease                prometheus.Counter
	targetRestarts               prometheus.Counter
	series                       prometheus.Gauge
	checkpoints                  prometheus.Counter
	lastCheckpoint               prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	m := &metrics{
		sync: f.NewHistogram(prometheus.HistogramOpts{Name: "pawl_journal_append_duration_seconds",
			Help: "Time to write one group of requests to the journal and sync it.", Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16)}),
		group: f.NewHistogram(prometheus.HistogramOpts{Name: "pawl_journal_group_requests",
			Help: "Requests that were made durable by one sync.", Buckets: prometheus.ExponentialBuckets(1, 2, 10)}),
		checkpointWrite: f.NewHistogram(prometheus.HistogramOpts{Name: "pawl_checkpoint_write_duration_seconds",
			Help: "Time to write the changed series to disk.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 16)}),
		readBack: f.NewCounter(prometheus.CounterOpts{Name: "pawl_journal_read_back_total",
			Help: "Requests read back from the journal because the writer was behind, or after a start."}),
		samples: f.NewCounter(prometheus.CounterOpts{Name: "pawl_applied_samples_total",
			Help: "Samples and native histograms applied to the series, replays after a start included."}),
		changed: f.NewCounter(prometheus.CounterOpts{Name: "pawl_changed_samples_total",
			Help: "Samples forwarded with another value than they came with."}),
		held: f.NewCounter(prometheus.CounterOpts{Name: "pawl_held_samples_total",
			Help: "Samples that waited for other parts of their histogram and went out after the rest of their request."}),
		electionChanges: f.NewCounter(prometheus.CounterOpts{Name: "pawl_ha_elected_replica_changes_total",
			Help: "Failovers: another replica of a pair was elected. Replays after a start included."}),
		clusters: f.NewGauge(prometheus.GaugeOpts{Name: "pawl_ha_clusters",
			Help: "Pairs of replicas of which one is elected."}),
		falseIncrease: f.NewCounter(prometheus.CounterOpts{Name: "pawl_false_increase_total",
			Help: "Sum of the increase that PromQL would have shown over the raw samples and that never happened."}),
		targetRestarts: f.NewCounter(prometheus.CounterOpts{Name: "pawl_target_restarts_total",
			Help: "Restarts of whole targets that their series' falls gave away; replays after a start included."}),
		series: f.NewGauge(prometheus.GaugeOpts{Name: "pawl_series",
			Help: "Series known, counters or not."}),
		checkpoints: f.NewCounter(prometheus.CounterOpts{Name: "pawl_checkpoints_total",
			Help: "Checkpoints declared good."}),
		lastCheckpoint: f.NewGauge(prometheus.GaugeOpts{Name: "pawl_last_checkpoint_timestamp_seconds",
			Help: "When the last checkpoint was declared good."}),
	}
	byKind := f.NewCounterVec(prometheus.CounterOpts{Name: "pawl_corrections_total",
		Help: "Corrections by kind; replays after a start included."}, []string{"kind"})
	for _, k := range correct.Kinds() {
		m.corrections[k] = byKind.WithLabelValues(k.String())
	}
	return m
}

// registerAccounts tells what was settled otherwise than it came in. It counts when a batch is settled, not when it is
// applied, so that no sample is both left out and pending.
func registerAccounts(reg prometheus.Registerer, mark *forward.Mark) {
	counter := func(name, help string, value func() int64) {
		promauto.With(reg).NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(value()) })
	}
	counter("pawl_duplicate_samples_total",
		"Samples and native histograms left out of what was settled with the upstream because their series already has another value at that timestamp, or because the same sample was still held for its histogram.",
		func() int64 { _, n, _, _ := mark.Settled(); return n })
	counter("pawl_ha_deduplicated_samples_total",
		"Samples and native histograms left out of what was settled with the upstream because the elected replica of their pair sends them as well.",
		func() int64 { _, _, n, _ := mark.Settled(); return n })
	counter("pawl_reset_zeros_total",
		"Samples of value 0 that were put in before a reset (resets: mark) into what was settled with the upstream.",
		func() int64 { _, _, _, n := mark.Settled(); return n })
}

func (m *metrics) applied(b *rewrite.Batch) {
	m.samples.Add(float64(len(b.Samples) + len(b.Histograms)))
}

func (m *metrics) correction(c correct.Correction) {
	m.corrections[c.Kind].Inc()
	if c.FalseIncrease > 0 && !math.IsInf(c.FalseIncrease, 0) {
		m.falseIncrease.Add(c.FalseIncrease)
	}
}

func sameBits(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }
