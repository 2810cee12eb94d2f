//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// Values of remote_write's protobuf_message.
const (
	messageV1 = "prometheus.WriteRequest"
	messageV2 = "io.prometheus.write.v2.Request"
)

// sender says which Prometheus scrapes, and how it writes.
type sender struct {
	bin     string            // program's name in .cache/bin
	message string            // protobuf_message; empty: a server that does not know the key
	headers map[string]string // sent with every write
	replica string            // of a pair: external labels cluster and __replica__
	rich    bool              // scrapes by protobuf and sends native histograms and exemplars too
}

// start runs it, scraping tg and writing to writeURL.
func (s sender) start(t *testing.T, tg *target, writeURL string) *prometheus {
	t.Helper()
	var extra strings.Builder
	if s.message != "" {
		fmt.Fprintf(&extra, "    protobuf_message: %s\n", s.message)
	}
	if len(s.headers) > 0 {
		extra.WriteString("    headers:\n")
	}
	for name, value := range s.headers {
		fmt.Fprintf(&extra, "      %s: %s\n", name, value)
	}
	protocols, flags := "[PrometheusText0.0.4]", []string{}
	if s.rich {
		protocols = "[PrometheusProto]\n    scrape_native_histograms: true"
		flags = append(flags, "--enable-feature=exemplar-storage")
		extra.WriteString("    send_native_histograms: true\n    send_exemplars: true\n")
	}
	if s.bin == "prometheus" {
		protocols = "    scrape_protocols: " + protocols + "\n"
	} else {
		protocols = "" // a server that does not know the key
	}
	// Short deadlines and backoffs only make the test quick; max_shards 4 lets requests overtake
	// each other as they do in real life.
	config := fmt.Sprintf(`
global:
  scrape_interval: %[1]v
  scrape_timeout: %[1]v
%[6]sscrape_configs:
  - job_name: story
    static_configs:
      - targets: [%[2]q]
%[5]sremote_write:
  - url: %[3]s
    metadata_config:
      send_interval: 1s
    queue_config:
      batch_send_deadline: 200ms
      min_backoff: 30ms
      max_backoff: 300ms
      min_shards: 4
      max_shards: 4
%[4]s`, scrapeInterval, tg.addr, writeURL, extra.String(), protocols, s.external())
	return startPrometheus(t, "sender", program(t, s.bin), config, flags...)
}

// external is the part of the configuration that makes it one of a pair.
func (s sender) external() string {
	if s.replica == "" {
		return ""
	}
	return "  external_labels: {cluster: pair, __replica__: " + s.replica + "}\n"
}
