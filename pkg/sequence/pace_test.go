package sequence

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Rule: a checkpoint rests from its work, no longer than it may, and not at all
// once somebody waits for its end.
func TestACheckpointRests(t *testing.T) {
	for _, c := range []struct{ work, rest time.Duration }{
		{0, 0}, {time.Millisecond, restTimes * time.Millisecond}, {time.Minute, longestRest},
	} {
		synctest.Test(t, func(t *testing.T) {
			d, began := &draft{haste: make(chan struct{})}, time.Now()
			if err := d.rest(t.Context(), c.work); err != nil || time.Since(began) != c.rest {
				t.Errorf("from %s of work it rests for %s, want %s (%v)", c.work, time.Since(began), c.rest, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := &writer{draft: &draft{haste: make(chan struct{})}}
		began := time.Now()
		go func() {
			time.Sleep(time.Millisecond)
			w.hurry()
			w.hurry()
		}()
		if err := w.draft.rest(t.Context(), time.Second); err != nil || time.Since(began) != time.Millisecond || !w.draft.hurries() {
			t.Errorf("hurried after 1 ms it rests for %s (%v)", time.Since(began), err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		stop()
		d := &draft{haste: make(chan struct{})}
		if err := d.rest(ctx, time.Second); !errors.Is(err, context.Canceled) {
			t.Errorf("the rest of a writer that stops ends with %v", err)
		}
	})
}

// Rule: a checkpoint hurries when what would be replayed after a crash, or what
// is kept of new series, is so much that the next one is due.
func TestACheckpointHurriesWhenTheNextIsDue(t *testing.T) {
	for what, c := range map[string]struct {
		samples int64
		bytes   int
		want    bool
	}{
		"little": {replaySamples, freshBytes, false}, "many samples": {replaySamples + 1, 0, true}, "many new series": {0, freshBytes + 1, true},
	} {
		w := newTestWriter(t)
		w.hurryDue() // there is none
		w.draft = &draft{haste: make(chan struct{})}
		w.samples, w.labels.bytes = c.samples, c.bytes
		w.hurryDue()
		if got := w.draft.hurries(); got != c.want {
			t.Errorf("%s: hurries is %v", what, got)
		}
		w.draft = nil
	}
}
