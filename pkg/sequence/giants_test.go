package sequence

import (
	"testing"
	"testing/synctest"
	"time"
)

// Rule (RELIABILITY.md, memory ceiling): a flood of large messages reuses the
// buffers of those before, and never much larger ones than needed; those in use
// and those kept are within one bound together, unless more are in use at once.
func TestLargeRequestsReuseWhatTheOnesBeforeHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g giants
		const mb = 1 << 20
		kept := func() (n int) {
			g.mu.Lock()
			defer g.mu.Unlock()
			sum := g.used
			for _, r := range g.free {
				sum += r.holds()
			}
			if len(g.free) > 0 && sum > maxGiants {
				t.Errorf("%d MB are in use or kept", sum/mb)
			}
			return len(g.free)
		}
		// use is what the door does: the message gets its room when it is decoded.
		use := func(n int) *Request {
			r := g.take(n)
			kept()
			if cap(r.Batch.Message) < n {
				r.Batch.Message = make([]byte, 0, n)
			}
			return r
		}
		ten, sixty := use(10*mb), use(60*mb)
		g.put(sixty)
		g.put(ten)
		var used []*Request
		for _, c := range []struct {
			need int
			want *Request // nil: another one
			why  string
		}{
			{11 * mb, nil, "60 MB are too many for 11, 10 too few"},
			{8 * mb, ten, "the one that fits best"},
			{8 * mb, nil, "it is taken already"},
			{60 * mb, sixty, "exactly enough"},
		} {
			got := use(c.need)
			used = append(used, got)
			if c.want != nil && got != c.want || c.want == nil && (got == ten || got == sixty) {
				t.Errorf("%d bytes: %s", c.need, c.why)
			}
		}
		for _, r := range used {
			g.put(r)
		}
		if n := kept(); n != 4 { // 11, 10, 8 and 60 MB
			t.Errorf("%d are kept", n)
		}
		g.put(use(100 * mb)) // nothing fits: those of 60 and 8 MB, that came last, make room
		if n := kept(); n != 3 {
			t.Errorf("%d are kept beside 100 MB", n)
		}
		for range 3 {
			used = []*Request{use(60 * mb), use(60 * mb), use(60 * mb)}
			if n := kept(); n != 0 {
				t.Errorf("%d are kept while 180 MB are in use", n)
			}
			for _, r := range used {
				g.put(r)
			}
		}
		if n := kept(); n != 2 {
			t.Errorf("%d of 60 MB are kept", n)
		}
		time.Sleep(giantsIdle - time.Second)
		g.put(use(60 * mb))
		time.Sleep(giantsIdle - time.Second)
		if n := kept(); n != 2 {
			t.Error("dropped while such requests came")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := kept(); n != 0 || g.bytes != 0 || g.used != 0 {
			t.Errorf("none came for a while: %d kept, %d bytes, %d used", n, g.bytes, g.used)
		}
	})
}
