package forward

import (
	"context"
	"sync"
)

// Mark is the low-water mark of delivery: every batch up to Low is with the
// upstream or in the rejected store. Batches may be counted in any order.
type Mark struct {
	mu      sync.Mutex
	low     uint64
	done    map[uint64]struct{} // counted, above low+1: at most as many as are in flight
	changed chan struct{}       // closed and renewed when low moves
}

// NewMark starts at low: everything up to it was delivered before.
func NewMark(low uint64) *Mark {
	return &Mark{low: low, done: map[uint64]struct{}{}, changed: make(chan struct{})}
}

// Done counts batch seq. Counting one twice is a broken promise of ours.
func (m *Mark) Done(seq uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, twice := m.done[seq]; twice || seq <= m.low {
		panic("BUG: a batch was settled twice")
	}
	if seq != m.low+1 {
		m.done[seq] = struct{}{}
		return
	}
	m.low = seq
	for {
		if _, ok := m.done[m.low+1]; !ok {
			break
		}
		m.low++
		delete(m.done, m.low)
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

// Low is the last batch up to which all are settled.
func (m *Mark) Low() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.low
}

// Wait returns when every batch up to seq is settled, or with ctx's error.
func (m *Mark) Wait(ctx context.Context, seq uint64) error {
	for {
		m.mu.Lock()
		low, changed := m.low, m.changed
		m.mu.Unlock()
		if low >= seq {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}
