package bench

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"testing/synctest"
)

// Prometheus reads its WAL no further while one shard's queue is full: what the
// slowest shard has under way, in its queue and in the batch being gathered is
// how far another can be ahead, and it gets that far.
func TestAShardRunsAheadAsFarAsPrometheusLetsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, capacity = 2000, 10_000
		a := newApart(2, size, capacity)
		a.begin()
		ctx, stop := context.WithCancel(t.Context())
		began := 0
		over := make(chan error)
		go func() {
			for {
				if err := a.wait(ctx, 1, size); err != nil {
					over <- err
					return
				}
				began++
				a.answered(1, size)
			}
		}()
		synctest.Wait()
		// One under way at shard 0, five in its queue, one being gathered.
		if began != 7 {
			t.Errorf("%d requests were sent while the other shard's first was under way, want 7", began)
		}
		a.answered(0, size)
		synctest.Wait()
		if began != 8 {
			t.Errorf("%d requests were sent after the other shard's first was answered, want 8", began)
		}
		stop()
		if err := <-over; !errors.Is(err, context.Canceled) {
			t.Errorf("a shard that waits for another one ended with %v", err)
		}
	})
}

// A shard that has nothing more to send holds up nobody.
func TestAShardThatIsDoneIsNotWaitedFor(t *testing.T) {
	a := newApart(2, 10, 1)
	a.begin()
	a.end(0)
	for range 100 {
		if err := a.wait(t.Context(), 1, 10); err != nil {
			t.Fatal(err)
		}
		a.answered(1, 10)
	}
}

// Shards of unequal length, in turns of several scrapes, never wait for one another for ever.
func TestALoadWithABoundSendsEverything(t *testing.T) {
	u := newUpstream()
	srv := httptest.NewServer(u)
	defer srv.Close()
	l := NewLoad(&Fleet{Series: 1003}, V1, srv.URL+"/api/v1/write", 4, 50, 50)
	defer l.Close()
	for range 2 {
		if err := l.Scrapes(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
	}
	if u.got.Sum != l.Sent() || u.got.Samples != 8*1003 {
		t.Errorf("sent %v, counted %+v", l.Sent(), u.got)
	}
}
