package deploy

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/promql/parser"

	"pawl/pkg/config"
	"pawl/pkg/relay"
)

// metrics are the names of all that a relay counts.
func metrics(t *testing.T) map[string]bool {
	t.Helper()
	cfg, err := config.Parse([]byte("remote_write:\n  - url: http://127.0.0.1:1/\nstorage: {ballast_bytes: 0, min_free_bytes: 0, max_used_percent: 100}\n"), "test")
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	r, err := relay.New(relay.Options{Config: cfg, StoragePath: t.TempDir(), Logger: promslog.NewNopLogger(), Registry: reg, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	described := make(chan *prometheus.Desc)
	go func() { reg.Describe(described); close(described) }()
	// Those of the program itself.
	names := map[string]bool{"pawl_config_last_reload_successful": true, "pawl_config_last_reload_success_timestamp_seconds": true}
	for d := range described {
		_, name, _ := strings.Cut(d.String(), `fqName: "`)
		name, _, _ = strings.Cut(name, `"`)
		names[name] = true
	}
	// A relay is closed by running it to its end.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx); err != nil {
		t.Error(err)
	}
	return names
}

func TestDashboardsAskForMetricsThatTheRelayHas(t *testing.T) {
	known := metrics(t)
	var d dashboard
	if err := json.Unmarshal(read(t, "deploy/grafana/dashboards/raw-and-corrected.json"), &d); err != nil {
		t.Fatal(err)
	}
	promQL, asked := parser.NewParser(parser.Options{}), 0
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			expr, err := promQL.ParseExpr(q.Expr)
			if err != nil {
				t.Fatal(err)
			}
			parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
				if v, ok := n.(*parser.VectorSelector); ok && strings.HasPrefix(v.Name, "pawl_") {
					if asked++; !known[v.Name] {
						t.Errorf("%s: the relay has no metric %s", p.Title, v.Name)
					}
				}
				return nil
			})
		}
	}
	if asked == 0 {
		t.Error("no panel asks the relay")
	}
}
