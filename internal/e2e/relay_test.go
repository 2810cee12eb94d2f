//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pawl/internal/port"
)

// relay is the running binary, with what is needed to start it again as it was.
type relay struct {
	*process
	url, admin string // base URLs of the write and of the admin listener
	config     string // path of its configuration
	logPath    string
	args       []string
}

// relayOptions are what a test wants otherwise than usual.
type relayOptions struct {
	upstream string // URL that it forwards to
	message  string // protobuf_message; empty: the default
	receive  string // more lines of the receive: section, indented by two
	more     string // more sections
}

// yaml is the configuration. The storage's bounds are small: a test machine's disk may be nearly full.
func (o relayOptions) yaml() string {
	message := ""
	if o.message != "" {
		message = "    protobuf_message: " + o.message + "\n"
	}
	return fmt.Sprintf(`remote_write:
  - url: %s
    queue_config:
      min_backoff: 30ms
      max_backoff: 300ms
%sreceive:
  max_in_flight: 256
%sstorage:
  min_free_bytes: 1MB
  max_used_percent: 99
  ballast_bytes: 1MB
%s`, o.upstream, message, o.receive, o.more)
}

// startRelay runs the binary with an empty storage until it is ready.
func startRelay(t *testing.T, o relayOptions) *relay {
	t.Helper()
	dir := t.TempDir()
	r := &relay{
		config:  writeFile(t, filepath.Join(dir, "relay.yml"), o.yaml()),
		logPath: filepath.Join(dir, "relay.log"),
	}
	write, admin := port.ForTest(t), port.ForTest(t)
	r.url, r.admin = "http://"+write, "http://"+admin
	r.args = []string{
		"--config.file=" + r.config,
		"--storage.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=" + write,
		"--admin.listen-address=" + admin,
		"--log.level=debug",
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("---- last lines of the relay:\n%s", lastLines(r.logPath, 100))
		}
	})
	t.Cleanup(func() {
		if log := r.log(); strings.Contains(log, "DATA RACE") {
			t.Errorf("the race detector spoke up in the relay:\n%s", log[strings.Index(log, "DATA RACE"):])
		} else if strings.Contains(log, "BUG:") || strings.Contains(log, "panic:") {
			t.Errorf("the relay panicked, see its log")
		}
	})
	r.start(t)
	return r
}

// start runs the binary on the same storage and ports as before.
func (r *relay) start(t *testing.T) {
	t.Helper()
	r.process = launch(t, r.logPath, relayBinary(t), r.args...)
	r.waitReady(r.url+"/-/ready", time.Minute)
}

// stop asks the relay to end and wants it to drain and end well.
func (r *relay) stop(t *testing.T) {
	t.Helper()
	r.signal(syscall.SIGTERM)
	if code := r.exitCode(15 * time.Second); code != 0 {
		t.Errorf("SIGTERM: the relay ended with %d, want 0", code)
	}
}

// kinds asks the admin API which corrections of a series the relay has made, by kind.
func (r *relay) kinds(t *testing.T, selector string) map[string]int {
	t.Helper()
	var answer struct {
		Status, Error string
		Data          struct {
			Items []struct {
				Kind     string
				Evidence []json.RawMessage
			}
		}
	}
	getJSON(t, r.admin+"/api/v1/corrections?match[]="+url.QueryEscape(selector), &answer)
	if answer.Status != "success" {
		t.Fatalf("list the corrections: %s", answer.Error)
	}
	kinds := map[string]int{}
	for _, c := range answer.Data.Items {
		kinds[c.Kind]++
		if len(c.Evidence) == 0 {
			t.Errorf("a correction of kind %s has no evidence", c.Kind)
		}
	}
	return kinds
}

// refused gives what the upstream answered to the batches that it refused for good.
func (r *relay) refused(t *testing.T) []string {
	t.Helper()
	var answer struct {
		Status, Error string
		Data          struct {
			Items []struct {
				Status int
				Answer string
			}
		}
	}
	getJSON(t, r.admin+"/api/v1/rejected", &answer)
	if answer.Status != "success" {
		t.Fatalf("list the refused batches: %s", answer.Error)
	}
	var all []string
	for _, i := range answer.Data.Items {
		all = append(all, fmt.Sprintf("%d %s", i.Status, i.Answer))
	}
	return all
}

// metric is the sum of the relay's series of that name whose labels contain all the given
// pieces, like `outcome="delivered"`.
func (r *relay) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	resp, err := http.Get(r.admin + "/metrics")
	if err != nil {
		t.Fatalf("get the metrics: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("get the metrics: %v", err)
	}
	sum, found := 0.0, false
lines:
	for line := range strings.Lines(string(body)) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if base, _, _ := strings.Cut(series, "{"); base != name {
			continue
		}
		for _, label := range labels {
			if !strings.Contains(series, label) {
				continue lines
			}
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("metric %s: %v", line, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		t.Fatalf("the relay has no metric %s%v", name, labels)
	}
	return sum
}

func getJSON(t *testing.T, url string, into any) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatalf("get %s: %v", url, err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatalf("get %s: %s: %v", url, resp.Status, err)
	}
}

// relayBinary builds ./cmd/relay once, with the race detector in it; PAWL_E2E_RELAY names
// another to test instead.
func relayBinary(t *testing.T) string {
	t.Helper()
	path, err := buildRelay()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildRelay = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("PAWL_E2E_RELAY"); path != "" {
		return path, nil
	}
	path, err := filepath.Abs("../../.cache/bin/relay-race")
	if err != nil {
		return "", err
	}
	if out, err := exec.Command("go", "build", "-race", "-o", path, "pawl/cmd/relay").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the relay: %w\n%s", err, out)
	}
	return path, nil
})

// configShown is the configuration in force as the admin API shows it.
func (r *relay) configShown(t *testing.T) string {
	t.Helper()
	resp, err := http.Get(r.admin + "/api/v1/config")
	if err != nil {
		t.Fatalf("get the configuration: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("get the configuration: %s %v", resp.Status, err)
	}
	return string(body)
}

// waitLog waits until the relay has printed the word.
func (r *relay) waitLog(t *testing.T, word string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(r.log(), word); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the relay's log does not speak of %q", word)
		}
	}
}

// reload asks for it over HTTP.
func (r *relay) reload(t *testing.T) (status int, body string) {
	t.Helper()
	resp, err := http.Post(r.admin+"/-/reload", "", nil)
	if err != nil {
		t.Fatalf("reload: %v", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("reload: %v", err)
	}
	return resp.StatusCode, string(b)
}
