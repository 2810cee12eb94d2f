package sequence

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pawl/pkg/store"
)

// Rule: the writer gets every committed request once and in order, whether it
// kept up (memory) or not (read back from the journal).
func TestFeedGivesEverythingInOrder(t *testing.T) {
	for _, budget := range []int64{0, 3000, 1 << 20} {
		t.Run(fmt.Sprintf("budget=%d", budget), func(t *testing.T) {
			j, _ := openStore(t, t.TempDir())
			m := newMetrics(prometheus.NewRegistry())
			f := newFeed(j, budget, newFlow(1<<40), m)
			c := newCommitter(j, f, m)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			out := make(chan *Request, 2)
			over := make(chan error, 2)
			go func() { over <- c.run(ctx) }()
			go func() { over <- f.run(ctx, 1, out) }()
			const n = 300
			at := scrapes(20)
			go func() {
				rng := rand.New(rand.NewPCG(1, uint64(budget)))
				for k := range n {
					r := Borrow(0)
					r.Body = append(r.Body, at(k)...)
					if err := r.Batch.Decode(1, "", r.Body, trusted); err != nil {
						t.Error(err)
					}
					if err := c.commit(r); err != nil {
						t.Error(err)
					}
					if rng.IntN(20) == 0 {
						time.Sleep(time.Millisecond)
					}
				}
			}()
			for k := range n {
				r := <-out
				if r == nil {
					t.Fatal("the feed ended early: ", <-over)
				}
				if r.seq != uint64(k+1) || r.Batch.Samples[0].T != 1_790_000_000_000+int64(k)*15_000 {
					t.Fatalf("got record %d with time %d at place %d", r.seq, r.Batch.Samples[0].T, k+1)
				}
				r.Release()
			}
			cancel()
			for range 2 {
				if err := <-over; err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// Rule: what cannot be appended is not accepted, and says so to everyone in the group.
func TestAFullJournalAcceptsNothing(t *testing.T) {
	j, err := store.OpenJournal(t.TempDir(), store.JournalOptions{Sync: true, MaxBytes: 4096, SegmentBytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	m := newMetrics(prometheus.NewRegistry())
	c := newCommitter(j, newFeed(j, 1<<20, newFlow(1<<20), m), m)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- c.run(ctx) }()
	accepted := uint64(0)
	for k := 0; ; k++ {
		r := Borrow(0)
		r.Body = append(r.Body, make([]byte, 500)...)
		if err = c.commit(r); err != nil {
			break
		}
		accepted++
		if k > 100 {
			t.Fatal("never full")
		}
	}
	if fmt.Sprint(err) == "" || j.End() != accepted+1 {
		t.Errorf("%d accepted, the journal ends at %d, err %v", accepted, j.End(), err)
	}
	cancel()
	if err := <-over; err != nil {
		t.Errorf("a full journal is no failure of the committer: %v", err)
	}
}
