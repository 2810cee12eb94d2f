package receive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pawl/pkg/config"
)

// post sends one request of a tenant straight to the handler.
func post(h *Handler, tenant string, body io.Reader) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/api/v1/write", body)
	if tenant != "" {
		r.Header.Set("X-Scope-OrgID", tenant)
	}
	h.ServeHTTP(w, r)
	return w
}

// announcing is a body whose header announces n bytes, and of which so many
// bytes follow; its length is not known before.
func announcing(n uint64, follow int) *countingReader {
	return &countingReader{r: io.LimitReader(io.MultiReader(bytes.NewReader(binary.AppendUvarint(nil, n)), zeros{}), int64(follow))}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// allocated is what f allocates, in bytes.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Rule: what the header gives away is refused with the first bytes: nothing of
// its size is allocated, and the body is not read on.
func TestWhatTheHeaderGivesAwayIsNotReadOn(t *testing.T) {
	for _, c := range []struct {
		name     string
		announce uint64
		body     int // bytes that would follow
		length   int64
		busy     int64 // bytes that others hold
		status   int
		reason   string
	}{
		{"larger than allowed", 65 << 20, 4 << 20, -1, 0, 413, "max_decoded_bytes"},
		{"4 GiB", 1<<32 - 1, 4 << 20, -1, 0, 413, "max_decoded_bytes"},
		{"more than 32 bits", 1 << 40, 4 << 20, -1, 0, 400, "snappy"},
		{"more than its announced length can hold", 60 << 20, 2 << 20, 2 << 20, 0, 400, "can hold"},
		{"no room", 60 << 20, 4 << 20, 4 << 20, 100 << 20, 503, "max_in_flight_bytes"},
		{"announced length over the limit", 1, 1, 17 << 20, 0, 413, "max_body_bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := handler(&sink{}, nil)
			h.budget.add("other", memory, c.busy)
			body := announcing(c.announce, c.body)
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, "/", body)
			r.ContentLength = c.length
			got := allocated(func() { h.ServeHTTP(w, r) })
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.reason) {
				t.Errorf("answered %d %s, want %d with %q", w.Code, w.Body, c.status, c.reason)
			}
			if body.n > firstRead || got > 64<<10 {
				t.Errorf("read %d bytes and allocated %d", body.n, got)
			}
			if held := h.budget.held(memory); held != c.busy {
				t.Errorf("%d bytes are still held", held-c.busy)
			}
		})
	}
}

// Rule: a body holds no more of the budget than has come of it, and what it
// held is given back whatever the answer.
func TestBytesAreGivenBack(t *testing.T) {
	for name, c := range map[string]struct {
		body io.Reader
		err  error
	}{
		"accepted":    {bytes.NewReader(bodyV1()), nil},
		"malformed":   {strings.NewReader("hello"), nil},
		"cut off":     {io.MultiReader(bytes.NewReader(bodyV1()[:9]), brokenReader{}), nil},
		"too large":   {announcing(1<<20, 17<<20), nil},
		"not taken":   {bytes.NewReader(bodyV1()), errors.New("the journal is broken")},
		"empty":       {bytes.NewReader(nil), nil},
		"lying short": {announcing(1<<20, 1<<20), nil},
	} {
		h := handler(&sink{err: c.err}, nil)
		w := post(h, "", c.body)
		for what := range resources {
			if held := h.budget.held(what); held != 0 {
				t.Errorf("%s: %d of resource %d are held after the answer %d", name, held, what, w.Code)
			}
		}
	}
	h := handler(&sink{}, nil)
	body := &heldReader{h: h, r: announcing(60<<20, 3<<20)}
	post(h, "", body)
	if body.most > 8<<20 || body.most < 1<<20 {
		t.Errorf("3 MB of a body that announces 60 held %d bytes", body.most)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// heldReader notes how much was held while it was read.
type heldReader struct {
	h    *Handler
	r    io.Reader
	most int64
}

func (r *heldReader) Read(p []byte) (int, error) {
	r.most = max(r.most, r.h.budget.held(memory))
	return r.r.Read(p)
}

// flood starts n requests of a tenant, which the sink holds, and tells how many got there.
func flood(t *testing.T, h *Handler, s *sink, wg *sync.WaitGroup, tenant string, n int) (working int64) {
	t.Helper()
	var mu sync.Mutex
	refused := 0
	for range n {
		wg.Go(func() {
			if w := post(h, tenant, bytes.NewReader(bodyV1())); w.Code != 204 {
				mu.Lock()
				refused++
				mu.Unlock()
			}
		})
	}
	synctest.Wait()
	mu.Lock()
	defer mu.Unlock()
	return int64(n - refused)
}

// Rule: a tenant alone may have everything; once another one was seen, a flood
// is shed first, and whoever is within its fair share gets in.
func TestAFloodOfOneTenantLeavesRoomForTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{block: make(chan struct{})}
		h := handler(s, func(c *config.Receive) { c.MaxInFlight = 40 })
		var wg sync.WaitGroup
		if got := flood(t, h, s, &wg, "flood", 100); got != 40 {
			t.Errorf("a tenant that is alone has %d of 40 places", got)
		}
		if w := post(h, "quiet", bytes.NewReader(bodyV1())); w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("with no place left the other one is answered %d", w.Code)
		}
		close(s.block)
		wg.Wait()
		// The flood comes again, before the other one has come back.
		s.block = make(chan struct{})
		if got := flood(t, h, s, &wg, "flood", 100); got != 30 {
			t.Errorf("beside another tenant the flood has %d of 40 places, want three quarters", got)
		}
		if w := post(h, "flood", bytes.NewReader(bodyV1())); w.Code != 503 || !strings.Contains(w.Body.String(), "more than its share") {
			t.Errorf("the flood is told %d %s", w.Code, w.Body)
		}
		if got := flood(t, h, s, &wg, "quiet", 10); got != 10 {
			t.Errorf("the other one has %d of the 10 places that are left", got)
		}
		close(s.block)
		wg.Wait()
		// Once the other one has been gone for long, everything is free again.
		time.Sleep(2 * lingering)
		s.block = make(chan struct{})
		if got := flood(t, h, s, &wg, "flood", 100); got != 40 {
			t.Errorf("alone again it has %d of 40 places", got)
		}
		close(s.block)
		wg.Wait()
	})
}

// Rule: the same holds for the bytes in flight.
func TestAFloodOfBytesLeavesRoomForTheOthers(t *testing.T) {
	b, most := &budget{}, int64(100)
	take := func(tenant string, n int64) bool { ok, _ := b.take(tenant, memory, n, most); return ok }
	if !take("quiet", 1) {
		t.Fatal("not even the first byte")
	}
	got := int64(0)
	for take("flood", 5) {
		got += 5
	}
	if got != 70 {
		t.Errorf("the flood has %d of 100 bytes beside 1 of another's, want 70: with 5 more it would be three quarters", got)
	}
	if !take("quiet", 20) {
		t.Error("who has less than its share gets nothing")
	}
	if take("quiet", 10) {
		t.Error("more than there is was given away")
	}
}

// Rule: made-up tenants are not remembered without bound.
func TestTenantsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := handler(&sink{}, func(c *config.Receive) { c.MaxTenantSamples = 1000 })
		for i := range 3 * maxLingering {
			if w := post(h, fmt.Sprint("tenant-", i), bytes.NewReader(bodyV1())); w.Code != 204 {
				t.Fatalf("tenant %d: %d %s", i, w.Code, w.Body)
			}
		}
		h.budget.add("busy", working, 1000)
		for i := range 3 * maxLingering {
			if w := post(h, fmt.Sprint("refused-", i), bytes.NewReader(bodyV1())); w.Code != 503 {
				t.Fatalf("tenant %d: %d %s", i, w.Code, w.Body)
			}
		}
		h.budget.add("busy", working, -1000)
		if n := len(h.budget.tenants); n > maxLingering+1 {
			t.Errorf("%d tenants are remembered", n)
		}
		time.Sleep(2 * lingering)
		post(h, "last", bytes.NewReader(bodyV1()))
		if n, m := len(h.budget.tenants), len(h.rates.free); n != 1 || m != 1 {
			t.Errorf("%d and %d tenants are remembered a minute later", n, m)
		}
	})
}

// Rule (RELIABILITY.md, 4): 429 is for a tenant over its configured rate only,
// and says when to come back.
func TestATenantOverItsRateIsTold429(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := handler(&sink{}, func(c *config.Receive) { c.MaxTenantSamples = 2 }) // bodyV1 has two samples
		accepted := 0
		for range 100 {
			w := post(h, "fast", bytes.NewReader(bodyV1()))
			if w.Code == 204 {
				accepted++
				continue
			}
			var after int
			if _, err := fmt.Sscan(w.Header().Get("Retry-After"), &after); w.Code != 429 || err != nil || after < 1 || after > 10 {
				t.Fatalf("answered %d with Retry-After %q", w.Code, w.Header().Get("Retry-After"))
			}
		}
		if accepted != 11 { // ten seconds' worth, and the one that goes over
			t.Errorf("%d requests of 2 samples at once at 2 samples a second, want 11", accepted)
		}
		if w := post(h, "slow", bytes.NewReader(bodyV1())); w.Code != 204 {
			t.Errorf("another tenant is answered %d", w.Code)
		}
		accepted = 0
		for range 1000 {
			time.Sleep(100 * time.Millisecond)
			if post(h, "fast", bytes.NewReader(bodyV1())).Code == 204 {
				accepted++
			}
		}
		if accepted < 99 || accepted > 101 {
			t.Errorf("%d samples in 100 s at 2 samples a second", 2*accepted)
		}
	})
}
