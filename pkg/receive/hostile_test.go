package receive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang/snappy"

	"pawl/pkg/config"
)

// listen serves the handler on loopback with the bounds that it has in the relay.
func listen(t *testing.T, h http.Handler, times Timeouts, limit *Connections) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := NewServer(h, times, limit)
	over := make(chan error, 1)
	go func() { over <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Close()
		if err := <-over; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// honest sends small requests of its own tenant, one after the other on a
// kept connection, until it is stopped, and fails the test unless each is accepted.
type honest struct {
	accepted atomic.Int64
	stop     func()
}

func startHonest(t *testing.T, addr string) *honest {
	s := &honest{}
	done, over := make(chan struct{}), make(chan struct{})
	tr := &http.Transport{}
	go func() {
		defer close(over)
		for {
			select {
			case <-done:
				return
			default:
			}
			req, _ := http.NewRequest(http.MethodPost, "http://"+addr+"/api/v1/write", bytes.NewReader(bodyV1()))
			req.Header.Set("X-Scope-OrgID", "honest")
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Errorf("an honest sender was cut off: %v", err)
				return
			}
			text, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusNoContent {
				t.Errorf("an honest sender was answered %d %s", resp.StatusCode, text)
				return
			}
			s.accepted.Add(1)
		}
	}()
	var once sync.Once
	s.stop = func() { once.Do(func() { close(done); <-over; tr.CloseIdleConnections() }) }
	t.Cleanup(s.stop)
	return s
}

// beyond waits until n more requests were accepted.
func (s *honest) beyond(t *testing.T, n int64) {
	t.Helper()
	want := s.accepted.Load() + n
	for deadline := time.Now().Add(30 * time.Second); s.accepted.Load() < want; time.Sleep(time.Millisecond) {
		if t.Failed() || time.Now().After(deadline) {
			t.Fatalf("of %d honest requests only %d were accepted within 30 s", n, n-(want-s.accepted.Load()))
		}
	}
}

// bomb is a request built to exhaust the relay.
type bomb struct {
	name        string
	contentType string
	coding      string
	body        []byte
	chunked     bool
	status      int  // of it, or 503
	early       bool // the first bytes give it away
}

// endless is a body in chunks that goes on beyond what is allowed.
const endless = "a body larger than allowed, in chunks"

// field is a length-delimited field of a message.
func field(num byte, b []byte) []byte {
	return append(binary.AppendUvarint([]byte{num<<3 | 2}, uint64(len(b))), b...)
}

func bombs() []bomb {
	repeat := func(unit []byte, n int) []byte { return bytes.Repeat(unit, n/len(unit)) }
	var labels []byte
	for i := range 1_000_000 {
		labels = append(labels, field(1, append(field(1, []byte(fmt.Sprintf("l%07d", i))), field(2, []byte("x"))...))...)
	}
	lie := func(n uint64, follow int) []byte {
		return append(binary.AppendUvarint(nil, n), make([]byte, follow)...)
	}
	return []bomb{
		{name: "a length that lies", body: lie(60<<20, 100_000), status: 400, early: true},
		{name: "a length that lies, in chunks", body: lie(60<<20, 1000), chunked: true, status: 400, early: true},
		{name: "a length of 4 GiB", body: lie(1<<32-1, 100_000), status: 413, early: true},
		{name: "a length of 4 GiB, in chunks", body: lie(1<<32-1, 100_000), chunked: true, status: 413, early: true},
		{name: "a length that never ends", body: repeat([]byte{0xff}, 100_000), status: 400, early: true},
		{name: "gzip", coding: "gzip", body: []byte{0x1f, 0x8b, 8, 0}, status: 415, early: true},
		{name: "zstd", coding: "zstd", body: lie(1, 100_000), status: 415, early: true},
		{name: "snappy twice", coding: "snappy, snappy", body: bodyV1(), status: 415, early: true},
		{name: "JSON", contentType: "application/json", body: repeat([]byte("["), 100_000), status: 415, early: true},
		{name: "32 MiB of empty series", body: snappy.Encode(nil, repeat([]byte{0x0a, 0}, 32<<20)), status: 400},
		{name: "32 MiB of empty series, 2.0", contentType: typeV2, body: snappy.Encode(nil, repeat([]byte{0x2a, 0}, 32<<20)), status: 413}, // more series than the bytes before them could hold
		{name: "32 MiB of empty metadata", body: snappy.Encode(nil, repeat([]byte{0x1a, 0}, 32<<20)), status: 400},
		{name: "a million labels", body: snappy.Encode(nil, field(1, labels)), status: 413},
		{name: "overlong varints", body: snappy.Encode(nil, repeat([]byte{0x80}, 1<<20)), status: 400},
		{name: "nested groups", body: snappy.Encode(nil, repeat([]byte{0x7b}, 8<<20)), status: 400},
		{name: endless, chunked: true, status: 413},
	}
}

// request makes the bomb's request.
func (b bomb) request(url string) *http.Request {
	var body io.Reader = bytes.NewReader(b.body)
	if b.name == endless {
		body = io.LimitReader(io.MultiReader(bytes.NewReader(binary.AppendUvarint(nil, 60<<20)), zeros{}), 20<<20)
	}
	if b.chunked {
		body = struct{ io.Reader }{body}
	}
	req, _ := http.NewRequest(http.MethodPost, url, body)
	req.Header.Set("Content-Type", "application/x-protobuf")
	if b.contentType != "" {
		req.Header.Set("Content-Type", b.contentType)
	}
	req.Header.Set("Content-Encoding", "snappy")
	if b.coding != "" {
		req.Header.Set("Content-Encoding", b.coding)
	}
	req.Header.Set("X-Scope-OrgID", "hostile")
	return req
}

// Rule: each bomb is refused with the right word; one whose first bytes give it
// away before anything of its size is allocated.
func TestEachBombIsRefused(t *testing.T) {
	for _, b := range bombs() {
		t.Run(b.name, func(t *testing.T) {
			h := handler(&sink{}, nil)
			post(h, "warm", bytes.NewReader(bodyV1()))
			req := b.request("http://relay/api/v1/write")
			if b.chunked {
				req.ContentLength = -1 // as the server says it
			}
			w := httptest.NewRecorder()
			got := allocated(func() { h.ServeHTTP(w, req) })
			if w.Code != b.status {
				t.Errorf("answered %d %s, want %d", w.Code, w.Body, b.status)
			}
			if b.early && got > 64<<10 {
				t.Errorf("%d bytes were allocated", got)
			}
			if got > 160<<20 {
				t.Errorf("%d MiB were allocated", got>>20)
			}
		})
	}
}

// Rule (RELIABILITY.md, bombs): 200 of each at once are all refused, memory stays
// within what receive.max_in_flight_bytes stands for, and honest senders are
// served meanwhile without one refusal.
func TestBombsAtOnceDoNotHarmHonestSenders(t *testing.T) {
	s := &sink{}
	h := handler(s, nil)
	addr := listen(t, h, DefaultTimeouts(), NewConnections(1024))
	var senders []*honest
	for range 4 {
		senders = append(senders, startHonest(t, addr))
	}
	for _, sender := range senders {
		sender.beyond(t, 1)
	}
	stopWatch := make(chan struct{})
	peak := make(chan uint64, 1)
	go func() { peak <- watchHeap(stopWatch) }()
	all := bombs()
	began := time.Now()
	for _, b := range all {
		one := time.Now()
		tr := &http.Transport{MaxIdleConnsPerHost: 200}
		var wg sync.WaitGroup
		var mu sync.Mutex
		codes := map[int]int{}
		for range 200 * *torture {
			wg.Go(func() {
				resp, err := tr.RoundTrip(b.request("http://" + addr + "/api/v1/write"))
				if err != nil {
					return // the server hung up on what was still being sent
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				mu.Lock()
				defer mu.Unlock()
				codes[resp.StatusCode]++
			})
		}
		wg.Wait()
		tr.CloseIdleConnections()
		for code := range codes {
			if code != b.status && code != 503 {
				t.Errorf("%s: answers %v, want %d or 503", b.name, codes, b.status)
			}
		}
		t.Logf("%s: %v in %v", b.name, codes, time.Since(one).Round(time.Millisecond))
	}
	for _, sender := range senders {
		sender.beyond(t, 1)
	}
	close(stopWatch)
	t.Logf("%d bombs in %v, heap at most %d MiB, honest senders served", len(all)*200**torture, time.Since(began).Round(time.Millisecond), <-peak>>20)
	for _, sender := range senders {
		sender.stop()
	}
	for what := range resources {
		if held := h.budget.held(what); held != 0 {
			t.Errorf("%d of resource %d are still held", held, what)
		}
	}
}

// Rule (RELIABILITY.md, memory ceiling): a client whose body comes slowly holds
// what has come of it. The memory that large requests before had is not given to it
// for what its header announces.
func TestASlowBodyHoldsOnlyWhatHasCome(t *testing.T) {
	bomb := snappy.Encode(nil, bytes.Repeat([]byte{0x7b}, 60<<20)) // 60 MB of groups without end
	h := handler(&sink{}, nil)
	live := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := live()
	var wg sync.WaitGroup
	var open []*io.PipeWriter
	for range 8 {
		if w := post(h, "", bytes.NewReader(bomb)); w.Code != http.StatusBadRequest {
			t.Fatalf("the bomb was answered %d %s", w.Code, w.Body)
		}
		r, w := io.Pipe()
		open = append(open, w)
		wg.Go(func() { post(h, "", r) })
		if _, err := w.Write(bomb[:2*firstRead]); err != nil { // returns when all of it was read
			t.Fatal(err)
		}
	}
	if held := live() - before; held > 128<<20 {
		t.Errorf("8 slow clients that sent %d bytes each have %d MiB in use", 2*firstRead, held>>20)
	}
	if charged := h.budget.held(memory); charged > 8<<20 {
		t.Errorf("%d bytes are charged to them", charged)
	}
	for _, w := range open {
		_ = w.CloseWithError(io.ErrUnexpectedEOF)
	}
	wg.Wait()
}

// Rule (RELIABILITY.md, memory ceiling): what is known of each sample is within
// receive.max_in_flight_bytes before it takes its memory. A request that is
// too large for it alone is told so, one for which there is no room now is to come again.
func TestWhatIsKnownOfSamplesHasItsRoomFirst(t *testing.T) {
	const mb = 1 << 20
	unit := []byte{0x12, 9, 0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f} // a sample of value 1 and no time: 11 bytes, of which 32 are known
	for name, c := range map[string]struct {
		samples int
		others  int64 // bytes that they hold
		status  int
	}{"fits": {2 * mb, 0, 204}, "too large alone": {4 * mb, 0, 413}, "no room beside others": {2 * mb, 40 * mb, 503}} {
		t.Run(name, func(t *testing.T) {
			series := append(field(1, append(field(1, []byte("job")), field(2, []byte("a"))...)), bytes.Repeat(unit, c.samples)...)
			bomb := snappy.Encode(nil, field(1, series))
			h := handler(&sink{}, nil)
			h.budget.add("other", memory, c.others)
			var answer *httptest.ResponseRecorder
			got := allocated(func() { answer = post(h, "", bytes.NewReader(bomb)) })
			if answer.Code != c.status || c.status != 204 && !strings.Contains(answer.Body.String(), "max_in_flight_bytes") {
				t.Errorf("answered %d %s, want %d and receive.max_in_flight_bytes", answer.Code, answer.Body, c.status)
			}
			if most := uint64(h.settings.Load().MaxInFlightBytes) * 5 / 4; got > most { // what grows leaves a third of itself behind
				t.Errorf("%d MiB were allocated", got>>20)
			}
			if held := h.budget.held(memory); held != c.others {
				t.Errorf("%d bytes are still held", held-c.others)
			}
		})
	}
}

// watchHeap is the most memory that the heap had in use until stop.
func watchHeap(stop <-chan struct{}) (most uint64) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapInuse)
		select {
		case <-stop:
			return most
		case <-tick.C:
		}
	}
}

// slow are the ways to hold a connection without bringing a request.
var slow = []struct {
	name string
	open func(c net.Conn) // writes what comes at first
	drip []byte           // what comes again and again
}{
	{"says nothing", func(net.Conn) {}, nil},
	{"half a header", func(c net.Conn) { fmt.Fprint(c, "POST /api/v1/write HTTP/1.1\r\nHost: x\r\n") }, []byte("X: y\r\n")},
	{"a body that drips", func(c net.Conn) {
		fmt.Fprint(c, "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n\x80\x80\x04")
	}, []byte{0}},
	{"an endless chunked body", func(c net.Conn) {
		fmt.Fprint(c, "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n\x80\x80\x04\r\n")
	}, []byte("1\r\n\x00\r\n")},
	{"idle after a request", func(c net.Conn) { fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") }, nil},
}

// Rule (RELIABILITY.md, slow clients): whoever holds a connection without
// bringing a request is closed by the server's timeouts (30 s; here less), and
// honest senders are served meanwhile.
func TestSlowClientsAreClosed(t *testing.T) {
	times := Timeouts{Header: 2 * time.Second, Body: 3 * time.Second, Write: 30 * time.Second, Idle: 3 * time.Second}
	n := 500 * *torture
	if *torture > 1 {
		times = DefaultTimeouts()
	}
	h := handler(&sink{}, func(c *config.Receive) { c.MaxConnections = 2 * n })
	addr := listen(t, h, times, NewConnections(2*n))
	sender := startHonest(t, addr)
	sender.beyond(t, 1)
	var wg sync.WaitGroup
	var longest atomic.Int64
	stop := make(chan struct{})
	for i := range n {
		kind := slow[i%len(slow)]
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		kind.open(c)
		wg.Go(func() { drip(c, kind.drip, stop) })
		wg.Go(func() {
			defer c.Close()
			_ = c.SetReadDeadline(began.Add(90 * time.Second))
			if _, err := io.Copy(io.Discard, c); errors.Is(err, errTimeout(err)) {
				t.Errorf("%s: still open after 90 s", kind.name)
			}
			for lasted := int64(time.Since(began)); ; {
				if was := longest.Load(); was >= lasted || longest.CompareAndSwap(was, lasted) {
					return
				}
			}
		})
	}
	sender.beyond(t, 20)
	closed := make(chan struct{})
	go func() { wg.Wait(); close(closed) }()
	<-closed
	close(stop)
	sender.beyond(t, 1)
	sender.stop()
	t.Logf("%d slow clients, none open for more than %v; timeouts %+v; %d honest requests", n, time.Duration(longest.Load()).Round(time.Millisecond), times, sender.accepted.Load())
	for what := range resources {
		if held := h.budget.held(what); held != 0 {
			t.Errorf("%d of resource %d are still held", held, what)
		}
	}
}

// drip writes b again and again until the connection is closed.
func drip(c net.Conn, b []byte, stop <-chan struct{}) {
	tick := time.NewTicker(time.Duration(100+rand.IntN(100)) * time.Millisecond)
	defer tick.Stop()
	for b != nil {
		select {
		case <-stop:
			return
		case <-tick.C:
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	}
}

// errTimeout is err itself if it is a deadline's, else one that nothing is.
func errTimeout(err error) error {
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return err
	}
	return errNone
}

var errNone = errors.New("none")

// Rule: over receive.max_connections the ones that only hold on are closed
// first: an honest sender keeps its connection, and a new one gets in.
func TestConnectionsAreBoundedAndHonestOnesKeepTheirs(t *testing.T) {
	limit := NewConnections(20)
	h := handler(&sink{}, nil)
	addr := listen(t, h, DefaultTimeouts(), limit)
	sender := startHonest(t, addr)
	sender.beyond(t, 1)
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for i := range 300 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		slow[i%2].open(c)
		held = append(held, c)
		if i == 150 {
			startHonest(t, addr).beyond(t, 3) // a newcomer
		}
	}
	sender.beyond(t, 3)
	for deadline := time.Now().Add(20 * time.Second); limit.Open() > 20 || limit.Closed() < 250; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are open, %d were closed for the bound of 20", limit.Open(), limit.Closed())
		}
	}
	limit.Limit(5)
	sender.beyond(t, 1)
}
