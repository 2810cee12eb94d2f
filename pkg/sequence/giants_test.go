package sequence

import (
	"testing"
	"testing/synctest"
	"time"
)

// giant is a request whose message has room for n bytes.
func giant(n int) *Request {
	r := &Request{done: make(chan error, 1)}
	r.Batch.Message = make([]byte, 0, n)
	return r
}

// Rule (RELIABILITY.md, memory ceiling): a flood of large messages reuses the
// buffers of those before, within a bound, and never much larger ones than needed.
func TestLargeRequestsReuseWhatTheOnesBeforeHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g giants
		kept := func() (int, int64) {
			g.mu.Lock()
			defer g.mu.Unlock()
			return len(g.free), g.bytes
		}
		const mb = 1 << 20
		if g.take(5*mb) != nil {
			t.Fatal("something came out of nothing")
		}
		ten, sixty := giant(10*mb), giant(60*mb)
		g.put(sixty)
		g.put(ten)
		for _, c := range []struct {
			need int
			want *Request
			why  string
		}{
			{11 * mb, nil, "60 MB are too many for 11, 10 too few"},
			{8 * mb, ten, "the one that fits best"},
			{8 * mb, nil, "it is taken already"},
			{60 * mb, sixty, "exactly enough"},
			{60 * mb, nil, "it is taken already"},
		} {
			if got := g.take(c.need); got != c.want {
				t.Errorf("%d bytes: %s", c.need, c.why)
			}
		}
		for range 5 {
			g.put(giant(60 * mb))
		}
		if n, bytes := kept(); n != 2 || bytes > maxGiants {
			t.Errorf("%d are kept, %d bytes", n, bytes)
		}
		time.Sleep(giantsIdle - time.Second)
		g.put(g.take(60 * mb))
		time.Sleep(giantsIdle - time.Second)
		if n, _ := kept(); n != 2 {
			t.Error("dropped while such requests came")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n, bytes := kept(); n != 0 || bytes != 0 {
			t.Error("kept although none came for a while")
		}
	})
}
