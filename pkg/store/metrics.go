package store

import "github.com/prometheus/client_golang/prometheus"

// journalMetrics are the journal's own; sizes and positions are asked from the Journal by whoever exports them.
type journalMetrics struct {
	syncSeconds prometheus.Histogram
	groups      prometheus.Counter
	records     prometheus.Counter
	bytes       prometheus.Counter
}

func newJournalMetrics(reg prometheus.Registerer) journalMetrics {
	m := journalMetrics{
		syncSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pawl_journal_sync_seconds", Help: "Time one sync of the journal took.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
		groups:  prometheus.NewCounter(prometheus.CounterOpts{Name: "pawl_journal_groups_total", Help: "Groups appended to the journal, each with one sync."}),
		records: prometheus.NewCounter(prometheus.CounterOpts{Name: "pawl_journal_records_total", Help: "Records appended to the journal."}),
		bytes:   prometheus.NewCounter(prometheus.CounterOpts{Name: "pawl_journal_written_bytes_total", Help: "Bytes of records appended to the journal."}),
	}
	if reg != nil {
		reg.MustRegister(m.syncSeconds, m.groups, m.records, m.bytes)
	}
	return m
}

func (m journalMetrics) appended(records int, bytes int64) {
	m.groups.Inc()
	m.records.Add(float64(records))
	m.bytes.Add(float64(bytes))
}

// stateMetrics are those of the checkpoints.
type stateMetrics struct {
	writeSeconds   prometheus.Histogram
	declareSeconds prometheus.Histogram
	written        prometheus.Counter
}

func newStateMetrics(reg prometheus.Registerer, s *State) stateMetrics {
	m := stateMetrics{
		writeSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pawl_state_write_seconds", Help: "Time it took to write the keys of a checkpoint.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		}),
		declareSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pawl_state_declare_seconds", Help: "Time it took to declare a written checkpoint good.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		}),
		written: prometheus.NewCounter(prometheus.CounterOpts{Name: "pawl_state_keys_written_total", Help: "Keys written or deleted by checkpoints."}),
	}
	if reg != nil {
		reg.MustRegister(m.writeSeconds, m.declareSeconds, m.written,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pawl_state_bytes", Help: "Size of the series state on disk."}, func() float64 { return float64(s.Size()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pawl_state_keys", Help: "Keys of the last good checkpoint."}, func() float64 { c, _ := s.Good(); return float64(c.Keys) }),
		)
	}
	return m
}
