package accuracy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"pawl/internal/port"
)

// Program is a running relay as a Way: a child process with a directory and an
// upstream of its own. Close ends it.
type Program struct {
	cmd      *exec.Cmd
	done     chan struct{} // closed when it has ended
	dir      string        // removed by Close
	url      string        // of its write path
	upstream *upstream
	run      int // traces sent so far, so that each has labels of its own
	batch    int // scrapes in a request
	odd      int // frames so far whose _count was not +Inf
}

// programConfig: the bounds on the disk are small, a machine that measures may be nearly full.
const programConfig = `remote_write:
  - url: %s
    queue_config:
      min_backoff: 30ms
      max_backoff: 300ms
storage:
  min_free_bytes: 1MB
  max_used_percent: 100
  ballast_bytes: 1MB
`

const (
	startLimit = time.Minute
	stopLimit  = time.Minute
)

// StartProgram runs the relay at path, with an empty storage, until it is ready.
func StartProgram(ctx context.Context, path string) (*Program, error) {
	dir, err := os.MkdirTemp("", "accuracy-")
	if err != nil {
		return nil, fmt.Errorf("start the relay: %w", err)
	}
	p := &Program{dir: dir, done: make(chan struct{}), batch: 1}
	if err := p.start(ctx, path); err != nil {
		return nil, errors.Join(fmt.Errorf("start the relay: %w", err), p.Close())
	}
	return p, nil
}

func (p *Program) start(ctx context.Context, path string) error {
	p.upstream = newUpstream()
	config := filepath.Join(p.dir, "relay.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, programConfig, p.upstream.url), 0o644); err != nil {
		return err
	}
	write, err := port.Free()
	if err != nil {
		return err
	}
	admin, err := port.Free()
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(p.dir, "relay.log"))
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own copy
	p.cmd = exec.Command(path, "--config.file="+config, "--storage.path="+filepath.Join(p.dir, "data"),
		"--web.listen-address="+write, "--admin.listen-address="+admin, "--log.level=warn")
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.cmd = nil
		return err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in ProcessState
		close(p.done)
	}()
	p.url = "http://" + write + "/api/v1/write"
	return p.awaitReady(ctx, "http://"+write+"/-/ready")
}

func (p *Program) awaitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready within %s: %s", startLimit, p.log())
		case <-p.done:
			return fmt.Errorf("ended before it was ready: %s", p.log())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (p *Program) log() string {
	b, err := os.ReadFile(filepath.Join(p.dir, "relay.log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// Close asks the relay to end, and removes what it left.
func (p *Program) Close() (err error) {
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // has it ended already, Wait has said so
		select {
		case <-p.done:
		case <-time.After(stopLimit):
			_ = p.cmd.Process.Kill()
			<-p.done
		}
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			err = fmt.Errorf("the relay ended with %d: %s", code, p.log())
		}
	}
	if p.upstream != nil {
		p.upstream.close()
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}
