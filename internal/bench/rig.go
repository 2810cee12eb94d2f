package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"pawl/internal/port"
)

// Subject is a relay that can be measured.
//
// In its arguments {listen}, {admin}, {dir} and {config} are replaced by an
// address to listen on, another for the admin listener, a directory of its own,
// and the path of a file made from Config, in which {upstream} and {message}
// stand for the URL to forward to and the remote-write message to use.
type Subject struct {
	Name   string
	Path   string
	Args   []string
	Config string
	Pawl   bool // has the admin listener and the metrics of this project
}

// pawlConfig leaves the guards for a filling disk to tests that have one.
const pawlConfig = `remote_write:
- url: {upstream}
  protobuf_message: {message}
storage: {min_free_bytes: 1MB, max_used_percent: 100, ballast_bytes: 0MB}
`

const otherConfig = `remote_write:
- url: {upstream}
  protobuf_message: {message}
`

func (o Options) pawl() (Subject, error) {
	args := []string{"run", "--config.file={config}", "--storage.path={dir}/data", "--web.listen-address={listen}", "--admin.listen-address={admin}"}
	return Subject{Name: "relay", Path: o.Relay, Args: append(args, o.RelayArgs...), Pawl: true}.with(o.RelayConfig, pawlConfig)
}

// with gives the subject the configuration in a file, or else the usual one.
func (s Subject) with(path, usual string) (Subject, error) {
	s.Config = usual
	if path == "" {
		return s, nil
	}
	b, err := os.ReadFile(path)
	s.Config = string(b)
	return s, err
}

func (o Options) other() (Subject, error) {
	s := Subject{Name: filepath.Base(o.Other), Path: o.Other, Args: o.OtherArgs}
	if len(s.Args) == 0 { // a Prometheus that only passes on
		s.Args = []string{"--agent", "--config.file={config}", "--storage.agent.path={dir}/data", "--web.listen-address={listen}", "--web.enable-remote-write-receiver", "--log.level=error"}
	}
	return s.with(o.OtherConfig, otherConfig)
}

// rig is a subject between a load and the upstream.
type rig struct {
	subject     Subject
	dir         string
	args        []string
	relay       *child
	upstream    *child
	write       string // http://host:port of the subject
	admin, up   string
	startedIn   time.Duration // until it was ready
	readyWithin time.Duration
}

// assemblePawl is assemble for the relay itself.
func (b *bencher) assemblePawl(ctx context.Context, p Proto) (*rig, error) {
	s, err := b.pawl()
	if err != nil {
		return nil, err
	}
	return b.assemble(ctx, s, p)
}

// assemble starts the upstream and the subject and waits until it is ready.
func (b *bencher) assemble(ctx context.Context, s Subject, p Proto) (*rig, error) {
	b.dirs++
	syscall.Sync() // what earlier runs wrote and removed must not be the disk's work during this one
	r := &rig{subject: s, dir: filepath.Join(b.dir, strconv.Itoa(b.dirs)), readyWithin: 2 * time.Minute}
	if err := os.MkdirAll(r.dir, 0o750); err != nil {
		return nil, err
	}
	up, address, err := startUpstream(b.Self, r.dir)
	if err != nil {
		return nil, err
	}
	r.upstream, r.up = up, "http://"+address
	if err := r.configure(p); err != nil {
		r.close()
		return nil, err
	}
	if err := r.start(ctx); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *rig) configure(p Proto) error {
	listen, err := port.Free()
	if err != nil {
		return err
	}
	admin, err := port.Free()
	if err != nil {
		return err
	}
	message := "prometheus.WriteRequest"
	if p == V2 {
		message = "io.prometheus.write.v2.Request"
	}
	config := filepath.Join(r.dir, "config.yml")
	fill := strings.NewReplacer("{listen}", listen, "{admin}", admin, "{dir}", r.dir, "{config}", config, "{upstream}", r.up+"/api/v1/write", "{message}", message)
	for _, a := range r.subject.Args {
		r.args = append(r.args, fill.Replace(a))
	}
	r.write, r.admin = "http://"+listen, "http://"+admin
	return os.WriteFile(config, []byte(fill.Replace(r.subject.Config)), 0o600)
}

// start starts the subject, for the first time or again.
func (r *rig) start(ctx context.Context) error {
	began := time.Now()
	c, err := startChild(r.subject.Path, r.dir, r.args...)
	if err != nil {
		return err
	}
	r.relay = c
	err = await(ctx, c, r.readyWithin, 2*time.Millisecond, "being ready", func() bool {
		resp, err := http.Get(r.write + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	r.startedIn = time.Since(began)
	return err
}

// close ends everything that is still running and removes the data.
func (r *rig) close() {
	for _, c := range []*child{r.relay, r.upstream} {
		if c != nil {
			c.kill()
		}
	}
	_ = os.RemoveAll(r.dir)
}

// received is what the upstream has counted so far.
func (r *rig) received() (got Received, err error) {
	resp, err := http.Get(r.up + "/stats")
	if err != nil {
		return got, err
	}
	defer resp.Body.Close()
	return got, json.NewDecoder(resp.Body).Decode(&got)
}

// answer makes the upstream answer with status from now on.
func (r *rig) answer(status int) error {
	resp, err := http.Post(r.up+"/answer?status="+strconv.Itoa(status), "", nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// delivered waits until the upstream has n samples. What comes more than once
// counts once too often, which shows in the sum.
func (r *rig) delivered(ctx context.Context, n int64) (got Received, err error) {
	last, moved := int64(-1), time.Now()
	err = await(ctx, r.relay, 10*time.Minute, 2*time.Millisecond, "having delivered everything", func() bool {
		if got, err = r.received(); err != nil {
			return true
		}
		if got.Samples != last {
			last, moved = got.Samples, time.Now()
		}
		if time.Since(moved) > stalled {
			err = fmt.Errorf("only %d of %d samples reached the upstream, and none for %s: %s", got.Samples, n, stalled, r.relay.tail())
			return true
		}
		return got.Samples >= n
	})
	if err == nil && got.Bad > 0 {
		err = fmt.Errorf("%d requests reached the upstream that it cannot read", got.Bad)
	}
	return got, err
}

// stalled is how long nothing may arrive at the upstream before a run is given up.
const stalled = 30 * time.Second

// metric is the sum over all series of one of the relay's own metrics.
func (r *rig) metric(name string) (float64, error) {
	resp, err := http.Get(r.admin + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	var sum float64
	found := false
	for _, line := range strings.Split(string(text), "\n") {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			return 0, err
		}
		sum, found = sum+v, true
	}
	if !found {
		return 0, fmt.Errorf("the relay has no metric %s", name)
	}
	return sum, nil
}

// profile writes one of the relay's own profiles to path.
func (r *rig) profile(what, path string) error {
	resp, err := http.Get(r.admin + "/debug/pprof/" + what)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("profile %s: %s", what, resp.Status)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}
