package sequence

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"

	"github.com/golang/snappy"

	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// trusted are the limits for what is read back from the journal: it was
// checked when it came in, and a limit lowered since must not lose it.
var trusted = rewrite.Limits{MaxDecodedBytes: math.MaxInt32, MaxLabels: math.MaxInt32, MaxLabelValueBytes: math.MaxInt32}

// feed hands committed requests to the writer in journal order: from memory
// while the writer keeps up, read back from the journal where it does not; and
// no more at once than flow has room for.
type feed struct {
	journal *store.Journal
	budget  int64
	flow    *flow
	metrics *metrics
	seek    *atomic.Pointer[rewrite.PairLabels] // see Request.seekReplicas; nil: nothing to look for

	mu    sync.Mutex
	tail  []*Request // committed, in order, gaps where the budget was spent
	bytes int64
	end   uint64 // every record below is committed and offered
	more  chan struct{}
}

func newFeed(j *store.Journal, budget int64, fl *flow, m *metrics) *feed {
	return &feed{journal: j, budget: budget, flow: fl, metrics: m, end: j.End(), more: make(chan struct{}, 1)}
}

// offer gives the feed a group that was just committed.
func (f *feed) offer(group []*Request) {
	f.mu.Lock()
	for _, r := range group {
		f.end = r.seq + 1
		if f.bytes+r.weigh() > f.budget {
			r.Release() // it is in the journal
			continue
		}
		f.bytes += r.held
		f.tail = append(f.tail, r)
	}
	f.mu.Unlock()
	select {
	case f.more <- struct{}{}:
	default:
	}
}

// take is the request numbered seq if it is in memory; committed tells
// whether it is in the journal at least.
func (f *feed) take(seq uint64) (r *Request, committed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.tail) > 0 && f.tail[0].seq == seq {
		r = f.tail[0]
		f.tail[0] = nil
		f.tail = f.tail[1:]
		f.bytes -= r.held
	}
	return r, seq < f.end
}

// run sends everything from next on to out, until ctx is done.
func (f *feed) run(ctx context.Context, next uint64, out chan<- *Request) error {
	defer close(out)
	var disk *store.JournalReader
	defer func() {
		if disk != nil {
			disk.Close()
		}
	}()
	for {
		r, committed := f.take(next)
		switch {
		case r == nil && !committed:
			select {
			case <-ctx.Done():
				return nil
			case <-f.more:
			}
			continue
		case r != nil && disk != nil:
			disk.Close()
			disk = nil
		case r == nil:
			var err error
			if disk == nil {
				if disk, err = f.journal.Reader(next); err != nil {
					return fmt.Errorf("read the journal from record %d: %w", next, err)
				}
			}
			if r, err = fromDisk(disk, next); err != nil {
				return err
			}
			f.metrics.readBack.Inc()
			r.seekReplicas(f.seek)
		}
		next++
		if !f.flow.enter(ctx, r.held) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case out <- r:
		}
	}
}

// fromDisk reads and decodes the record that must be numbered seq.
func fromDisk(disk *store.JournalReader, seq uint64) (*Request, error) {
	rec, err := disk.Next()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the journal ends before record %d, which was committed", seq)
	}
	if err != nil {
		return nil, fmt.Errorf("read record %d of the journal: %w", seq, err)
	}
	if rec.Seq != seq {
		panic(fmt.Sprintf("BUG: asked the journal for record %d and got %d", seq, rec.Seq))
	}
	message := 0
	if rec.Kind == store.KindBatch1 || rec.Kind == store.KindBatch2 {
		message, _ = snappy.DecodedLen(rec.Payload) // what is no snappy block is told below
	}
	r := Borrow(message)
	r.Body = append(r.Body, rec.Payload...)
	r.Time, r.kind, r.seq = rec.Time, rec.Kind, rec.Seq
	var v rewrite.Version
	switch rec.Kind {
	case store.KindBatch1:
		v = rewrite.V1
	case store.KindBatch2:
		v = rewrite.V2
	default:
		r.weigh()
		return r, nil
	}
	if err := r.Batch.Decode(v, rec.Tenant, r.Body, trusted); err != nil {
		return nil, fmt.Errorf("record %d of the journal was accepted and cannot be decoded: %w", seq, err)
	}
	r.weigh()
	return r, nil
}
