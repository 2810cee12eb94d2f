package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	promconfig "github.com/prometheus/prometheus/config"
	"go.yaml.in/yaml/v3"

	"pawl/pkg/config"
)

var (
	yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	link      = regexp.MustCompile(`\]\(([^)#]*)(#[^)]*)?\)`)
	heading   = regexp.MustCompile(`(?m)^#+ (.*)$`)
	metric    = regexp.MustCompile(`pawl_[a-z0-9_]*[a-z0-9]`)
	keyRow    = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([^|]*) \\|")
)

// The README's examples are what people paste.
func TestTheReadmesConfigurationIsValid(t *testing.T) {
	relays, senders := 0, 0
	for _, block := range yamlBlock.FindAllStringSubmatch(string(read(t, "README.md")), -1) {
		prometheus, relay, both := strings.Cut(block[1], "# relay.yml\n")
		if !both {
			relay = block[1]
		} else {
			senders++
			if _, err := promconfig.Load(prometheus, promslog.NewNopLogger()); err != nil {
				t.Errorf("%v in\n%s", err, prometheus)
			}
		}
		if !strings.Contains(relay, "remote_write:") { // a section alone
			relay = "remote_write:\n  - url: http://upstream/api/v1/push\n" + relay
		}
		relays++
		if _, err := config.Parse([]byte(relay), "README.md"); err != nil {
			t.Errorf("%v in\n%s", err, relay)
		}
	}
	if relays < 3 || senders < 2 {
		t.Errorf("found %d configurations of the relay and %d of a sender", relays, senders)
	}
}

// pages are the paths of all pages.
func pages(t *testing.T) (pages []string) {
	t.Helper()
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	return pages
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// anchors are what a link may name behind #, as the sites that show these pages make it of headings.
func anchors(page string) map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		all[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])] = true
	}
	return all
}

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(text(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			to := page
			if m[1] != "" {
				to = filepath.Join(filepath.Dir(page), m[1])
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: %v", page, err)
			} else if m[2] != "" && !anchors(text(t, to))[m[2][1:]] {
				t.Errorf("%s: %s has no heading %s", page, to, m[2])
			}
		}
	}
}

func TestThePagesNameMetricsThatTheRelayHas(t *testing.T) {
	known := metrics(t)
	for _, page := range pages(t) {
		for _, name := range metric.FindAllString(text(t, page), -1) {
			if !known[name] {
				t.Errorf("%s: the relay has no metric %s", page, name)
			}
		}
	}
}

// Rule: docs/configuration.md has every key, with the default that is in force without it.
func TestEveryKeyIsDocumentedWithItsDefault(t *testing.T) {
	cfg, err := config.Parse([]byte("remote_write: [{url: http://upstream/}]\nha: {}\n"), "test")
	if err != nil {
		t.Fatal(err)
	}
	var inForce map[string]any
	if err := yaml.Unmarshal([]byte(cfg.String()), &inForce); err != nil {
		t.Fatal(err)
	}
	documented := 0
	for _, section := range strings.Split(string(read(t, "docs/configuration.md")), "\n## ")[1:] {
		name, body, _ := strings.Cut(section, "\n")
		keys, ok := inForce[name].(map[string]any)
		if !ok || name == "remote_write" {
			continue
		}
		body, _, _ = strings.Cut(body, "\nEach rule:") // a rule has no value in force
		said := map[string]string{}
		for _, row := range keyRow.FindAllStringSubmatch(body, -1) {
			said[row[1]] = strings.Trim(row[2], "`")
		}
		for key, value := range keys {
			documented++
			if value := fmt.Sprint(value); said[key] != value && !sameDuration(said[key], value) {
				t.Errorf("%s.%s: the page says %q, in force is %q", name, key, said[key], value)
			}
			delete(said, key)
		}
		delete(said, "rules")
		if len(said) > 0 {
			t.Errorf("%s: there are no keys %v", name, said)
		}
	}
	if documented < 15 {
		t.Errorf("only %d keys were compared", documented)
	}
}

func sameDuration(a, b string) bool {
	x, err := model.ParseDuration(a)
	y, err2 := model.ParseDuration(b)
	return err == nil && err2 == nil && x == y
}
