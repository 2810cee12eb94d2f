package relay

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// backlog collects how much waits between the senders and the upstream. It is
// looked up when asked for: the journal knows it.
type backlog struct {
	r                                      *Relay
	samples, bytes, seconds, journal, room *prometheus.Desc
}

func registerBacklog(reg prometheus.Registerer, r *Relay) {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	reg.MustRegister(&backlog{
		r:       r,
		samples: desc("pawl_backlog_samples", "Samples and native histograms in the journal that are not settled with the upstream, those that wait for the rest of their histogram included."),
		bytes:   desc("pawl_backlog_bytes", "Bytes in the journal from the oldest request on that is not settled with the upstream."),
		seconds: desc("pawl_backlog_seconds", "Age of the oldest request that is not settled with the upstream."),
		journal: desc("pawl_journal_bytes", "Size of the journal on disk."),
		room:    desc("pawl_journal_max_bytes", "Size at which the journal is full (journal.max_bytes)."),
	})
}

func (b *backlog) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{b.samples, b.bytes, b.seconds, b.journal, b.room} {
		ch <- d
	}
}

func (b *backlog) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	samples, bytes, seconds := b.r.backlog()
	gauge(b.samples, float64(samples))
	gauge(b.bytes, float64(bytes))
	gauge(b.seconds, seconds)
	gauge(b.journal, float64(b.r.disk.journal.Bytes()))
	gauge(b.room, float64(b.r.current().Journal.MaxBytes))
}

// backlog is what the upstream has not acknowledged: samples, bytes, and the
// age of the oldest in seconds.
func (r *Relay) backlog() (samples, bytes int64, seconds float64) {
	// Batches that were settled before an earlier one are counted off by themselves, but keep their place in the journal.
	settled, _, _, _ := r.mark.Settled() // first: what is appended meanwhile must not be missing
	samples = r.waited + r.disk.journal.Appended() - settled
	_, bytes, oldest := r.disk.journal.Backlog(r.mark.Low() + 1)
	if oldest > 0 {
		seconds = max(0, time.Since(time.UnixMilli(oldest)).Seconds())
	}
	return samples, bytes, seconds
}
