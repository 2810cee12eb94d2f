package sequence

import (
	"context"
	"errors"
	"time"

	"pawl/pkg/store"
)

// CheckpointNow asks for a checkpoint out of turn: it is what lets the journal
// be cut. It does not wait.
func (s *Sequencer) CheckpointNow() {
	select {
	case s.writer.checkpointNow <- struct{}{}:
	default:
	}
}

// roomEvery is how often a checkpoint that waits for space looks again.
const roomEvery = 200 * time.Millisecond

// inRoom does what writes n bytes (0: it declares a checkpoint) once the disk has room, and again where somebody took that before it
// could begin. The error is ctx's, or what is no matter of room. Writing is beside the writer, so only checkpoints wait: what is
// acknowledged is in the journal.
func (w *writer) inRoom(ctx context.Context, n int64, do func() error) error {
	for waited := false; ; waited = true {
		if w.state.Room(n) {
			if err := do(); !errors.Is(err, store.ErrNoRoom) {
				return err
			}
		}
		if !waited {
			w.log.Warn("the disk has no room for a checkpoint; it waits for space", "bytes", n)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(roomEvery):
		}
	}
}
