package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// child is a program under measurement, or the upstream. It does not outlive
// this process.
type child struct {
	cmd  *exec.Cmd
	log  *os.File // its output, for when it fails
	done chan struct{}
	err  error // valid when done is closed
	peak int64 // bytes, valid when done is closed
}

func startChild(name, dir string, args ...string) (*child, error) {
	log, err := os.CreateTemp(dir, filepath.Base(name)+"-*.log")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), log.Close())
	}
	c := &child{cmd: cmd, log: log, done: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		c.err = cmd.Wait()
		close(ended)
	}()
	go func() {
		c.watchPeak(ended)
		close(c.done)
	}()
	return c, nil
}

// peakEvery is how often a program's high-water mark is read; what it takes in the last moments of its life is missed.
const peakEvery = 20 * time.Millisecond

// watchPeak reads the program's high-water mark of resident memory until it has ended. That of rusage does not do: at an exec it takes over the parent's.
func (c *child) watchPeak(ended <-chan struct{}) {
	tick := time.NewTicker(peakEvery)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
		}
		if u, err := c.usage(); err == nil {
			c.peak = max(c.peak, u.peak)
		}
	}
}

// stopFor is how long a program may take to end after SIGTERM.
const stopFor = 3 * time.Minute

// stop ends the program as its supervisor would and waits for its end.
func (c *child) stop() error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(stopFor):
		c.kill()
		return fmt.Errorf("%s did not stop within %s", c.cmd.Path, stopFor)
	}
	defer c.log.Close()
	// Prometheus 2 ends with status 1 after SIGTERM in some versions; only a signal is a failure.
	if s, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() && s.Signal() != syscall.SIGTERM {
		return fmt.Errorf("%s was ended by %s: %s", c.cmd.Path, s.Signal(), c.tail())
	}
	return nil
}

// kill ends it at once; it is harmless when it has ended.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.done
	c.log.Close()
}

// whole is the CPU time of an ended program's whole life, user and system, in s.
func (c *child) whole() float64 {
	s := c.cmd.ProcessState
	return (s.UserTime() + s.SystemTime()).Seconds()
}

// tail is the end of what the program has printed.
func (c *child) tail() string {
	b, err := os.ReadFile(c.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(b[max(0, len(b)-2000):]))
}

// usage is what the kernel says of a running program.
type usage struct {
	cpu                      float64 // user and system, s
	rss, peak, anon, fromMap int64   // bytes: now, at most, of which anonymous and mapped files
}

// clockTick is the unit of /proc/pid/stat: USER_HZ, 100 on all Linux ports of Go.
const clockTick = 100

func (c *child) usage() (u usage, err error) {
	dir := fmt.Sprintf("/proc/%d/", c.cmd.Process.Pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return u, err
	}
	// The name, in parentheses, may hold spaces; after it user and system time are the 12th and 13th.
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	for _, v := range f[11:13] {
		n, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return u, err
		}
		u.cpu += n / clockTick
	}
	status, err := os.Open(dir + "status")
	if err != nil {
		return u, err
	}
	defer status.Close()
	into := map[string]*int64{"VmRSS:": &u.rss, "VmHWM:": &u.peak, "RssAnon:": &u.anon, "RssFile:": &u.fromMap}
	for lines := bufio.NewScanner(status); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if to := into[f[0]]; to != nil && len(f) > 1 {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return u, err
			}
			*to = kb << 10
		}
	}
	return u, nil
}

// startUpstream starts the counting upstream from this program and returns its address.
func startUpstream(self, dir string) (*child, string, error) {
	in, keep, err := os.Pipe()
	if err != nil {
		return nil, "", err
	}
	defer in.Close()
	out, w, err := os.Pipe()
	if err != nil {
		return nil, "", err
	}
	defer out.Close()
	cmd := exec.Command(self, "upstream")
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, in, w, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	w.Close()
	c := &child{cmd: cmd, done: make(chan struct{})}
	go func() {
		c.err = cmd.Wait()
		keep.Close()
		close(c.done)
	}()
	line, err := bufio.NewReader(io.LimitReader(out, 256)).ReadString('\n')
	if err != nil {
		c.kill()
		return nil, "", fmt.Errorf("start the upstream: %w", err)
	}
	return c, strings.TrimSpace(line), nil
}

// await calls ok until it says true, every few ms, for at most limit.
func await(ctx context.Context, c *child, limit, every time.Duration, what string, ok func() bool) error {
	deadline := time.Now().Add(limit)
	for !ok() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.done:
			return fmt.Errorf("%s ended before %s: %w", c.cmd.Path, what, errors.Join(c.err, errors.New(c.tail())))
		case <-time.After(every):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %s", what, limit)
		}
	}
	return nil
}

// availableMemory is what the machine can still give without swapping, in
// bytes; very much if it does not say.
func availableMemory() int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 1 << 62
	}
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "MemAvailable:" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			if err == nil {
				return kb << 10
			}
		}
	}
	return 1 << 62
}
