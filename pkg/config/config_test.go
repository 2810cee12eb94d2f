package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

const upstream = "remote_write:\n  - url: http://mimir:9009/api/v1/push\n"

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse([]byte(text), "relay.yml")
	if err != nil {
		t.Fatalf("refused:\n%v", err)
	}
	return c
}

// The defaults of the contract with the outside (DESIGN.md, part 1).
func TestWhatIsLeftOutHasItsDefault(t *testing.T) {
	c := parse(t, upstream)
	d := func(s string) model.Duration {
		v, err := model.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, f := range []struct {
		key       string
		got, want any
	}{
		{"receive.tenant_header", c.Receive.TenantHeader, "X-Scope-OrgID"},
		{"receive.max_body_bytes", c.Receive.MaxBodyBytes, Bytes(16 << 20)},
		{"receive.max_decoded_bytes", c.Receive.MaxDecodedBytes, Bytes(64 << 20)},
		{"receive.max_labels_per_series", c.Receive.MaxLabels, 128},
		{"receive.max_label_value_bytes", c.Receive.MaxLabelValueBytes, Bytes(64 << 10)},
		{"receive.max_in_flight", c.Receive.MaxInFlight, 256},
		{"receive.max_in_flight_bytes", c.Receive.MaxInFlightBytes, Bytes(128 << 20)},
		{"receive.max_connections", c.Receive.MaxConnections, 1024},
		{"receive.max_tenant_samples_per_second", c.Receive.MaxTenantSamples, 0},
		{"journal.max_bytes", c.Journal.MaxBytes, Bytes(16 << 30)},
		{"journal.sync", c.Journal.Sync.Always(), true},
		{"correct.mode", c.Correct.Mode, "correct"},
		{"correct.join_wait", c.Correct.JoinWait, d("5s")},
		{"correct.forget_after", c.Correct.ForgetAfter, d("720h")},
		{"correct.rules", len(c.Correct.Rules), 0},
		{"ha", c.HA == nil, true},
		{"storage.min_free_bytes", c.Storage.MinFreeBytes, Bytes(512 << 20)},
		{"storage.max_used_percent", c.Storage.MaxUsedPercent, 90},
		{"storage.ballast_bytes", c.Storage.BallastBytes, Bytes(256 << 20)},
		{"remote_write[0].queue_config.max_shards", c.RemoteWrite[0].QueueConfig.MaxShards, 50},
	} {
		if f.got != f.want {
			t.Errorf("%s: %v, want %v", f.key, f.got, f.want)
		}
	}
	if w := c.Warnings(); len(w) != 0 {
		t.Errorf("a file of defaults is warned about: %q", w)
	}
}

func TestASectionOrKeyWithoutAValueKeepsItsDefaults(t *testing.T) {
	c := parse(t, upstream+"receive:\njournal:\n  sync:\ncorrect:\n  rules:\nha:\nstorage: ~\n")
	c.notes, c.RemoteWrite = nil, nil
	want := Default()
	if got := c.String(); got != want.String() {
		t.Errorf("got\n%s\nwant\n%s", got, want.String())
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	c, err := Load(filepath.Join("..", "..", "testdata", "config", "full.yml"))
	if err != nil {
		t.Fatal(err)
	}
	r := c.Correct.Rules
	if len(r) != 3 {
		t.Fatalf("%d rules, want 3", len(r))
	}
	for _, f := range []struct {
		key       string
		got, want any
	}{
		{"tenant_header", c.Receive.TenantHeader, "THANOS-TENANT"},
		{"max_body_bytes", c.Receive.MaxBodyBytes, 8 * MB},
		{"max_decoded_bytes", c.Receive.MaxDecodedBytes, 32 * MB},
		{"max_labels_per_series", c.Receive.MaxLabels, 64},
		{"max_label_value_bytes", c.Receive.MaxLabelValueBytes, 2 * KB},
		{"max_in_flight", c.Receive.MaxInFlight, 64},
		{"max_in_flight_bytes", c.Receive.MaxInFlightBytes, 96 * MB},
		{"max_connections", c.Receive.MaxConnections, 200},
		{"max_tenant_samples_per_second", c.Receive.MaxTenantSamples, 50_000},
		{"max_bytes", c.Journal.MaxBytes, 1536 * MB},
		{"sync", time.Duration(c.Journal.Sync.Interval), 200 * time.Millisecond},
		{"join_wait", time.Duration(c.Correct.JoinWait), 10 * time.Second},
		{"forget_after", time.Duration(c.Correct.ForgetAfter), 30 * 24 * time.Hour},
		{"rules[0].losses", r[0].Losses, LossesHold},
		{"rules[0].resets", r[0].Resets, ResetsFold},
		{"rules[1].type", r[1].Type, TypeGauge},
		{"rules[2].resets", r[2].Resets, ResetsPass},
		{"rules[2].impute", r[2].Impute, true},
		{"rules[2].wrap", r[2].Wrap, 53},
		{"cluster_label", c.HA.ClusterLabel, "team"},
		{"replica_label", c.HA.ReplicaLabel, "instance_of"},
		{"failover_timeout", time.Duration(c.HA.FailoverTimeout), 45 * time.Second},
		{"min_free_bytes", c.Storage.MinFreeBytes, GB},
		{"max_used_percent", c.Storage.MaxUsedPercent, 80},
		{"ballast_bytes", c.Storage.BallastBytes, Bytes(0)},
		{"max_shards", c.RemoteWrite[0].QueueConfig.MaxShards, 8},
		{"protobuf_message", string(c.RemoteWrite[0].ProtobufMessage), "io.prometheus.write.v2.Request"},
	} {
		if f.got != f.want {
			t.Errorf("%s: %v, want %v", f.key, f.got, f.want)
		}
	}
}

func TestRelativeFilesAreTakenFromTheConfigurationsDirectory(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "relay.yml")
	text := upstream + "    authorization:\n      credentials_file: token\n    tls_config:\n      ca_file: certs/ca.pem\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	h := c.RemoteWrite[0].HTTPClientConfig
	if got, want := h.Authorization.CredentialsFile, filepath.Join(dir, "token"); got != want {
		t.Errorf("credentials_file %s, want %s", got, want)
	}
	if got, want := h.TLSConfig.CAFile, filepath.Join(dir, "certs", "ca.pem"); got != want {
		t.Errorf("ca_file %s, want %s", got, want)
	}
}

func TestARuleMatchesWhereAllItsMatchersDo(t *testing.T) {
	c := parse(t, upstream+`correct: {rules: [{match: 'node_cpu_seconds_total{mode=~"io.*",cpu!="0"}'}]}`)
	r := &c.Correct.Rules[0]
	for _, s := range []struct {
		ls   labels.Labels
		want bool
	}{
		{labels.FromStrings("__name__", "node_cpu_seconds_total", "mode", "iowait", "cpu", "1"), true},
		{labels.FromStrings("__name__", "node_cpu_seconds_total", "mode", "iowait"), true},
		{labels.FromStrings("__name__", "node_cpu_seconds_total", "mode", "iowait", "cpu", "0"), false},
		{labels.FromStrings("__name__", "node_cpu_seconds_total", "mode", "idle", "cpu", "1"), false},
		{labels.FromStrings("__name__", "other", "mode", "iowait", "cpu", "1"), false},
	} {
		if got := r.Matches(s.ls); got != s.want {
			t.Errorf("%s: %v, want %v", s.ls, got, s.want)
		}
	}
}

func TestWhatGoesThroughTheJournalReadsBackAsItWasWritten(t *testing.T) {
	c, err := Load(filepath.Join("..", "..", "testdata", "config", "full.yml"))
	if err != nil {
		t.Fatal(err)
	}
	b := c.Decisions().YAML()
	again, err := ParseDecisions(b, "journal record 7")
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, b)
	}
	if string(again.YAML()) != string(b) || len(again.Rules) != 3 || len(again.Rules[2].Matchers) != 2 {
		t.Errorf("got\n%s\nwant\n%s", again.YAML(), b)
	}
	if h := again.HA; h == nil || *h != (HA{"team", "instance_of", model.Duration(45 * time.Second)}) {
		t.Errorf("ha reads back as %+v", h)
	}
	for _, bad := range []string{"mode: correct\njoin_wait: 1\n", "mode: correct\nha: {failover_timeout: 1}\n", "mode: correct\nha: {cluster: a}\n"} {
		_, err = ParseDecisions([]byte(bad), "journal record 7")
		if err == nil || !strings.HasPrefix(err.Error(), "journal record 7:2: ") {
			t.Errorf("a bad record %q: %v", bad, err)
		}
	}
	_, err = ParseDecisions([]byte("mode: correct\njoin_wait: 1\n"), "journal record 7")
	if err == nil || !strings.HasPrefix(err.Error(), "journal record 7:2: join_wait: ") {
		t.Errorf("a bad section on its own: %v", err)
	}
}

func TestAURLAloneIsAConfigurationOfDefaults(t *testing.T) {
	c, err := ForURL("https://user:pa55word@mimir.example/api/v1/push")
	if err != nil {
		t.Fatal(err)
	}
	want := parse(t, "remote_write: [{url: https://user:pa55word@mimir.example/api/v1/push}]")
	if c.String() != want.String() {
		t.Errorf("got\n%s\nwant\n%s", c, want)
	}
	if pw, _ := c.RemoteWrite[0].URL.User.Password(); pw != "pa55word" {
		t.Errorf("password %q", pw)
	}
	for _, bad := range []string{"", "mimir:9009/api/v1/push", "localhost", "ftp://mimir/x", "http://", "http://u:hunter2canary@host:port/", "http://u:hunter2canary#x@host/", "%zz"} {
		_, err := ForURL(bad)
		var p *Problem
		if !errors.As(err, &p) {
			t.Errorf("%q: %v, want a problem", bad, err)
			continue
		}
		if !strings.HasPrefix(err.Error(), "--remote-write.url: ") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestAMissingFileIsNamed(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "absent.yml"))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "absent.yml") {
		t.Error(err)
	}
}
