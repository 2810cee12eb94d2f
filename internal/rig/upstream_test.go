//go:build rig

package rig

import (
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// arrival is one sample of a request to the upstream.
type arrival struct {
	series int32
	t      int64
	bits   uint64
}

// deed is what the upstream does with one request.
type deed struct {
	delay      time.Duration
	hang       bool   // until the relay gives up
	reset      bool   // the connection is reset; nothing is kept
	lose       bool   // everything is kept, and the connection is reset instead of an answer
	status     int    // 0: 204; only 2xx keeps what came
	retryAfter string // as it stands in the header
}

// script says what the upstream does with its n-th request, which holds these samples.
type script func(n int64, got []arrival) deed

func take(int64, []arrival) deed { return deed{} }

// upstream keeps every sample that it ever acknowledged, and every one of
// which the relay cannot know whether it did.
type upstream struct {
	fleet  *fleet
	srv    *httptest.Server
	url    string
	script atomic.Pointer[script]
	asked  atomic.Int64
	done   chan struct{} // closed at the end: hanging requests end

	mu      sync.Mutex
	series  []kept
	strange []string // what must not be: B, C and D
	first   int64    // samples that came for the first time
	again   int64    // and once more

	unordered bool           // the senders themselves are not in order
	refused   map[place]bool // what was refused for good, at least once
}

// kept is what the upstream has of one series, in order of time.
type kept struct {
	t      []int64
	bits   []uint64
	newest int64 // timestamp of the newest that came for the first time
}

func startUpstream(t *testing.T, f *fleet) *upstream {
	t.Helper()
	u := &upstream{fleet: f, done: make(chan struct{})}
	u.act(take)
	u.srv = httptest.NewServer(u)
	u.url = u.srv.URL
	t.Cleanup(func() {
		close(u.done)
		u.srv.CloseClientConnections()
		u.srv.Close()
	})
	return u
}

// act changes what the upstream does from the next request on.
func (u *upstream) act(s script) { u.script.Store(&s) }

// always does one thing to all requests.
func always(d deed) script { return func(int64, []arrival) deed { return d } }

func (u *upstream) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	got, v2, err := u.decode(req)
	if err != nil {
		u.mu.Lock()
		u.odd("the upstream was sent something unreadable: %v", err)
		u.mu.Unlock()
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	d := (*u.script.Load())(u.asked.Add(1), got)
	if d.delay > 0 {
		select {
		case <-time.After(d.delay):
		case <-u.done:
		}
	}
	if d.hang {
		select {
		case <-req.Context().Done():
		case <-u.done:
		}
		return
	}
	if d.lose || !d.reset && d.status/100 == 2 || !d.reset && d.status == 0 {
		u.keep(got)
	}
	if d.lose || d.reset {
		cut(w)
		return
	}
	if d.status == http.StatusBadRequest {
		u.refuse(got)
	}
	if v2 {
		samples, histograms := 0, 0
		if d.status/100 == 2 || d.status == 0 {
			for _, a := range got {
				if a.native() {
					histograms++
				} else {
					samples++
				}
			}
		}
		w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(samples))
		w.Header().Set("X-Prometheus-Remote-Write-Histograms-Written", strconv.Itoa(histograms))
		w.Header().Set("X-Prometheus-Remote-Write-Exemplars-Written", "0")
	}
	if d.retryAfter != "" {
		w.Header().Set("Retry-After", d.retryAfter)
	}
	switch {
	case d.status == 0:
		w.WriteHeader(http.StatusNoContent)
	case d.status/100 == 2:
		w.WriteHeader(d.status)
	default:
		http.Error(w, "the rig's upstream says "+strconv.Itoa(d.status), d.status)
	}
}

// cut resets the connection.
func cut(w http.ResponseWriter) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}

// nativeMark makes room for telling histograms from samples in an arrival.
const nativeMark = int32(1) << 30

func (a arrival) native() bool { return a.series&nativeMark != 0 }
func (a arrival) id() int32    { return a.series &^ nativeMark }

// decode reads a request with Prometheus' own generated code.
func (u *upstream) decode(req *http.Request) (got []arrival, v2 bool, err error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, false, nil // the relay was killed on the way
	}
	raw, err := snappy.Decode(nil, body)
	if err != nil {
		return nil, false, err
	}
	_, params, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil {
		return nil, false, err
	}
	if params["proto"] == messageV2 {
		got, err = u.decodeV2(raw)
		return got, true, err
	}
	got, err = u.decodeV1(raw)
	return got, false, err
}

func (u *upstream) decodeV1(raw []byte) (got []arrival, err error) {
	var msg prompb.WriteRequest
	if err := msg.Unmarshal(raw); err != nil {
		return nil, err
	}
	var b labels.ScratchBuilder
	for _, ts := range msg.Timeseries {
		id, err := u.find(ts.ToLabels(&b, nil))
		if err != nil {
			return nil, err
		}
		for _, s := range ts.Samples {
			got = append(got, arrival{id, s.Timestamp, bitsOf(s.Value)})
		}
		for _, h := range ts.Histograms {
			got = append(got, arrival{id | nativeMark, h.Timestamp, fingerprint(&h)})
		}
	}
	return got, nil
}

func (u *upstream) decodeV2(raw []byte) (got []arrival, err error) {
	var msg writev2.Request
	if err := msg.Unmarshal(raw); err != nil {
		return nil, err
	}
	var b labels.ScratchBuilder
	for _, ts := range msg.Timeseries {
		ls, err := ts.ToLabels(&b, msg.Symbols)
		if err != nil {
			return nil, err
		}
		id, err := u.find(ls)
		if err != nil {
			return nil, err
		}
		for _, s := range ts.Samples {
			got = append(got, arrival{id, s.Timestamp, bitsOf(s.Value)})
		}
		for _, h := range ts.Histograms {
			fh := h.ToFloatHistogram()
			if !h.IsFloatHistogram() {
				fh = h.ToIntHistogram().ToFloat(nil)
			}
			got = append(got, arrival{id | nativeMark, h.Timestamp, fingerprintOf(fh)})
		}
	}
	return got, nil
}

func (u *upstream) find(ls labels.Labels) (int32, error) {
	id, ok := u.fleet.byName[ls.String()]
	if !ok {
		return 0, fmt.Errorf("a series that was never sent: %s", ls)
	}
	return id, nil
}

// keep files what came, and looks for what must not be: (C) another value for
// a timestamp that is there, (D) a sample older than one that is there.
func (u *upstream) keep(got []arrival) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.series) < len(u.fleet.labels) {
		u.series = append(u.series, kept{})
	}
	for _, a := range got {
		k := &u.series[a.id()]
		at := sort.Search(len(k.t), func(i int) bool { return k.t[i] >= a.t })
		if at < len(k.t) && k.t[at] == a.t {
			u.again++
			if k.bits[at] != a.bits {
				u.odd("C: %s at %d came as %x and as %x", u.fleet.labels[a.id()], a.t, k.bits[at], a.bits)
			}
			continue
		}
		u.first++
		// What was refused for good was settled so; that it comes again, with a
		// repetition of the sender's or after a kill, and is taken then, is no disorder.
		if at < len(k.t) && !u.unordered && !u.refused[place{a.id(), a.t}] {
			u.odd("D: %s at %d came for the first time after %d", u.fleet.labels[a.id()], a.t, k.newest)
		}
		k.newest = max(k.newest, a.t)
		k.t = append(k.t, 0)
		k.bits = append(k.bits, 0)
		copy(k.t[at+1:], k.t[at:])
		copy(k.bits[at+1:], k.bits[at:])
		k.t[at], k.bits[at] = a.t, a.bits
	}
}

func (u *upstream) refuse(got []arrival) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.refused == nil {
		u.refused = map[place]bool{}
	}
	for _, a := range got {
		u.refused[place{a.id(), a.t}] = true
	}
}

// odd notes what must not be. mu is held.
func (u *upstream) odd(format string, args ...any) {
	if len(u.strange) < 20 {
		u.strange = append(u.strange, fmt.Sprintf(format, args...))
	}
}

// bits is what is there of a series at a timestamp. mu is held.
func (u *upstream) bits(id int32, t int64) (uint64, bool) {
	if int(id) >= len(u.series) {
		return 0, false
	}
	k := &u.series[id]
	at := sort.Search(len(k.t), func(i int) bool { return k.t[i] >= t })
	if at == len(k.t) || k.t[at] != t {
		return 0, false
	}
	return k.bits[at], true
}

// arrived is how many samples have come, for the first time and again.
func (u *upstream) arrived() (first, again int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.first, u.again
}
