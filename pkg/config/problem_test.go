package config

import (
	"errors"
	"strings"
	"testing"
)

// Each case is a file and the beginnings of all lines that must be reported, in order.
func TestEveryProblemNamesItsLineAndKey(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       []string
	}{
		{"nothing at all", "", []string{"relay.yml: remote_write: must have exactly one item, the upstream; found 0"}},
		{"only a comment", "# nothing\n", []string{"relay.yml: remote_write: must have exactly one item"}},
		{"no YAML", "a: [", []string{"relay.yml: not YAML: line 1: "}},
		{"a list", "- a\n", []string{"relay.yml:1: must be a mapping of sections"}},
		{"two documents", upstream + "---\ncorrect: {mode: correct}\n", []string{"relay.yml:3: more than one YAML document"}},
		{"two upstreams", upstream + "  - url: http://b/\n", []string{"relay.yml:1: remote_write: must have exactly one item, the upstream; found 2"}},
		{"an upstream that is no list", "remote_write:\n  url: http://a/\n", []string{`relay.yml:1: remote_write: must be a list with one item, starting with "- url:"; found a section of keys`}},
		{"an empty upstream", "remote_write:\n  -\n", []string{"relay.yml:2: remote_write[0]: must be a section of keys"}},
		{"no url", "remote_write:\n  - name: a\n", []string{"relay.yml:2: remote_write[0]: url for remote_write is empty"}},
		{"unknown section", upstream + "recieve: {}\n", []string{"relay.yml:3: recieve: unknown key; did you mean receive?"}},
		{"unknown key", upstream + "receive:\n  max_body_byte: 1MB\n", []string{"relay.yml:4: receive.max_body_byte: unknown key; did you mean max_body_bytes?"}},
		{"another unknown key", upstream + "journal:\n  colour: red\n", []string{"relay.yml:4: journal.colour: unknown key; known here: max_bytes, sync"}},
		{"unknown key of a rule", upstream + "correct:\n  rules:\n    - match: a\n    - match: b\n      reset: pass\n", []string{"relay.yml:7: correct.rules[1].reset: unknown key; did you mean resets?"}},
		{"unknown key of the upstream", upstream + "    ur: x\n", []string{"relay.yml:3: remote_write[0].ur: unknown key; did you mean url?"}},
		{"unknown key within the upstream", upstream + "    queue_config:\n      max_shard: 1\n", []string{"relay.yml:4: remote_write[0].queue_config.max_shard: unknown key; did you mean max_shards?"}},
		{"unknown key of a relabelling", upstream + "    write_relabel_configs:\n      - action: drop\n        regexp: a\n", []string{"relay.yml:5: remote_write[0].write_relabel_configs[0].regexp: unknown key; did you mean regex?"}},
		{"a key twice", upstream + "receive: {}\nreceive: {}\n", []string{"relay.yml:4: receive: given twice, first in line 3"}},
		{"a key of the upstream twice", upstream + "    name: a\n    name: b\n", []string{"relay.yml:4: remote_write[0].name: given twice"}},
		{"kinds of values", upstream + `receive:
  max_labels_per_series: many
  max_in_flight: [1]
  max_body_bytes: 16
correct:
  join_wait: 5
  rules:
    - match: a
      impute: maybe
      wrap: 16
  mode: {a: b}
storage: 5
`, []string{
			`relay.yml:4: receive.max_labels_per_series: "many" is not a whole number`,
			"relay.yml:5: receive.max_in_flight: must be a single value, found a list",
			`relay.yml:6: receive.max_body_bytes: "16" is not a size: write a number and one of B, KB, MB, GB, TB`,
			`relay.yml:8: correct.join_wait: "5" is not a duration: write a number and one of ms, s, m, h`,
			`relay.yml:11: correct.rules[0].impute: "maybe" is not true or false`,
			"relay.yml:12: correct.rules[0].wrap: 16 is not one of 0, 32, 53, 64 (bits)",
			"relay.yml:13: correct.mode: must be a single value, found a section of keys",
			"relay.yml:14: storage: must be a section with the keys min_free_bytes, max_used_percent, ballast_bytes; found a single value",
		}},
		{"words", upstream + `correct:
  mode: watch
  rules:
    - match: a
      type: summary
      resets: marks
      losses: never
    - match: b
      resets: drop
ha:
  cluster_label: c
  replica_label: c
  failover_timeout: 10ms
journal:
  sync: sometimes
`, []string{
			`relay.yml:4: correct.mode: "watch" is not one of: correct, observe`,
			`relay.yml:7: correct.rules[0].type: "summary" is not one of: counter, gauge, auto`,
			`relay.yml:8: correct.rules[0].resets: "marks" is not one of: fold, pass, mark`,
			`relay.yml:9: correct.rules[0].losses: "never" is not one of: auto, restore, hold`,
			`relay.yml:11: correct.rules[1].resets: "drop" is not one of: fold, pass, mark`,
			`relay.yml:14: ha.replica_label: "c" is the cluster label, too`,
			"relay.yml:15: ha.failover_timeout: 10ms is outside of 1s to 1d",
			`relay.yml:17: journal.sync: "sometimes" is neither "always" nor an interval`,
		}},
		{"selectors", upstream + `correct:
  rules:
    - type: counter
    - match: 'a{b="c'
    - match: '{}'
    - match: 'rate(a[5m])'
    - match: 'a offset 5m'
`, []string{
			"relay.yml:5: correct.rules[0].match: missing: a rule needs a selector",
			`relay.yml:6: correct.rules[1].match: "a{b=\"c" is not a PromQL selector: `,
			`relay.yml:7: correct.rules[2].match: "{}" `,
			`relay.yml:8: correct.rules[3].match: "rate(a[5m])" is not a PromQL selector: `,
			`relay.yml:9: correct.rules[4].match: "a offset 5m" is not a PromQL selector: `,
		}},
		{"ranges", upstream + `receive:
  max_body_bytes: 2GB
  max_decoded_bytes: 0
  max_in_flight: 0
  max_labels_per_series: -1
  tenant_header: Content-Type
journal:
  max_bytes: 1KB
  sync: 1h
correct:
  join_wait: 1h
  forget_after: 0s
storage:
  max_used_percent: 101
  min_free_bytes: 99999999TB
`, []string{
			"relay.yml:4: receive.max_body_bytes: 2GB is outside of 1B to 1GB",
			"relay.yml:5: receive.max_decoded_bytes: 0 is outside of 1B to 1GB",
			"relay.yml:6: receive.max_in_flight: 0 is outside of 1 to 100000",
			"relay.yml:7: receive.max_labels_per_series: -1 is outside of 1 to 10000",
			`relay.yml:8: receive.tenant_header: "Content-Type" has a meaning of its own`,
			"relay.yml:10: journal.max_bytes: 1KB is less than receive.max_body_bytes (2GB)",
			"relay.yml:11: journal.sync: an interval of 1h is outside of 1ms to 10s",
			"relay.yml:13: correct.join_wait: 1h is outside of 0s to 5m",
			"relay.yml:14: correct.forget_after: 0s must be longer than join_wait (1h)",
			"relay.yml:16: storage.max_used_percent: 101 is outside of 1 to 100",
			`relay.yml:17: storage.min_free_bytes: "99999999TB" is too large a size`,
		}},
		{"less than one request may hold", upstream + `receive:
  max_decoded_bytes: 256MB
  max_connections: 0
  max_tenant_samples_per_second: -1
`, []string{
			"relay.yml:3: receive.max_in_flight_bytes: 128MB is less than receive.max_body_bytes and receive.max_decoded_bytes together (272MB)",
			"relay.yml:5: receive.max_connections: 0 is outside of 1 to 100000",
			"relay.yml:6: receive.max_tenant_samples_per_second: -1 is outside of 0 to 1000000000",
		}},
		{"the upstream's values, all of them", `remote_write:
  - url: mimir:9009/api/v1/push
    remote_timeout: 30
    name: [a]
`, []string{
			`relay.yml:3: remote_write[0].remote_timeout: not a valid duration string: "30"; write a number and a unit, such as 30s`,
			"relay.yml:4: remote_write[0].name: found a list, where a text belongs",
		}},
		{"the upstream's scheme", "remote_write:\n  - url: mimir:9009/api/v1/push\n", []string{"relay.yml:2: remote_write[0].url: must start with http:// or https://"}},
		{"deep in the upstream", upstream + `    remote_timeout: soon
    queue_config:
      max_shards: 3
      min_backoff: 5x
    write_relabel_configs:
      - action: keep
        regex: a
      - action: keep
        regex: '('
`, []string{
			`relay.yml:3: remote_write[0].remote_timeout: not a valid duration string: "soon"`,
			`relay.yml:6: remote_write[0].queue_config.min_backoff: unknown unit "x" in duration "5x"`,
			"relay.yml:11: remote_write[0].write_relabel_configs[1].regex: error parsing regexp",
		}},
		{"the upstream's settings together", upstream + `    basic_auth: {username: a, password: b}
    authorization: {credentials: c}
`, []string{"relay.yml:2: remote_write[0]: at most one of basic_auth, oauth2 & authorization must be configured"}},
		{"through an anchor", "x: &x\n  max_bodi: 1\nreceive: *x\n" + upstream, []string{
			"relay.yml:1: x: unknown key; known here: remote_write",
			"relay.yml:2: receive.max_bodi: unknown key",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := Parse([]byte(tc.text), "relay.yml")
			if err == nil {
				t.Fatalf("accepted as\n%s", c)
			}
			got := strings.Split(err.Error(), "\n")
			for i := range max(len(got), len(tc.want)) {
				switch {
				case i >= len(got):
					t.Errorf("not reported: %s", tc.want[i])
				case i >= len(tc.want):
					t.Errorf("not expected: %s", got[i])
				case !strings.HasPrefix(got[i], tc.want[i]):
					t.Errorf("got  %s\nwant %s...", got[i], tc.want[i])
				}
			}
			var p *Problem
			if !errors.As(err, &p) || p.File != "relay.yml" {
				t.Errorf("no *Problem in %v", err)
			}
		})
	}
}

func TestSettingsWithoutEffectAreTold(t *testing.T) {
	c := parse(t, upstream+`    name: mimir
    round_robin_dns: true
    send_exemplars: true
    send_native_histograms: true
    failed_request_logging: true
    follow_redirects: true
    metadata_config: {send: false}
    queue_config:
      capacity: 1
      max_shards: 100
      min_shards: 2
      max_samples_per_send: 1
      batch_send_deadline: 1s
      min_backoff: 1s
      max_backoff: 1m
      retry_on_http_429: false
      sample_age_limit: 1h
ha: {}
correct:
  mode: observe
  join_wait: 10s
  rules:
    - {match: a, type: gauge, wrap: 32}
    - {match: b}
    - {match: a}
`)
	got := c.Warnings()
	for _, key := range []string{
		"remote_write[0].queue_config.retry_on_http_429", "remote_write[0].follow_redirects", "remote_write[0].queue_config.capacity",
		"remote_write[0].queue_config.min_shards", "remote_write[0].queue_config.max_samples_per_send",
		"remote_write[0].queue_config.batch_send_deadline", "remote_write[0].queue_config.sample_age_limit", "remote_write[0].name",
		"remote_write[0].round_robin_dns", "remote_write[0].send_exemplars", "remote_write[0].send_native_histograms",
		"remote_write[0].metadata_config", "remote_write[0].failed_request_logging", "ha", "correct.rules[0]", "correct.rules[2]",
	} {
		if len(got) == 0 || !strings.HasPrefix(got[0], key+": ") {
			t.Fatalf("next is %s, got %q", key, got)
		}
		got = got[1:]
	}
	if len(got) > 0 {
		t.Errorf("told for no reason: %q", got)
	}
	if !c.RemoteWrite[0].QueueConfig.RetryOnRateLimit || c.RemoteWrite[0].HTTPClientConfig.FollowRedirects {
		t.Error("429 must be retried and redirects must not be followed, whatever the file says")
	}
}
