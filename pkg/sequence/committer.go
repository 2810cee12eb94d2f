package sequence

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"pawl/internal/killpoint"
	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// A group is bounded so that the first request in it does not wait for the
// last one's megabytes.
const (
	maxGroup      = 512
	maxGroupBytes = 8 << 20
)

// committer writes requests to the journal, many with one sync: whatever
// arrives while one group is being synced makes up the next.
type committer struct {
	journal *store.Journal
	feed    *feed
	in      chan *Request
	stopped chan struct{}
	metrics *metrics
	seek    *atomic.Pointer[rewrite.PairLabels]
	time    journalTime
}

func newCommitter(j *store.Journal, f *feed, m *metrics) *committer {
	return &committer{journal: j, feed: f, seek: f.seek, in: make(chan *Request, maxGroup), stopped: make(chan struct{}), metrics: m}
}

// commit returns once the request is on disk.
func (c *committer) commit(r *Request) error {
	if r.kind == 0 {
		r.kind = batchKind(r.Batch.Version)
		r.seekReplicas(c.seek)
	}
	done := r.done
	select {
	case c.in <- r:
	case <-c.stopped:
		return ErrStopping
	}
	select {
	case err := <-done:
		return err
	case <-c.stopped:
		// The committer answers every request of the group that it is at
		// before it stops; what it left in the channel it never touched.
		select {
		case err := <-done:
			return err
		default:
			return ErrStopping
		}
	}
}

// run commits groups until ctx is done. A failed write or sync is final: what
// the disk holds is no longer known, and syncing again would not make it so.
func (c *committer) run(ctx context.Context) error {
	defer close(c.stopped)
	var group []*Request
	var records []store.Record
	for {
		group, records = group[:0], records[:0]
		select {
		case <-ctx.Done():
			return nil
		case r := <-c.in:
			group = append(group, r)
		}
		group = c.gather(group)
		began := time.Now()
		least := c.time.least(began)
		for _, r := range group {
			r.Time = max(r.Time, least)
			records = append(records, r.record())
		}
		err := c.journal.Append(records)
		c.metrics.sync.Observe(time.Since(began).Seconds())
		c.metrics.group.Observe(float64(len(group)))
		if err == nil {
			for i, r := range group {
				r.seq, r.Time = records[i].Seq, records[i].Time
			}
			c.time.note(records[len(records)-1].Time, least, began)
			killpoint.At(killpoint.SyncAnswer)
			c.answer(group, nil)
			c.feed.offer(group)
			continue
		}
		c.answer(group, err)
		if !errors.Is(err, store.ErrFull) {
			return fmt.Errorf("append to the journal: %w", err)
		}
	}
}

// gather adds what else is waiting already.
func (c *committer) gather(group []*Request) []*Request {
	bytes := int64(0)
	for len(group) < maxGroup && bytes < maxGroupBytes {
		select {
		case r := <-c.in:
			bytes += int64(len(r.Body))
			group = append(group, r)
		default:
			return group
		}
	}
	return group
}

func (c *committer) answer(group []*Request, err error) {
	for _, r := range group {
		r.done <- err
	}
}
