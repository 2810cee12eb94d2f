package config

import (
	"fmt"

	promconfig "github.com/prometheus/prometheus/config"
)

// Warnings are lines about settings that are allowed, for they mean something to a
// Prometheus, but have no effect in a relay: the sender has already cut the batches
// and chosen what to send. Only what differs from Prometheus' default is told.
func (c *Config) Warnings() []string {
	lines := append([]string(nil), c.notes...)
	for i, rw := range c.RemoteWrite {
		lines = append(lines, upstreamWarnings(rw, fmt.Sprintf("remote_write[%d]", i))...)
	}
	if c.HA != nil && c.Correct.Mode == ModeObserve {
		lines = append(lines, "ha: has no effect with correct.mode observe: everything goes out as it came, whoever sent it")
	}
	return append(lines, c.Correct.warnings()...)
}

func upstreamWarnings(rw *promconfig.RemoteWriteConfig, at string) []string {
	const (
		sameBatch = "a batch goes on as the sender has cut it"
		asArrives = "what arrives is forwarded, whatever this says"
	)
	q, dq := rw.QueueConfig, promconfig.DefaultQueueConfig
	var lines []string
	for _, s := range []struct {
		given    bool
		key, why string
	}{
		{q.Capacity != dq.Capacity, "queue_config.capacity", "the queue is the journal (journal.max_bytes)"},
		{q.MinShards != dq.MinShards, "queue_config.min_shards", "requests run in parallel as they come, at most max_shards"},
		{q.MaxSamplesPerSend != dq.MaxSamplesPerSend, "queue_config.max_samples_per_send", sameBatch},
		{q.BatchSendDeadline != dq.BatchSendDeadline, "queue_config.batch_send_deadline", sameBatch + ", at once"},
		{q.SampleAgeLimit != dq.SampleAgeLimit, "queue_config.sample_age_limit", "what was acknowledged is not given up for its age"},
		{rw.Name != "", "name", "there is one upstream, and nothing is named after it"},
		{rw.RoundRobinDNS, "round_robin_dns", "connections are kept and shared by all requests"},
		{rw.SendExemplars, "send_exemplars", asArrives},
		{rw.SendNativeHistograms, "send_native_histograms", asArrives},
		{rw.MetadataConfig != promconfig.DefaultMetadataConfig, "metadata_config", asArrives},
		{rw.FailedRequestLogging, "failed_request_logging", "a batch refused for good is kept whole, see /api/v1/rejected"},
	} {
		if s.given {
			lines = append(lines, fmt.Sprintf("%s.%s: has no effect: %s", at, s.key, s.why))
		}
	}
	return lines
}

func (c *Correct) warnings() []string {
	var lines []string
	first := make(map[string]int)
	for i, r := range c.Rules {
		at := fmt.Sprintf("correct.rules[%d]", i)
		if j, seen := first[r.Match]; seen {
			lines = append(lines, fmt.Sprintf("%s: has no effect: rules[%d] matches the same series and decides", at, j))
			continue
		}
		first[r.Match] = i
		d := defaultRule()
		if r.Type == TypeGauge && (r.Resets != d.Resets || r.Losses != d.Losses || r.Impute || r.Wrap != 0) {
			lines = append(lines, at+": type gauge is never touched, so resets, losses, impute and wrap have no effect")
		}
	}
	return lines
}
