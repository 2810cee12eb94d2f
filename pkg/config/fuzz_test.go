package config

import (
	"os"
	"testing"

	"pawl/internal/proportion"
)

// Whatever is in the file, reading it ends with a configuration or an error, and
// what was accepted can be shown and read back.
func FuzzParse(f *testing.F) {
	full, err := os.ReadFile("../../testdata/config/full.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(full), upstream, "", "---", "- a", "a: [", "remote_write: [{url: 'http://a/'}]\nha: {}\n",
		"a: &a [*a]", "remote_write: &r\n  - &u {url: http://a/, headers: &h {a: b}}\nreceive: *r\n",
		"remote_write:\n  - <<: {url: http://a/}\n    tls_config: {min_version: TLS13}\n",
		upstream + "correct: {rules: [{match: '{a=~\"(\"}', wrap: 0x20}]}\n",
		"remote_write: [{url: http://a/, remote_timeout: x, queue_config: {min_backoff: x}, write_relabel_configs: [{regex: (}]}]",
		"x: &x [a,a,a,a]\ny: &y [*x,*x,*x,*x]\nremote_write: [{url: http://a/, headers: *y}]\n",
		"? [a, b]\n: c\n", "!!binary a: b", "remote_write: [{? {a: b} : c}]", "%YAML 1.1\n---\n{}\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var (
			c   *Config
			err error
		)
		proportion.Check(t, len(b), 8<<20, 20_000, func() { c, err = Parse(b, "fuzz") }) // aliases are not multiplied without end
		if err != nil {
			_ = err.Error()
			return
		}
		_ = c.Warnings()
		shown := c.String()
		if _, err := Parse([]byte(shown), "shown"); err != nil {
			t.Fatalf("accepted, but not when shown: %v\n%s", err, shown)
		}
	})
}
