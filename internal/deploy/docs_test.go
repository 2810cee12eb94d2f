package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/common/promslog"
	promconfig "github.com/prometheus/prometheus/config"

	"pawl/pkg/config"
)

var (
	yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	link      = regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
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

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	var pages []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	for _, page := range pages {
		body, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(body), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}
