//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"pawl/internal/port"
)

// runRelay runs the binary to its end, at most limit, and gives what it printed (both
// streams) and its exit code.
func runRelay(t *testing.T, limit time.Duration, args ...string) (string, int) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "cli.log")
	p := startProcess(t, log, relayBinary(t), args...)
	code := p.exitCode(limit)
	_, printed, _ := strings.Cut(p.log(), "\n") // after the command line
	return printed, code
}

// 0 is fine, 1 failed, 2 is wrong usage or configuration.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := writeFile(t, filepath.Join(dir, "good.yml"), relayOptions{upstream: "http://127.0.0.1:9/write"}.yaml())
	unknownKey := writeFile(t, filepath.Join(dir, "unknown.yml"),
		"remote_write:\n  - url: http://127.0.0.1:9/write\njournal:\n  max_bites: 1GB\n")
	badValue := writeFile(t, filepath.Join(dir, "value.yml"),
		"remote_write:\n  - url: http://127.0.0.1:9/write\ncorrect:\n  mode: sometimes\n")
	noUpstream := writeFile(t, filepath.Join(dir, "none.yml"), "receive:\n  max_in_flight: 10\n")
	busy := startRecorder(t)
	busyAddr := strings.TrimPrefix(busy.url, "http://")
	storage := "--storage.path=" + filepath.Join(dir, "data")

	for _, c := range []struct {
		name string
		args []string
		code int
		says []string // all of them
	}{
		{"version", []string{"--version"}, 0, []string{"relay", "version", "go1."}},
		{"help", []string{"--help"}, 0, []string{"run", "check-config", "demo"}},
		{"help of run", []string{"run", "--help"}, 0, []string{"--config.file", "--remote-write.url", "--storage.path", "--web.listen-address",
			"--admin.listen-address", "--web.config.file", "--admin.web.config.file", "--log.level", "--log.format"}},
		{"unknown flag", []string{"--no-such-flag"}, 2, []string{"no-such-flag"}},
		{"unknown command", []string{"no-such-command"}, 2, []string{"no-such-command"}},
		{"good configuration", []string{"check-config", good}, 0, nil},
		{"unknown key", []string{"check-config", unknownKey}, 2, []string{"unknown.yml", "4", "max_bites"}},
		{"bad value", []string{"check-config", badValue}, 2, []string{"value.yml", "4", "mode", "sometimes"}},
		{"no upstream", []string{"check-config", noUpstream}, 2, []string{"remote_write"}},
		{"no such file", []string{"check-config", filepath.Join(dir, "nothing.yml")}, 2, []string{"nothing.yml"}},
		{"run with a bad configuration", []string{"--config.file=" + unknownKey, storage}, 2, []string{"max_bites"}},
		{"run with nothing to write to", []string{storage}, 2, []string{"remote_write"}},
		{"write port taken", []string{"--remote-write.url=" + busy.url, storage, "--web.listen-address=" + busyAddr,
			"--admin.listen-address=" + port.ForTest(t)}, 1, []string{busyAddr}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, code := runRelay(t, time.Minute, c.args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, word := range c.says {
				if !strings.Contains(out, word) {
					t.Errorf("it does not say %q", word)
				}
			}
			if t.Failed() {
				t.Logf("it says:\n%s", out)
			}
		})
	}
}

// Flags alone can run it, and both signals to stop end it well.
func TestSignalsDrainAndExitZero(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			upstream := startRecorder(t)
			addr := port.ForTest(t)
			p := startProcess(t, filepath.Join(t.TempDir(), "relay.log"), relayBinary(t),
				"--remote-write.url="+upstream.url, "--storage.path="+filepath.Join(t.TempDir(), "data"),
				"--web.listen-address="+addr, "--admin.listen-address="+port.ForTest(t))
			p.waitReady("http://"+addr+"/-/ready", time.Minute)
			vectors := readVectors(t)[:1]
			all, _ := vectors[0].samples()
			for k := range all {
				push(t, "http://"+addr+"/api/v1/write", messageV1, requestV1(t, vectors, k))
			}
			p.signal(sig) // at once: what was acknowledged is to be drained
			if code := p.exitCode(15 * time.Second); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			if got := len(upstream.recorded(t)[vectors[0].labels().String()]); got != len(all) {
				t.Errorf("%d of %d acknowledged samples are upstream", got, len(all))
			}
		})
	}
}

// A bad new configuration is refused whole and the old one runs on; a good one is taken.
func TestReloadRefusesABadConfigurationWhole(t *testing.T) {
	t.Parallel()
	upstream := startRecorder(t)
	r := startRelay(t, relayOptions{upstream: upstream.url})
	before := r.configShown(t)

	good, err := os.ReadFile(r.config)
	if err != nil {
		t.Fatal(err)
	}
	bad := strings.Replace(string(good), "max_in_flight: 256", "max_in_flight: 255\n  no_such_key: 1", 1)
	writeFile(t, r.config, bad)
	r.signal(syscall.SIGHUP)
	r.waitLog(t, "no_such_key")
	if status, body := r.reload(t); status/100 == 2 || !strings.Contains(body, "no_such_key") {
		t.Errorf("POST /-/reload of a bad configuration: %d %s", status, body)
	}
	if now := r.configShown(t); now != before {
		t.Errorf("the refused configuration shows:\n%s\nbefore:\n%s", now, before)
	}
	v := readVectors(t)[:1]
	push(t, r.url+"/api/v1/write", messageV1, requestV1(t, v, 0)) // still takes writes

	writeFile(t, r.config, strings.Replace(string(good), "max_in_flight: 256", "max_in_flight: 254", 1))
	r.signal(syscall.SIGHUP)
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(r.configShown(t), "254"); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the good configuration was not taken:\n%s", r.configShown(t))
		}
	}
	r.stop(t)
}

// Rule: a SIGHUP never ends the relay, not even while it opens its storage, when there is nothing to reload into yet: it is reloaded then.
func TestHangUpWhileStartingReloads(t *testing.T) {
	t.Parallel()
	upstream := startRecorder(t)
	dir := t.TempDir()
	log := filepath.Join(dir, "relay.log")
	web := port.ForTest(t)
	p := startProcess(t, log, relayBinary(t), "--remote-write.url="+upstream.url, "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+web, "--admin.listen-address="+port.ForTest(t))
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(p.log(), "msg=starting"); {
		if time.Now().After(deadline) {
			t.Fatal("it does not start")
		}
	}
	p.signal(syscall.SIGHUP)
	p.waitReady("http://"+web+"/-/ready", 20*time.Second)
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(p.log(), "the configuration was reloaded"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it was not reloaded")
		}
	}
	p.signal(syscall.SIGTERM)
	if code := p.exitCode(20 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// The demo needs nothing, ends by itself within a minute and shows the table of its README.
func TestDemoShowsTheTable(t *testing.T) {
	t.Parallel()
	out, code := runRelay(t, time.Minute, "demo")
	if code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	// What PromQL makes of the kernel panic's eleven points, raw and corrected: 72932 too many, and 4.
	if !regexp.MustCompile(`7293\d`).MatchString(out) {
		t.Errorf("the table does not show the false increase:\n%s", out)
	}
	for _, word := range []string{"PromQL", "truth"} {
		if !strings.Contains(strings.ToLower(out), strings.ToLower(word)) {
			t.Errorf("the table has no column %q:\n%s", word, out)
		}
	}
}
