package fulldisk

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	"golang.org/x/sys/unix"

	"pawl/internal/port"
)

// relay is the program as a child.
type relay struct {
	t     *testing.T
	cmd   *exec.Cmd
	url   string
	log   *os.File
	ended chan struct{}
	err   error // once ended
}

// What the relay is told of a disk of 192 MiB, in bytes or in percent, and of one that is large enough.
const (
	smallDisk   = "storage: {min_free_bytes: 48MB, ballast_bytes: 24MB, max_used_percent: 100}\n"
	percentDisk = "storage: {min_free_bytes: 0, ballast_bytes: 24MB, max_used_percent: 75}\n"
	anyDisk     = "storage: {min_free_bytes: 1MB, ballast_bytes: 0, max_used_percent: 100}\n"
)

// startRelay starts the program over data and waits until it is ready to answer, not until it takes writes.
func startRelay(t *testing.T, data, upstream, storage string) *relay {
	t.Helper()
	r := &relay{t: t, ended: make(chan struct{})}
	aside := t.TempDir()
	cfg := filepath.Join(aside, "relay.yml")
	yaml := fmt.Sprintf("remote_write:\n- url: %s\n  queue_config: {min_backoff: 30ms, max_backoff: 200ms}\n%s", upstream, storage)
	if err := os.WriteFile(cfg, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.log, err = os.Create(filepath.Join(aside, "relay.log")); err != nil {
		t.Fatal(err)
	}
	address := port.ForTest(t)
	r.url = "http://" + address
	r.cmd = exec.Command(relayBinary, "--config.file="+cfg, "--storage.path="+data, "--web.listen-address="+address, "--admin.listen-address="+port.ForTest(t))
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.err = r.cmd.Wait(); close(r.ended) }()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		<-r.ended
		if t.Failed() {
			t.Logf("---- the relay's log:\n%s", r.said())
		}
		r.log.Close()
	})
	wait(t, "healthy", 30*time.Second, func() bool {
		resp, err := http.Get(r.url + "/-/healthy")
		if err != nil {
			r.alive()
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == 200
	})
	return r
}

func (r *relay) said() string {
	b, _ := os.ReadFile(r.log.Name())
	if len(b) > 8000 {
		b = append([]byte("...\n"), b[len(b)-8000:]...)
	}
	return string(b)
}

// alive fails if the relay has ended.
func (r *relay) alive() {
	r.t.Helper()
	select {
	case <-r.ended:
		r.t.Fatalf("the relay has ended: %v", r.err)
	default:
	}
}

// stop ends it by a signal and gives its exit code; it has 10 s.
func (r *relay) stop(sig os.Signal) int {
	r.t.Helper()
	if err := r.cmd.Process.Signal(sig); err != nil {
		r.t.Fatal(err)
	}
	select {
	case <-r.ended:
	case <-time.After(10 * time.Second):
		r.t.Fatalf("not ended 10 s after %v", sig)
	}
	return r.cmd.ProcessState.ExitCode()
}

// limitFiles keeps the running relay's files from growing by more than so many bytes over the one that matches.
func (r *relay) limitFiles(pattern string, more int64) {
	r.t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) != 1 {
		r.t.Fatal(pattern, paths, err)
	}
	st, err := os.Stat(paths[0])
	if err != nil {
		r.t.Fatal(err)
	}
	n := uint64(st.Size() + more)
	if err := unix.Prlimit(r.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: n, Max: n}, nil); err != nil {
		r.t.Fatal(err)
	}
}

func wait(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not %s within %v", what, within)
		}
	}
}

// sender numbers its requests and remembers which were acknowledged: request n holds the sample (n ms, n) of one series, and ballast
// that does not compress.
type sender struct {
	t     *testing.T
	rng   *rand.Rand
	bytes int // of a request
	sent  int64
	acked map[int64]bool
}

func newSender(t *testing.T, bytes int, seed uint64) *sender {
	return &sender{t: t, rng: rand.New(rand.NewPCG(seed, seed)), bytes: bytes, acked: map[int64]bool{}}
}

const t0 = int64(1_790_000_000_000) // ms; any time will do

// send sends the next request; status 0 if there was no answer.
func (s *sender) send(url string) (status int, retryAfter string) {
	s.t.Helper()
	s.sent++
	noise := make([]byte, s.bytes)
	for i := range noise {
		noise[i] = byte('!' + s.rng.IntN(90))
	}
	wr := prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
		Labels:  []prompb.Label{{Name: "__name__", Value: "requests_total"}},
		Samples: []prompb.Sample{{Timestamp: t0 + s.sent*1000, Value: float64(s.sent)}},
	}}}
	for len(noise) > 0 { // help texts are forwarded as they are, and are no series
		n := min(len(noise), 30_000)
		wr.Metadata = append(wr.Metadata, prompb.MetricMetadata{MetricFamilyName: "f", Help: string(noise[:n])})
		noise = noise[n:]
	}
	msg, err := wr.Marshal()
	if err != nil {
		s.t.Fatal(err)
	}
	req, _ := http.NewRequest(http.MethodPost, url+"/api/v1/write", bytes.NewReader(snappy.Encode(nil, msg)))
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode/100 == 2 {
		s.acked[s.sent] = true
	}
	return resp.StatusCode, resp.Header.Get("Retry-After")
}

// refused sends until a request is answered by 503 with Retry-After; anything else but 2xx is wrong.
func (s *sender) refused(r *relay, within time.Duration) {
	s.t.Helper()
	wait(s.t, "refused with 503", within, func() bool {
		switch status, after := s.send(r.url); {
		case status/100 == 2:
			return false
		case status == http.StatusServiceUnavailable && after != "":
			return true
		default:
			r.alive()
			s.t.Fatalf("request %d: status %d, Retry-After %q", s.sent, status, after)
			return false
		}
	})
}

// accepted sends until a request is acknowledged.
func (s *sender) accepted(r *relay, within time.Duration) time.Duration {
	s.t.Helper()
	began := time.Now()
	wait(s.t, "accepted", within, func() bool {
		r.alive()
		status, _ := s.send(r.url)
		return status/100 == 2
	})
	return time.Since(began)
}

// upstream keeps what it is sent while it is not away.
type upstream struct {
	*httptest.Server
	away atomic.Bool
	mu   sync.Mutex
	got  map[int64]uint64 // bits by timestamp
	last int64            // first arrivals are in order
	bad  []string
}

func newUpstream(t *testing.T) *upstream {
	u := &upstream{got: map[int64]uint64{}}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if u.away.Load() || err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		msg, err := snappy.Decode(nil, body)
		var wr prompb.WriteRequest
		if err == nil {
			err = wr.Unmarshal(msg)
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		if err != nil {
			u.bad = append(u.bad, err.Error())
		}
		for _, ts := range wr.Timeseries {
			for _, s := range ts.Samples {
				u.take(s.Timestamp, math.Float64bits(s.Value))
			}
		}
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) take(at int64, bits uint64) {
	old, again := u.got[at]
	switch {
	case again && old != bits:
		u.bad = append(u.bad, fmt.Sprintf("%d came with another value", at))
	case !again && at < u.last:
		u.bad = append(u.bad, fmt.Sprintf("%d came after %d", at, u.last))
	}
	u.got[at] = bits
	u.last = max(u.last, at)
}

// has says whether everything that s had acknowledged is here, and complains about what must not be.
func (u *upstream) has(s *sender) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, b := range u.bad {
		s.t.Error(b)
	}
	u.bad = nil
	for n := range s.acked {
		if bits, ok := u.got[t0+n*1000]; !ok || bits != math.Float64bits(float64(n)) {
			return false
		}
	}
	return true
}

// fill takes all space of the disk but leave bytes, as a neighbour would, and gives a function that gives it back.
func fill(t *testing.T, dir string, leave int64) (giveBack func()) {
	t.Helper()
	path := filepath.Join(dir, "neighbour")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := int64(0); ; {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		n := int64(st.Bavail)*st.Bsize - leave
		if n <= 0 {
			break
		}
		if err := unix.Fallocate(int(f.Fd()), 0, size, n); err != nil && !strings.Contains(err.Error(), "no space") {
			t.Fatal(err)
		}
		size += n
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}
