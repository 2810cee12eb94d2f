//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is a real program as a child of the test, the leader of a process group of its
// own, with what it prints kept in a file that is shown when the test fails.
type process struct {
	t       *testing.T
	name    string
	logPath string
	cmd     *exec.Cmd
	done    chan struct{} // closed when it has ended; exitErr may be read then
	exitErr error
}

// startProcess runs a program until the test ends or somebody stops it, and shows its log
// if the test fails.
func startProcess(t *testing.T, logPath, program string, args ...string) *process {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("---- last lines of %s:\n%s", filepath.Base(logPath), lastLines(logPath, 60))
		}
	})
	return launch(t, logPath, program, args...)
}

// launch runs a program until the test ends or somebody stops it. What a program of the
// same log path printed before stays: a restarted relay goes on in its own log.
func launch(t *testing.T, logPath, program string, args ...string) *process {
	t.Helper()
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatalf("open log of %s: %v", program, err)
	}
	defer log.Close() // the child has its own copy
	name := strings.TrimSuffix(filepath.Base(logPath), ".log")
	fmt.Fprintf(log, "== %s %s\n", program, strings.Join(args, " "))

	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	// The group, so that children of the child go too; the signal, so that nothing
	// outlives a test binary that was killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	p := &process{t: t, name: name, logPath: logPath, cmd: cmd, done: make(chan struct{})}
	go func() {
		p.exitErr = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(p.kill)
	return p
}

// kill ends the group with SIGKILL and waits for it.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // gone already: fine
	<-p.done
}

// signal sends sig to the program alone.
func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("send %v to %s: %v", sig, p.name, err)
	}
}

// exitCode waits for the program to end by itself, at most limit.
func (p *process) exitCode(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		p.t.Fatalf("%s has not ended within %v", p.name, limit)
	}
	return exitCodeOf(p.t, p.exitErr)
}

func exitCodeOf(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("wait for the program: %v", err)
	}
	return exit.ExitCode() // -1 if a signal ended it
}

// log is everything that the program has printed so far.
func (p *process) log() string {
	b, _ := os.ReadFile(p.logPath)
	return string(b)
}

// waitReady polls url until it answers 200. A program that ended meanwhile fails at once.
func (p *process) waitReady(url string, limit time.Duration) {
	p.t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		select {
		case <-p.done:
			p.t.Fatalf("%s ended before it was ready: %v", p.name, p.exitErr)
		default:
		}
		resp, err := http.Get(url)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s is not ready within %v: GET %s: %v", p.name, limit, url, describe(resp, err))
		}
	}
}

func describe(resp *http.Response, err error) string {
	if err != nil {
		return err.Error()
	}
	return resp.Status
}

func lastLines(path string, n int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimRight(b, "\n"), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n")))
}

// program gives the path of one that `make tools` built.
func program(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(repoRoot(t), ".cache", "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is missing, `make tools tools-thanos` builds it: %v", name, err)
	}
	return path
}

// repoRoot is the folder of the module; go test runs a package's tests in its own folder.
func repoRoot(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func writeFile(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
