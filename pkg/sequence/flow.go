package sequence

import (
	"context"
	"sync/atomic"
)

// flow bounds, in bytes, the requests between the feed and the upstream's
// acknowledgement. What does not fit waits in the feed's tail, whose bytes are
// bounded too, and beyond that in the journal: so memory is flat, however long
// the backlog. One request that is larger than the whole passes alone.
type flow struct {
	window int64
	bytes  atomic.Int64
	landed chan struct{} // something has left
}

func newFlow(window int64) *flow { return &flow{window: window, landed: make(chan struct{}, 1)} }

// enter waits until there is room for n bytes and takes them; false if ctx was
// done first. Only the feed calls it.
func (f *flow) enter(ctx context.Context, n int64) bool {
	for {
		if held := f.bytes.Load(); held == 0 || held+n <= f.window {
			f.bytes.Add(n)
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-f.landed:
		}
	}
}

// leave gives n bytes back.
func (f *flow) leave(n int64) {
	f.bytes.Add(-n)
	select {
	case f.landed <- struct{}{}:
	default:
	}
}
