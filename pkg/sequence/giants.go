package sequence

import (
	"sync"
	"time"
)

const (
	// maxPooled is the largest request, in bytes of its buffers, that the
	// garbage collector's pool keeps for the next one: one giant must not hold
	// its memory for ever.
	maxPooled = 4 << 20

	// maxGiants bounds the larger ones, in bytes, those in use and those that are
	// kept together: what may be in flight at the door by default
	// (receive.max_in_flight_bytes). While more are in use none is kept.
	maxGiants = 128 << 20

	// giantsIdle is how long they are kept after the last one came.
	giantsIdle = 10 * time.Second
)

// giants are large requests that are over, kept for the next large ones while
// such come. Left to the collector, sixty megabytes each time, a flood of them
// outruns it: the process had 573 MiB where GOMEMLIMIT said 400.
type giants struct {
	mu    sync.Mutex
	free  []*Request
	bytes int64 // of free
	used  int64 // bytes of the messages of those in use
	idle  *time.Timer
}

// take gives a request for a message of n bytes: one whose message has room
// for them, and not for many times as many, because it is weighed at what it
// holds, or a new one, for which those kept make room.
func (g *giants) take(n int) *Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	best := -1
	for i, r := range g.free {
		if room := cap(r.Batch.Message); room >= n && room <= 2*n && (best < 0 || room < cap(g.free[best].Batch.Message)) {
			best = i
		}
	}
	var r *Request
	if best >= 0 {
		r = g.pick(best)
		r.giant = int64(cap(r.Batch.Message))
	} else {
		for len(g.free) > 0 && g.used+g.bytes+int64(n) > maxGiants {
			g.pick(len(g.free) - 1)
		}
		r = newRequest()
		r.giant = int64(n)
	}
	g.used += r.giant
	return r
}

// pick takes one out of those that are kept.
func (g *giants) pick(i int) *Request {
	r, last := g.free[i], len(g.free)-1
	g.free[i], g.free[last] = g.free[last], nil
	g.free = g.free[:last]
	g.bytes -= r.holds()
	return r
}

// put ends the use of a request, and keeps it for later unless there are enough.
func (g *giants) put(r *Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used -= r.giant
	r.giant = 0
	if g.used+g.bytes+r.holds() > maxGiants {
		return
	}
	g.free = append(g.free, r)
	g.bytes += r.holds()
	if g.idle == nil {
		g.idle = time.AfterFunc(giantsIdle, g.drop)
	}
	g.idle.Reset(giantsIdle)
}

// drop leaves them all to the collector.
func (g *giants) drop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free, g.bytes = nil, 0
}
