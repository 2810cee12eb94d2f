package forward

import (
	"context"
	"math/bits"
	"sync"
	"sync/atomic"
)

// Mark is the low-water mark of delivery: every batch up to Low is with the
// upstream or in the rejected store. Batches may be counted in any order. One
// bit is kept for each batch above Low: while a tenant's batches are held, the
// others' may be ahead by as many as the journal has room for.
type Mark struct {
	samples, repeated, deduplicated, zeros atomic.Int64 // of all accounts

	mu      sync.Mutex
	low     uint64
	done    []uint64      // a bit for every batch above low, see bit
	changed chan struct{} // closed and renewed when low moves
}

// NewMark starts at low: everything up to it was delivered before.
func NewMark(low uint64) *Mark {
	return &Mark{low: low, changed: make(chan struct{})}
}

// Account is what a batch came with and what of that does not go out, in samples and native histograms:
// accepted + zeros = delivered + rejected + left out (repeated, deduplicated, dropped by relabelling) + pending.
type Account struct {
	Samples      uint32 // that are through with it: those of its record that are not held, and those held before that go out with it
	Repeated     uint32 // left out: the same place in the series is taken
	Deduplicated uint32 // left out: the elected replica of a pair tells the same
	Zeros        uint32 // put in before resets
}

// Settle adds the account of a batch, once, when nothing of the batch waits any more.
func (m *Mark) Settle(a Account) {
	m.samples.Add(int64(a.Samples))
	m.repeated.Add(int64(a.Repeated))
	m.deduplicated.Add(int64(a.Deduplicated))
	m.zeros.Add(int64(a.Zeros))
}

// Owe says that n samples of batches that were settled before the start are still held.
func (m *Mark) Owe(n int) { m.samples.Add(-int64(n)) }

// Settled are all accounts so far, added up.
func (m *Mark) Settled() (samples, repeated, deduplicated, zeros int64) {
	return m.samples.Load(), m.repeated.Load(), m.deduplicated.Load(), m.zeros.Load()
}

// bit is where batch seq is in done, whose first word holds batch low+1.
func (m *Mark) bit(seq uint64) (word int, mask uint64) {
	return int(seq/64 - (m.low+1)/64), 1 << (seq % 64)
}

// Done counts batch seq. Counting one twice is a broken promise of ours.
func (m *Mark) Done(seq uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if seq <= m.low {
		panic("BUG: a batch was settled twice")
	}
	word, mask := m.bit(seq)
	for len(m.done) <= word {
		m.done = append(m.done, 0)
	}
	if m.done[word]&mask != 0 {
		panic("BUG: a batch was settled twice")
	}
	m.done[word] |= mask
	if seq != m.low+1 {
		return
	}
	for len(m.done) > 0 {
		at := (m.low + 1) % 64
		run := uint64(bits.TrailingZeros64(^(m.done[0] >> at)))
		m.low += min(run, 64-at)
		if at+run < 64 {
			break
		}
		m.done = m.done[1:]
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
