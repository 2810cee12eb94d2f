package deploy

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/rulefmt"
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

// asksOnlyFor fails for every metric of the relay's in a PromQL expression that it does not have, and tells how many it has.
func asksOnlyFor(t *testing.T, known map[string]bool, who, expr string) (asked int) {
	t.Helper()
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Fatal(err)
	}
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok && strings.HasPrefix(v.Name, "pawl_") {
			if asked++; !known[v.Name] {
				t.Errorf("%s: the relay has no metric %s", who, v.Name)
			}
		}
		return nil
	})
	return asked
}

func TestDashboardsAskForMetricsThatTheRelayHas(t *testing.T) {
	known := metrics(t)
	var d dashboard
	if err := json.Unmarshal(read(t, "deploy/grafana/dashboards/raw-and-corrected.json"), &d); err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			asked += asksOnlyFor(t, known, p.Title, q.Expr)
		}
	}
	if asked == 0 {
		t.Error("no panel asks the relay")
	}
}

// Rule: an alert that nothing can fire says that all is well. So every one is a rule that Prometheus takes, about a metric that the
// relay has, and says in words what is wrong.
func TestAlertsAreAboutMetricsThatTheRelayHas(t *testing.T) {
	known := metrics(t)
	groups, errs := rulefmt.Parse(read(t, "deploy/alerts.yml"), false, model.UTF8Validation, parser.NewParser(parser.Options{}), promslog.NewNopLogger())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if asksOnlyFor(t, known, r.Alert, r.Expr) == 0 {
				t.Errorf("%s asks nothing of the relay", r.Alert)
			}
			if r.Annotations["summary"] == "" || r.Labels["severity"] == "" {
				t.Errorf("%s has no summary or no severity", r.Alert)
			}
		}
	}
}
