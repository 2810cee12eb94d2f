package sequence

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pawl/pkg/store"
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
	const many = 2 * freshBytes / freshShare // series
	for what, c := range map[string]struct {
		samples int64
		series  int
		bytes   int
		want    bool
	}{
		"little": {replaySamples, 0, freshBytes, false}, "many samples": {replaySamples + 1, 0, 0, true}, "many new series": {0, 0, freshBytes + 1, true},
		"many new series, for as many as there are": {0, many, 2 * freshBytes, false}, "for those, too": {0, many, 2*freshBytes + 1, true},
	} {
		w := newTestWriter(t)
		w.hurryDue() // there is none
		w.draft = &draft{haste: make(chan struct{})}
		w.samples, w.table.live, w.labels.bytes = c.samples, c.series, c.bytes
		w.hurryDue()
		if got := w.draft.hurries(); got != c.want {
			t.Errorf("%s: hurries is %v", what, got)
		}
		w.draft = nil
	}
}

// Rule: however many series come for the first time, the labels of so many more as are there already, in proportion, have a
// checkpoint due: their number grows as the logarithm of that of the series, and where labels take what those of targets do there is none.
func TestCheckpointsOfAFirstContactGrowAsItsLogarithm(t *testing.T) {
	checkpoints := func(series, label int) (n int) {
		for known, fresh := 0, 0; known < series; known += 1000 {
			if fresh += 1000 * label; fresh > freshMost(known+1000) {
				n, fresh = n+1, 0
			}
		}
		return n
	}
	if n := checkpoints(50_000_000, 14); n != 0 {
		t.Errorf("labels of 14 bytes: %d checkpoints", n)
	}
	for _, label := range []int{24, 32, 64} {
		first, second := checkpoints(5_000_000, label), checkpoints(50_000_000, label)
		more := math.Log(10) / -math.Log(1-float64(freshShare)/float64(label)) // known (1 - 16/label) times as many before each
		if n := second - first; float64(n) > more+1 {
			t.Errorf("labels of %d bytes: %d checkpoints for 5 million series and %d for ten times as many, want %.1f more", label, first, second, more)
		}
	}
}

// Rule: pages that requests force to be copied wait compressed for the checkpointer, those whose series are new too: it takes
// its time, so in a first contact nearly all of them wait.
func TestCopiesOfNewSeriesWaitCompressed(t *testing.T) {
	w := newTestWriter(t)
	w.apply(decoded(t, &Request{}, 1, scrapes(20*pageLen)(1)))
	w.draft = &draft{labels: w.labels, dueSeries: w.table.pages.fall(), more: make(chan struct{}, 1), haste: make(chan struct{})}
	w.labels, w.ahead = newIdentities(), 2
	w.apply(decoded(t, &Request{}, 2, scrapes(20*pageLen)(2)))
	var open, packed int
	for _, s := range w.draft.sheets {
		switch {
		case s.prefix != store.PrefixSeries:
		case !s.named:
			t.Errorf("page %d has new labels and does not say so", s.page)
		case s.packed == nil:
			open++
		default:
			packed++
		}
	}
	w.draft = nil
	if open > 2 || open+packed != 20 {
		t.Errorf("%d pages wait as they are and %d compressed, want 2 and 18", open, packed)
	}
}
