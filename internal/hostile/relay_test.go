package hostile

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// torture is for long runs: go test ./internal/hostile -run Ceiling -torture 180 -timeout 60m
var torture = flag.Int("torture", 1, "how long the overload lasts, in minutes")

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "pawl-hostile")
	if err != nil {
		panic(err)
	}
	binary.path = filepath.Join(dir, "relay")
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// binary is the relay, built once a run by the first test that needs it.
var binary struct {
	once sync.Once
	path string
	err  error
}

func relayBinary(t *testing.T) string {
	t.Helper()
	binary.once.Do(func() {
		if out, err := exec.Command("go", "build", "-o", binary.path, "pawl/cmd/relay").CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if binary.err != nil {
		t.Fatal("build the relay: ", binary.err)
	}
	return binary.path
}

// relay is the binary at work.
type relay struct {
	t            *testing.T
	cmd          *exec.Cmd
	write, admin string // host:port
	log          *lockedBuffer
	over         chan struct{}
	err          error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// command is the binary with the storage in dir; both listeners are on free ports.
func command(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(relayBinary(t), append([]string{"--storage.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0", "--admin.listen-address=127.0.0.1:0"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// listening finds the addresses that the listeners tell of.
var listening = regexp.MustCompile(`msg="Listening on" .*listener=(write|admin) .*address=(\S+)`)

// start runs the relay until the test ends.
func start(t *testing.T, dir string, env []string, args ...string) *relay {
	t.Helper()
	r := &relay{t: t, cmd: command(t, dir, args...), log: &lockedBuffer{}, over: make(chan struct{})}
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	r.cmd.Env = append(os.Environ(), env...)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.err = r.cmd.Wait(); close(r.over) }()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		<-r.over
		if t.Failed() {
			lines := strings.Split(r.log.String(), "\n")
			t.Logf("the relay's last lines:\n%s", strings.Join(lines[max(0, len(lines)-40):], "\n"))
		}
	})
	for deadline := time.Now().Add(60 * time.Second); r.write == "" || r.admin == ""; time.Sleep(5 * time.Millisecond) {
		for _, m := range listening.FindAllStringSubmatch(r.log.String(), -1) {
			if m[1] == "write" {
				r.write = m[2]
			} else {
				r.admin = m[2]
			}
		}
		select {
		case <-r.over:
			t.Fatalf("the relay ended: %v\n%s", r.err, r.log)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("the relay does not listen:\n%s", r.log)
		}
	}
	return r
}

// stop ends the relay as an operator does.
func (r *relay) stop() {
	r.t.Helper()
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.over:
		if r.err != nil {
			r.t.Errorf("the relay stopped with %v", r.err)
		}
	case <-time.After(30 * time.Second):
		r.t.Error("the relay does not stop")
	}
}

// ready waits until writes are accepted.
func (r *relay) ready() {
	r.t.Helper()
	r.eventually("ready", func() bool {
		resp, err := http.Get("http://" + r.write + "/-/ready")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func (r *relay) eventually(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		select {
		case <-r.over:
			r.t.Fatalf("the relay ended: %v", r.err)
		default:
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("not %s within 60 s", what)
		}
	}
}

// get is what the relay answers.
func get(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
