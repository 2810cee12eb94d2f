//go:build rig

package rig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pawl/internal/port"
)

// relay is the binary as a child process, again and again on the same storage and ports.
type relay struct {
	dir        string
	binary     string
	url, admin string
	args       []string
	env        []string // tuning of the test build
	logPath    string

	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	err  error         // read it after done
	born time.Time
}

// relayOptions are what a row wants otherwise than usual.
type relayOptions struct {
	message    string        // protobuf_message
	checkpoint time.Duration // instead of 300 ms; negative: the relay's own
	segment    int           // bytes, instead of 64 KiB; negative: the relay's own
	memory     int           // bytes, instead of the relay's own
	timeout    time.Duration // remote_timeout, instead of 2 s
}

// settings are the relay's. Parts of a histogram wait for one another longer than a restart takes.
const settings = `remote_write:
  - url: %s
    protobuf_message: %s
    remote_timeout: %s
    queue_config: {min_backoff: 30ms, max_backoff: 300ms}
correct:
  join_wait: 60s
storage: {min_free_bytes: 1MB, max_used_percent: 99, ballast_bytes: 1MB}
`

// newRelay prepares one with an empty storage under dir.
func newRelay(t *testing.T, dir, upstreamURL string, o relayOptions) *relay {
	t.Helper()
	r := &relay{dir: dir, binary: relayBinary(t), logPath: filepath.Join(dir, "relay.log")}
	if o.message == "" {
		o.message = messageV1
	}
	if o.timeout == 0 {
		o.timeout = 2 * time.Second
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "relay.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, settings, upstreamURL, o.message, o.timeout), 0o644); err != nil {
		t.Fatal(err)
	}
	write, admin := port.ForTest(t), port.ForTest(t)
	r.url, r.admin = "http://"+write, "http://"+admin
	r.args = []string{"--config.file=" + config, "--storage.path=" + r.data(), "--web.listen-address=" + write, "--admin.listen-address=" + admin}
	r.tune("PAWL_CHECKPOINT_EVERY", o.checkpoint, 300*time.Millisecond)
	r.tune("PAWL_SEGMENT_BYTES", o.segment, 64<<10)
	r.tune("PAWL_MEMORY_BYTES", o.memory, 0)
	t.Cleanup(r.kill)
	t.Cleanup(func() {
		if log, err := os.ReadFile(r.logPath); err == nil && bytes.Contains(log, []byte("WARNING: DATA RACE")) {
			t.Errorf("the race detector found something, see %s", r.logPath)
		}
		if t.Failed() {
			t.Logf("---- last lines of the relay:\n%s", lastLines(r.logPath, 40))
		}
	})
	return r
}

// tune sets a variable to what the row wants, or else the usual value; a
// negative one leaves the relay's own.
func (r *relay) tune(env string, want, usual any) {
	if want == 0 || want == time.Duration(0) {
		want = usual
	}
	if s := fmt.Sprint(want); s != "0" && !strings.HasPrefix(s, "-") {
		r.env = append(r.env, env+"="+s)
	}
}

func (r *relay) data() string { return filepath.Join(r.dir, "data") }

// start runs the binary; more of the environment may say where it kills itself.
func (r *relay) start(env ...string) error {
	log, err := os.OpenFile(r.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own copy
	fmt.Fprintf(log, "== %s relay %s\n", time.Now().UTC().Format(time.RFC3339Nano), strings.Join(env, " "))
	cmd := exec.Command(r.binary, r.args...)
	cmd.Env = append(append(os.Environ(), r.env...), env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it does not outlive this process
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	r.cmd, r.done, r.born = cmd, done, time.Now()
	go func() {
		r.err = cmd.Wait()
		close(done)
	}()
	return nil
}

// ready starts the relay and waits until it takes requests.
func (r *relay) ready(t *testing.T) {
	t.Helper()
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	if err := r.awaitReady(30 * time.Second); err != nil {
		t.Fatal(err)
	}
}

func (r *relay) awaitReady(limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		select {
		case <-r.done:
			return fmt.Errorf("the relay ended before it was ready: %w\n%s", r.err, lastLines(r.logPath, 5))
		default:
		}
		resp, err := client.Get(r.url + "/-/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the relay is not ready within %v", limit)
		}
	}
}

// kill ends it with SIGKILL.
func (r *relay) kill() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill() // gone already: fine
	<-r.done
}

// ended tells whether it has ended within limit, and whether SIGKILL ended it.
func (r *relay) ended(limit time.Duration) (yes, killed bool) {
	timer := time.NewTimer(max(limit, time.Millisecond))
	defer timer.Stop()
	select {
	case <-r.done:
	case <-timer.C:
		return false, false
	}
	var exit *exec.ExitError
	if errors.As(r.err, &exit) {
		if s, ok := exit.Sys().(syscall.WaitStatus); ok {
			return true, s.Signaled() && s.Signal() == syscall.SIGKILL
		}
	}
	return true, false
}

// stop ends it with SIGTERM and wants it to end well.
func (r *relay) stop(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if yes, _ := r.ended(15 * time.Second); !yes {
		t.Fatal("SIGTERM: the relay does not end within 15 s")
	}
	if r.err != nil {
		t.Errorf("SIGTERM: the relay ended with %v, want 0", r.err)
	}
}

// log is everything that the relay has printed.
func (r *relay) log() string {
	b, _ := os.ReadFile(r.logPath)
	return string(b)
}

// metrics are the relay's own now, by name and labels as they stand in the text format.
func (r *relay) metrics() (map[string]float64, error) {
	resp, err := client.Get(r.admin + "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		if all[name], err = strconv.ParseFloat(text, 64); err != nil {
			return nil, fmt.Errorf("metric %q: %w", line, err)
		}
	}
	return all, nil
}

func lastLines(path string, n int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
