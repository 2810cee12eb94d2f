package hostile

import (
	"bytes"
	varint "encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
)

const (
	ceiling  = 512 << 20 // bytes that the process may have in memory
	goLimit  = "GOMEMLIMIT=400MiB"
	floods   = 64          // senders
	perBatch = 500         // series of one request
	overload = time.Minute // times -torture
	times    = 10          // what is offered is at least so many times what the upstream takes
	brake    = 12          // it takes one request for so many that were offered

	// hesitation is how long a bomb stops in its middle: what the relay gives it by
	// then, it holds so long.
	hesitation = 300 * time.Millisecond
)

// ledger is what was acknowledged and what arrived: for each sender the
// numbers of its requests.
type ledger struct {
	mu             sync.Mutex
	acked, arrived [floods]map[int64]bool
}

func (l *ledger) note(set *[floods]map[int64]bool, sender int, k int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if set[sender] == nil {
		set[sender] = map[int64]bool{}
	}
	set[sender][k] = true
}

// missing counts acknowledged requests that have not arrived.
func (l *ledger) missing() (acked, missing int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.acked {
		acked += len(l.acked[s])
		for k := range l.acked[s] {
			if !l.arrived[s][k] {
				missing++
			}
		}
	}
	return acked, missing
}

// request is request k of a sender: perBatch counters at time k.
func request(buf []byte, req *prompb.WriteRequest, k int64) []byte {
	for i := range req.Timeseries {
		req.Timeseries[i].Samples[0] = prompb.Sample{Timestamp: 1_790_000_000_000 + k*1000, Value: float64(k)}
	}
	msg, err := req.Marshal()
	if err != nil {
		panic(err)
	}
	return snappy.Encode(buf[:cap(buf)], msg)
}

func seriesOf(sender int) *prompb.WriteRequest {
	req := &prompb.WriteRequest{}
	for i := range perBatch {
		req.Timeseries = append(req.Timeseries, prompb.TimeSeries{Samples: make([]prompb.Sample, 1), Labels: []prompb.Label{
			{Name: "__name__", Value: "requests_total"}, {Name: "instance", Value: fmt.Sprintf("10.0.%d.%d:9100", sender, i)},
			{Name: "sender", Value: strconv.Itoa(sender)},
		}})
	}
	return req
}

// gate holds an upstream back to a share of what is offered to the relay, until it is opened.
type gate struct {
	turn    sync.Mutex
	taken   int64 // requests; under turn
	offered atomic.Int64
	open    chan struct{}
}

// pass waits until one more may be taken.
func (g *gate) pass(r *http.Request) {
	g.turn.Lock()
	defer g.turn.Unlock()
	for g.offered.Load() < (g.taken+1)*brake {
		select {
		case <-g.open:
			return
		case <-r.Context().Done(): // the relay is gone
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
	g.taken++
}

// took is how many it let through by the share.
func (g *gate) took() int64 {
	g.turn.Lock()
	defer g.turn.Unlock()
	return g.taken
}

// slowUpstream takes what it gets, as the gate lets it.
func slowUpstream(t *testing.T, l *ledger, g *gate) *httptest.Server {
	u := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the relay was stopped
		}
		g.pass(r)
		msg, err := snappy.Decode(nil, body)
		var req prompb.WriteRequest
		if err == nil {
			err = req.Unmarshal(msg)
		}
		if err != nil || len(req.Timeseries) != perBatch {
			t.Errorf("the upstream got %d series, %v", len(req.Timeseries), err)
			return
		}
		ts := req.Timeseries[0]
		sender, _ := strconv.Atoi(ts.Labels[2].Value)
		k := (ts.Samples[0].Timestamp - 1_790_000_000_000) / 1000
		if ts.Samples[0].Value != float64(k) {
			t.Errorf("sender %d request %d arrived as %v", sender, k, ts.Samples[0].Value)
		}
		l.note(&l.arrived, sender, k)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(u.Close)
	return u
}

// Rule (RELIABILITY.md, memory ceiling): under ten times what its upstream
// takes, with bombs among it, the relay stays below 512 MiB, sheds with 503, and
// everything that it acknowledged arrives.
func TestMemoryStaysUnderItsCeiling(t *testing.T) {
	l, g := &ledger{}, &gate{open: make(chan struct{})}
	up := slowUpstream(t, l, g)
	dir := t.TempDir()
	config := writeFile(t, filepath.Join(dir, "relay.yml"), fmt.Sprintf(
		"remote_write: [{url: %s, queue_config: {max_shards: 50}}]\njournal: {max_bytes: 64MB}\nreceive: {max_in_flight: 32}\nstorage: {ballast_bytes: 0, min_free_bytes: 1MB, max_used_percent: 100}\n", up.URL))
	r := start(t, dir, []string{goLimit}, "--config.file="+config)
	r.ready()

	peak := watch(t, r)
	lasted := overload * time.Duration(*torture)
	got := offer(t, r, l, g, lasted, bombs())
	over := float64(got.sent) / float64(max(1, g.took()))
	t.Logf("offered %d requests of %d samples and %d bombs in %v, %.0f times what the upstream took: answers %v", got.sent, perBatch, got.bombs, lasted, over, got.codes)
	if over < times {
		t.Errorf("only %.1f times what the upstream takes was offered", over)
	}
	for code := range got.codes {
		if code != 204 && code != 503 {
			t.Errorf("%d requests were answered %d: overload is answered with 503", got.codes[code], code)
		}
	}
	if got.codes[503] == 0 {
		t.Error("nothing was shed, so this was no overload")
	}
	close(g.open)
	r.eventually("everything acknowledged arrived", func() bool { _, missing := l.missing(); return missing == 0 })
	acked, _ := l.missing()
	most := peak()
	t.Logf("%d requests acknowledged, all arrived; at most %d MiB in memory", acked, most>>20)
	if most > ceiling {
		t.Errorf("the relay had %d MiB in memory, %d are allowed", most>>20, ceiling>>20)
	}
	r.stop()
}

// offered is what was sent and how it was answered.
type offered struct {
	sent, bombs int
	codes       map[int]int
}

// offer floods the relay for a while.
func offer(t *testing.T, r *relay, l *ledger, g *gate, d time.Duration, bombs [][]byte) offered {
	o := offered{codes: map[int]int{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	tr := &http.Transport{MaxIdleConnsPerHost: floods * 2, MaxConnsPerHost: floods * 2}
	defer tr.CloseIdleConnections()
	send := func(body []byte, pause time.Duration) int {
		req := newRequest(r, body)
		half := len(body) / 2
		req.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:half]), &pausing{pause, bytes.NewReader(body[half:])}))
		resp, err := tr.RoundTrip(req)
		if err != nil {
			return 0
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		return resp.StatusCode
	}
	over := time.Now().Add(d)
	for s := range floods {
		wg.Go(func() {
			req, k := seriesOf(s), int64(0)
			var buf []byte
			for n := 0; time.Now().Before(over); n++ {
				buf = request(buf, req, k)
				code := send(buf, 0)
				g.offered.Add(1)
				if code == http.StatusNoContent {
					l.note(&l.acked, s, k)
					k++
				}
				if n%4 == 0 {
					send(bombs[(n/4+s)%len(bombs)], hesitation)
				}
				mu.Lock()
				o.sent++
				o.codes[code]++
				if n%4 == 0 {
					o.bombs++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if n := o.codes[0]; n > 0 && n < o.sent/100 {
		delete(o.codes, 0) // a connection that was closed for a bomb beside it
	}
	return o
}

// pausing waits once before it goes on.
type pausing struct {
	pause time.Duration
	io.Reader
}

func (p *pausing) Read(b []byte) (int, error) {
	time.Sleep(p.pause)
	p.pause = 0
	return p.Reader.Read(b)
}

func newRequest(r *relay, body []byte) *http.Request {
	req, _ := http.NewRequest(http.MethodPost, "http://"+r.write+"/api/v1/write", bytes.NewReader(body))
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	return req
}

// bombs are bodies that decompress to 60 MB, or say so (0x80 0x80 0x80 0x1e). The first
// is one series with as many samples as fit: what is known of them takes three times as much again.
func bombs() [][]byte {
	const many = 60 << 20 / 11
	series := append([]byte{0x0a, 8, 0x0a, 3, 'j', 'o', 'b', 0x12, 1, 'a'}, bytes.Repeat([]byte{0x12, 9, 0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f}, many)...)
	return [][]byte{
		snappy.Encode(nil, append(varint.AppendUvarint([]byte{0x0a}, uint64(len(series))), series...)),
		snappy.Encode(nil, bytes.Repeat([]byte{0x0a, 0}, 30<<20)),
		append([]byte{0x80, 0x80, 0x80, 0x1e}, make([]byte, 4<<10)...),
		append([]byte{0x80, 0x80, 0x80, 0x1e}, make([]byte, 3<<20)...),
		snappy.Encode(nil, bytes.Repeat([]byte{0x7b}, 60<<20)),
	}
}

var peakRSS = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// watch tells, when asked, the most memory that the relay has had: as the
// kernel counts it.
func watch(t *testing.T, r *relay) (peak func() int64) {
	return func() int64 {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		m := peakRSS.FindStringSubmatch(string(b))
		if m == nil {
			t.Fatalf("no VmHWM in %s", strings.TrimSpace(string(b)))
		}
		kb, _ := strconv.ParseInt(m[1], 10, 64)
		return kb << 10
	}
}
