package inspect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"

	"pawl/internal/fingerprint"
	"pawl/pkg/config"
	"pawl/pkg/relay"
	"pawl/pkg/store"
)

const t0 = int64(1_790_000_000_000) // ms; any time will do

// requestOf is a remote write 1.0 request with one sample of each series named.
func requestOf(t int64, values map[string]float64) []byte {
	var wr prompb.WriteRequest
	for _, name := range []string{"requests_total", "errors_total", "poison_total", "temperature"} {
		v, ok := values[name]
		if !ok {
			continue
		}
		wr.Timeseries = append(wr.Timeseries, prompb.TimeSeries{
			Labels:  []prompb.Label{{Name: "__name__", Value: name}, {Name: "job", Value: "shop"}},
			Samples: []prompb.Sample{{Timestamp: t, Value: v}},
		})
	}
	msg, err := wr.Marshal()
	if err != nil {
		panic(err)
	}
	return snappy.Encode(nil, msg)
}

// storage is what a relay leaves that was stopped after twenty requests, or, with killed, what it has on disk while it runs, as a kill
// leaves it.
func storage(t testing.TB, killed bool) string {
	t.Helper()
	dir := t.TempDir()
	r := startRelay(t, dir, newUpstream(t).URL)
	r.twenty()
	r.delivered()
	if killed {
		to := filepath.Join(t.TempDir(), "data")
		if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		return to
	}
	r.stop()
	return dir
}

// upstream refuses for good what has poison in it, and remembers the rest. While it holds it takes nothing of the tenant "guest".
type upstream struct {
	*httptest.Server
	holds atomic.Bool
	mu    sync.Mutex
	got   map[string]float64
}

func newUpstream(t testing.TB) *upstream {
	u := &upstream{got: map[string]float64{}}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		_, _ = b.ReadFrom(r.Body)
		msg, err := snappy.Decode(nil, b.Bytes())
		var wr prompb.WriteRequest
		if err == nil {
			err = wr.Unmarshal(msg)
		}
		if err != nil {
			t.Error(err)
		}
		if u.holds.Load() && r.Header.Get("X-Scope-OrgID") == "guest" {
			http.Error(w, "who is that?", http.StatusUnauthorized)
			return
		}
		if bytes.Contains(msg, []byte("poison")) {
			http.Error(w, "out of bounds", http.StatusBadRequest)
			return
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		for _, ts := range wr.Timeseries {
			for _, s := range ts.Samples {
				u.got[fmt.Sprint(ts.Labels[0].Value, s.Timestamp)] = s.Value
			}
		}
	}))
	t.Cleanup(u.Close)
	return u
}

// value is what was forwarded of a series at a time.
func (u *upstream) value(name string, at int64) float64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.got[fmt.Sprint(name, at)]
}

// running is a relay at work.
type running struct {
	t            testing.TB
	write, admin *httptest.Server
	stop         func()
}

func startRelay(t testing.TB, dir, upstream string) *running {
	t.Helper()
	cfg, err := config.Parse(fmt.Appendf(nil, "remote_write:\n- url: %s\nstorage: {ballast_bytes: 1MB, min_free_bytes: 1MB, max_used_percent: 100}\n"+
		"correct: {forget_after: 100y} # the storage of testdata/format grows old\n", upstream), "test")
	if err != nil {
		t.Fatal(err)
	}
	relay, err := relay.New(relay.Options{Config: cfg, StoragePath: dir, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error)
	go func() { over <- relay.Run(ctx) }()
	r := &running{t: t, write: httptest.NewServer(relay.WriteHandler()), admin: httptest.NewServer(relay.AdminHandler())}
	r.stop = sync.OnceFunc(func() {
		r.write.Close()
		r.admin.Close()
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	wait(t, "ready", func() bool { return status(t, r.write.URL+"/-/ready") == 200 })
	return r
}

// twenty pushes twenty requests of four series: requests_total falls by 43 at its tenth, and one has a series that is refused.
func (r *running) twenty() {
	r.t.Helper()
	for i := range 20 {
		values := map[string]float64{"requests_total": float64(1000 + 10*i), "errors_total": float64(i), "temperature": 20}
		if i >= 10 {
			values["requests_total"] -= 53 // lost: 43 less than before, of what grew by 10
		}
		if i == 15 {
			values["poison_total"] = 1
		}
		r.push(1, requestOf(t0+int64(i)*15_000, values))
	}
}

// push sends a request of a version of remote write.
func (r *running) push(version int, body []byte) {
	r.t.Helper()
	r.pushAs("team", version, body)
}

func (r *running) pushAs(tenant string, version int, body []byte) {
	r.t.Helper()
	req, _ := http.NewRequest(http.MethodPost, r.write.URL+"/api/v1/write", bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/x-protobuf")
	if version == 2 {
		req.Header.Set("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
	}
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("X-Scope-OrgID", tenant)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		r.t.Fatal(resp.Status)
	}
}

// held pushes what the upstream does not take, and gives a copy of what is kept aside of it, as a kill leaves it. The upstream takes it then.
func (r *running) held(up *upstream, data string) (folder string) {
	r.t.Helper()
	up.holds.Store(true)
	for i := range 3 {
		r.pushAs("guest", 1, requestOf(t0+int64(i)*15_000, map[string]float64{"errors_total": float64(i)}))
	}
	folder = filepath.Join(r.t.TempDir(), "held")
	wait(r.t, "kept aside", func() bool {
		_ = os.RemoveAll(folder)
		if os.CopyFS(folder, os.DirFS(filepath.Join(data, "held"))) != nil {
			return false
		}
		b, _ := os.ReadFile(filepath.Join(folder, "00000001"))
		return bytes.Count(b, []byte("PLWR")) == 3
	})
	up.holds.Store(false)
	return folder
}

// delivered waits until the upstream has everything.
func (r *running) delivered() {
	r.t.Helper()
	wait(r.t, "delivered", func() bool {
		var s struct {
			Data struct {
				Journal struct{ Delivered, End uint64 }
			}
		}
		resp, err := http.Get(r.admin.URL + "/api/v1/status")
		if err != nil {
			r.t.Fatal(err)
		}
		defer resp.Body.Close()
		return json.NewDecoder(resp.Body).Decode(&s) == nil && s.Data.Journal.Delivered+1 == s.Data.Journal.End
	})
}

func status(t testing.TB, url string) int {
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not %s within 30 s", what)
		}
	}
}

func verify(t testing.TB, dir string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	before := fingerprint.Of(t, dir)
	err := Verify(VerifyOptions{Path: dir, Out: &out})
	if fingerprint.Of(t, dir) != before {
		t.Error("verify changed the storage path")
	}
	return out.String(), err
}

func dump(t testing.TB, dir string, o DumpOptions) (string, error) {
	t.Helper()
	var out, problems bytes.Buffer
	o.Path, o.Out, o.Errors = dir, &out, &problems
	before := fingerprint.Of(t, dir)
	err := Dump(o)
	if fingerprint.Of(t, dir) != before {
		t.Error("dump changed the storage path")
	}
	return out.String() + problems.String(), err
}

func TestVerifyFindsAStoppedAndAKilledRelaysStorageWhole(t *testing.T) {
	for name, killed := range map[string]bool{"stopped": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			out, err := verify(t, storage(t, killed))
			if err != nil || strings.Contains(out, "DAMAGED") {
				t.Errorf("%v\n%s", err, out)
			}
			for _, part := range []string{"lock", "journal", "delivered", "state", "rejected", "ballast"} {
				if !strings.Contains(out, "\n"+part) && !strings.HasPrefix(out, part) {
					t.Errorf("nothing is said of %s:\n%s", part, out)
				}
			}
		})
	}
}

func TestVerifyNamesWhatIsDamagedAndWhatToDo(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		says   []string
	}{
		{"a record of the journal", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, "journal", "*.seg"), 200) }, []string{"journal   DAMAGED", "at byte", "--storage.set-aside-damaged"}},
		{"a rejected batch", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, "rejected", "*.seg"), 130) }, []string{"rejected  DAMAGED", "record 1 cannot be read"}},
		{"the state's head", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, "state", "head"), 20) }, []string{"state     DAMAGED", "head: checksum does not match"}},
		{"the database", func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "state", "badger")); err != nil {
				t.Fatal(err)
			}
		}, []string{"state     DAMAGED", "MANIFEST is missing"}},
		{"the journal gone", func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "journal")); err != nil {
				t.Fatal(err)
			}
		}, []string{"state     DAMAGED", "the journal is older than the state, or gone"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := storage(t, false)
			c.damage(t, dir)
			out, err := verify(t, dir)
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("got %v", err)
			}
			for _, word := range c.says {
				if !strings.Contains(out, word) {
					t.Errorf("it does not say %q:\n%s", word, out)
				}
			}
			if _, err := dump(t, dir, DumpOptions{}); !errors.Is(err, ErrDamaged) && c.name != "the journal gone" {
				t.Errorf("dump: %v", err)
			}
		})
	}
}

// Rule: what a kill leaves of the batches kept aside for a tenant is read too. Damage there is named and is no loss: the journal has it.
func TestWhatWasKeptAsideIsReadAndItsRotNamed(t *testing.T) {
	dir, up := t.TempDir(), newUpstream(t)
	r := startRelay(t, dir, up.URL)
	r.twenty()
	folder := r.held(up, dir)
	r.delivered()
	r.stop()
	if err := os.CopyFS(filepath.Join(dir, "held"), os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	out, err := verify(t, dir)
	if err != nil || !strings.Contains(out, "held      ok") || !strings.Contains(out, "3 batches of tenants") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = dump(t, dir, DumpOptions{Samples: true, Parts: []string{"held"}})
	if err != nil || strings.Count(out, "held ") != 3 || !strings.Contains(out, `tenant="guest"`) || !strings.Contains(out, stamp(t0+2*15_000)+" 2\n") {
		t.Errorf("%v\n%s", err, out)
	}
	flip(t, filepath.Join(dir, "held", "00000001"), 50)
	out, err = verify(t, dir)
	if err != nil || !strings.Contains(out, "held      note") || !strings.Contains(out, "checksum of the record does not match") || !strings.Contains(out, "2 batches of tenants") {
		t.Errorf("%v\n%s", err, out)
	}
}

// flip changes a bit of the one file that matches.
func flip(t *testing.T, pattern string, at int) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatal(pattern, err)
	}
	b, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	if err := os.WriteFile(paths[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDumpPrintsEverySample(t *testing.T) {
	dir := storage(t, false)
	out, err := dump(t, dir, DumpOptions{Samples: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{
		"head journal: records 1 to before 22", "head state: checkpoint",
		"record 1 ", "rules", "record 21 ", `remote write 1.0 tenant="team"`,
		`{__name__="requests_total", job="shop"}`, stamp(t0+19*15_000) + " 1137\n", stamp(t0) + " 20\n",
		"raw 1137, forwarded 1180, offset 43",
		"correction 12.0 ", "forwarded 1090",
		"rejected 1 ", `status=400 answer="out of bounds"`, `{__name__="poison_total", job="shop"}`,
	} {
		if !strings.Contains(out, word) {
			t.Errorf("it does not say %q", word)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
	if strings.Contains(out, "%!") {
		t.Error("a format is wrong")
	}
}

func TestDumpFilters(t *testing.T) {
	dir := storage(t, true)
	poison, err := labels.NewMatcher(labels.MatchEqual, "__name__", "poison_total")
	if err != nil {
		t.Fatal(err)
	}
	out, err := dump(t, dir, DumpOptions{JSON: true, Samples: true, Match: []*labels.Matcher{poison}, Parts: []string{"journal"}})
	if err != nil || strings.Count(out, "\n") != 1 {
		t.Fatalf("%v\n%s", err, out)
	}
	var l recordLine
	if err := json.Unmarshal([]byte(out), &l); err != nil {
		t.Fatal(err)
	}
	if l.Type != "record" || l.Seq != 17 || l.Series != 4 || len(l.Contents) != 1 || l.Contents[0].Samples[0].Value != 1 {
		t.Errorf("%+v", l)
	}
	out, err = dump(t, dir, DumpOptions{From: 3, To: 5, Parts: []string{"journal"}})
	if err != nil || strings.Count(out, "\n") != 3 || !strings.HasPrefix(out, "record 3 ") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = dump(t, dir, DumpOptions{JSON: true})
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

func TestARunningRelayIsNotRead(t *testing.T) {
	dir := storage(t, false)
	lock, err := store.LockPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	var usage UsageError
	if _, err := verify(t, dir); !errors.As(err, &usage) || !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "stop the relay first") {
		t.Errorf("verify: %v", err)
	}
	if _, err := dump(t, dir, DumpOptions{}); !errors.As(err, &usage) {
		t.Errorf("dump: %v", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	if _, err := verify(t, t.TempDir()); !errors.As(err, &usage) {
		t.Errorf("an empty directory: %v", err)
	}
}
