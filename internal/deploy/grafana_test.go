package deploy

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v2"
)

// dashboard is what is checked of Grafana's dashboard model.
type dashboard struct {
	UID           string
	Title         string
	SchemaVersion int
	Panels        []struct {
		ID         int
		Type       string
		Title      string
		Datasource source
		GridPos    struct{ H, W, X, Y int }
		Targets    []struct {
			RefID      string
			Expr       string
			Datasource source
		}
	}
}

type source struct{ Type, UID string }

// sources reads the provisioned data sources: uid to service.
func sources(t *testing.T) map[string]string {
	t.Helper()
	var c struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access, URL string
			IsDefault                    bool           `yaml:"isDefault"`
			JSONData                     map[string]any `yaml:"jsonData"`
		}
	}
	if err := yaml.UnmarshalStrict(read(t, "deploy/grafana/provisioning/datasources/pawl.yaml"), &c); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, d := range c.Datasources {
		host := strings.TrimPrefix(d.URL, "http://")
		out[d.UID], _, _ = strings.Cut(host, ":")
		if d.Type != "prometheus" || d.Access != "proxy" {
			t.Errorf("%s: type %q, access %q", d.Name, d.Type, d.Access)
		}
	}
	return out
}

func TestTheDataSourcesAreServices(t *testing.T) {
	p := compose(t)
	for uid, host := range sources(t) {
		if _, err := p.GetService(host); err != nil {
			t.Errorf("data source %s: %v", uid, err)
		}
	}
}

func TestTheDashboardProviderLooksWhereTheDashboardsAreMounted(t *testing.T) {
	var c struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Type      string
			DisableDeletion bool `yaml:"disableDeletion"`
			Options         struct{ Path string }
		}
	}
	if err := yaml.UnmarshalStrict(read(t, "deploy/grafana/provisioning/dashboards/pawl.yaml"), &c); err != nil {
		t.Fatal(err)
	}
	grafana, err := compose(t).GetService("grafana")
	if err != nil {
		t.Fatal(err)
	}
	mounted := map[string]string{}
	for _, v := range grafana.Volumes {
		mounted[v.Target] = v.Source
	}
	home := *grafana.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
	for _, p := range c.Providers {
		dir, ok := mounted[p.Options.Path]
		if !ok {
			t.Errorf("provider %s: nothing is mounted at %s", p.Name, p.Options.Path)
		}
		if _, err := os.Stat(filepath.Join(dir, filepath.Base(home))); err != nil {
			t.Errorf("home dashboard: %v", err)
		}
	}
}

func TestDashboardsAskValidPromQLOfSourcesThatExist(t *testing.T) {
	known := sources(t)
	files, err := filepath.Glob(filepath.Join(root, "deploy/grafana/dashboards/*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	promQL := parser.NewParser(parser.Options{})
	for _, path := range files {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.NewDecoder(bytes.NewReader(body)).Decode(&d); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if d.UID == "" || d.Title == "" || d.SchemaVersion == 0 || len(d.Panels) == 0 {
			t.Errorf("%s: not a dashboard", path)
		}
		ids := map[int]bool{}
		for _, p := range d.Panels {
			if ids[p.ID] {
				t.Errorf("%s: panel id %d twice", p.Title, p.ID)
			}
			ids[p.ID] = true
			if p.GridPos.W == 0 || p.GridPos.H == 0 || p.GridPos.X+p.GridPos.W > 24 {
				t.Errorf("%s: does not fit Grafana's 24 columns: %+v", p.Title, p.GridPos)
			}
			for _, q := range p.Targets {
				if _, err := promQL.ParseExpr(q.Expr); err != nil {
					t.Errorf("%s: %s: %v", p.Title, q.Expr, err)
				}
				if known[q.Datasource.UID] == "" || q.Datasource != p.Datasource {
					t.Errorf("%s: data source %+v", p.Title, q.Datasource)
				}
			}
		}
	}
}
