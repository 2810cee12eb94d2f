package sequence

import (
	"context"
	"time"

	"pawl/pkg/store"
)

// A checkpoint is written beside the requests, with the same cores and the same
// disk. It takes its time, so that they hardly notice: a little is written,
// then it rests, and so does the database beside it (store.State.Leisurely).
// It hurries where somebody waits for its end: at a stop, while the disk is
// short of space, and when the next checkpoint would be due already.
const (
	// flushBytes of a draft are written at once: enough that a synced write is
	// worth it, little enough that a request's sync does not wait long.
	flushBytes = 256 << 10
	// restTimes: a rest is so many times as long as the work before it.
	restTimes = 6
	// longestRest bounds it: what took longer waited, on a machine that is busy.
	longestRest = 60 * time.Millisecond
	// flushMost is the most that one write counts as work. A longer one waits
	// for the database, whose work is counted by itself.
	flushMost = 20 * time.Millisecond
)

// flushAndRest writes what has gathered since began, and rests from it.
func (w *writer) flushAndRest(ctx context.Context, d *draft, version *store.Draft, began time.Time) error {
	before := d.busy
	d.busy += time.Since(began)
	if err := w.flush(ctx, d, version, version.Flush); err != nil {
		return err
	}
	return d.rest(ctx, d.busy-before)
}

// rest rests from work, unless it is in a hurry or gets into one.
func (d *draft) rest(ctx context.Context, work time.Duration) error {
	over := time.NewTimer(min(restTimes*work, longestRest))
	defer over.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-d.haste:
	case <-over.C:
	}
	return nil
}

// hurry has the draft under way written without rests.
func (w *writer) hurry() {
	if d := w.draft; d != nil && !d.hastened {
		d.hastened = true
		close(d.haste)
		w.state.Leisurely(false)
	}
}

// hurryDue does it when what is to be replayed after a crash, or what is kept
// of new series in memory, has grown so much that the next draft is due.
func (w *writer) hurryDue() {
	if w.overfull() {
		w.hurry()
	}
}

// hurries tells whether hurry was called. It may be called by anybody.
func (d *draft) hurries() bool {
	select {
	case <-d.haste:
		return true
	default:
		return false
	}
}
