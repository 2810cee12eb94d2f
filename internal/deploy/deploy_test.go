package deploy

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/exporter-toolkit/web"
	promconfig "github.com/prometheus/prometheus/config"
	"go.yaml.in/yaml/v2"
	"golang.org/x/crypto/bcrypt"

	"pawl/pkg/config"
)

const root = "../.."

func compose(t *testing.T) *types.Project {
	t.Helper()
	path := filepath.Join(root, "docker-compose.yaml")
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	p, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  dir,
		ConfigFiles: []types.ConfigFile{{Filename: path, Content: body}},
		Environment: types.Mapping{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestComposeIsWhatComposeReads(t *testing.T) {
	p := compose(t)
	for _, want := range []string{"target", "prometheus", "relay", "mimir", "grafana"} {
		if _, err := p.GetService(want); err != nil {
			t.Error(err)
		}
	}
}

func TestEveryImageIsPinnedToAVersion(t *testing.T) {
	images := map[string]string{}
	for name, s := range compose(t).Services {
		if s.Build == nil {
			images[name] = s.Image
		}
	}
	for line := range strings.Lines(string(read(t, "Dockerfile"))) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "FROM" && f[1] != "scratch" {
			images["Dockerfile"] = f[1]
		}
	}
	for where, image := range images {
		_, tag, _ := strings.Cut(image, ":")
		if strings.Count(tag, ".") < 2 {
			t.Errorf("%s: %q names no full version", where, image)
		}
	}
}

func TestEveryMountedFileIsInTheRepository(t *testing.T) {
	for name, s := range compose(t).Services {
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if !v.ReadOnly {
				t.Errorf("%s: %s is mounted writable", name, v.Source)
			}
		}
	}
}

func TestPortsAreOpenToThisMachineOnly(t *testing.T) {
	for name, s := range compose(t).Services {
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is published on %q", name, p.Published, p.HostIP)
			}
		}
	}
}

func TestTheBuildTargetsAreStagesThatDoNotRunAsRoot(t *testing.T) {
	user := map[string]string{}
	stage := ""
	for line := range strings.Lines(string(read(t, "Dockerfile"))) {
		f := strings.Fields(line)
		switch {
		case len(f) == 4 && f[0] == "FROM":
			stage = f[3]
		case len(f) == 2 && f[0] == "USER":
			user[stage] = f[1]
		}
	}
	for name, s := range compose(t).Services {
		if s.Build == nil {
			continue
		}
		if u := user[s.Build.Target]; u == "" || u == "root" || strings.HasPrefix(u, "0") {
			t.Errorf("%s: stage %q runs as %q", name, s.Build.Target, u)
		}
	}
}

func TestPrometheusReadsItsFile(t *testing.T) {
	c, err := promconfig.LoadFile(filepath.Join(root, "deploy/prometheus.yml"), false, promslog.NewNopLogger())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetScrapeConfigs(); err != nil {
		t.Error(err)
	}
	if len(c.RemoteWriteConfigs) != 1 {
		t.Fatalf("%d remote_write, want one: the relay", len(c.RemoteWriteConfigs))
	}
	serves(t, c.RemoteWriteConfigs[0].URL.Host, "relay")
}

func TestTheRelayReadsItsFile(t *testing.T) {
	c, err := config.Load(filepath.Join(root, "deploy/relay.yml"))
	if err != nil {
		t.Fatal(err)
	}
	serves(t, c.RemoteWrite[0].URL.Host, "mimir")
}

// serves checks that host is the compose service that it should be.
func serves(t *testing.T, host, service string) {
	t.Helper()
	if name, _, _ := strings.Cut(host, ":"); name != service {
		t.Errorf("%s is not the service %s", host, service)
	}
}

func TestTheAdminListenersPasswordIsTheOneDocumented(t *testing.T) {
	path := filepath.Join(root, "deploy/admin-web.yml")
	if err := web.Validate(path); err != nil {
		t.Fatal(err)
	}
	var c struct {
		Users map[string]string `yaml:"basic_auth_users"`
	}
	if err := yaml.Unmarshal(read(t, "deploy/admin-web.yml"), &c); err != nil {
		t.Fatal(err)
	}
	if err := bcrypt.CompareHashAndPassword([]byte(c.Users["admin"]), []byte("pawl")); err != nil {
		t.Errorf("admin, pawl: %v", err)
	}
}

// Mimir itself cannot be had as a library. Its source carries a description of
// every setting; testdata/mimir-keys.txt is the part for the sections used here.
func TestMimirsFileHasOnlyKeysThatMimirKnows(t *testing.T) {
	known := map[string]string{}
	f, err := os.Open("testdata/mimir-keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if key, typ, ok := strings.Cut(s.Text(), " "); ok && key != "#" {
			known[key] = typ
		}
	}
	var c map[string]any
	if err := yaml.UnmarshalStrict(read(t, "deploy/mimir.yaml"), &c); err != nil {
		t.Fatal(err)
	}
	for key, v := range flatten("", c) {
		typ, ok := known[key]
		if !ok {
			t.Errorf("Mimir knows no %s", key)
			continue
		}
		if got := map[string]string{"string": "string", "int": "int", "bool": "boolean"}[fmt.Sprintf("%T", v)]; got != typ {
			t.Errorf("%s is a %s, Mimir wants a %s", key, got, typ)
		}
	}
}

func flatten(prefix string, v any) map[string]any {
	out := map[string]any{}
	add := func(k string, v any) {
		switch v.(type) {
		case map[string]any, map[any]any:
			for k2, v2 := range flatten(prefix+k+".", v) {
				out[k2] = v2
			}
		default:
			out[prefix+k] = v
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			add(k, e)
		}
	case map[any]any:
		for k, e := range v {
			add(fmt.Sprint(k), e)
		}
	}
	return out
}

// A hole in the relay is worth less where it cannot write or gain anything.
func TestTheRelaysContainerCannotWriteItsRootNorGainRights(t *testing.T) {
	for name, s := range compose(t).Services {
		if s.Build == nil {
			continue
		}
		if !s.ReadOnly || len(s.CapDrop) != 1 || s.CapDrop[0] != "ALL" || len(s.SecurityOpt) != 1 || s.SecurityOpt[0] != "no-new-privileges:true" || s.Privileged {
			t.Errorf("%s: read_only %v, cap_drop %v, security_opt %v, privileged %v", name, s.ReadOnly, s.CapDrop, s.SecurityOpt, s.Privileged)
		}
	}
	if d := string(read(t, "Dockerfile")); !strings.Contains(d, "FROM scratch AS relay") {
		t.Error("the relay's image has more in it than the relay")
	}
}
