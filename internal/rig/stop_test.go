//go:build rig

package rig

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"
)

// SIGTERM under load with an upstream that hangs, and a second one after it:
// the relay ends within ten seconds with 0, and the next start repeats no more
// than what was on its way.
func TestStopsUnderLoadWhileTheUpstreamHangs(t *testing.T) {
	seed, stops := seedOf(t), countOr(t, 10)
	var mu sync.Mutex
	figures := map[string]float64{}
	// A stop is mostly waiting, so several go at once.
	for done := 0; done < stops; done += 10 {
		t.Run(fmt.Sprint("from ", done), func(t *testing.T) {
			for i := range min(10, stops-done) {
				t.Run("stop", func(t *testing.T) {
					t.Parallel()
					r := newRun(t, seed+uint64(done+i), runOptions{shards: 2, relay: relayOptions{timeout: 30 * time.Second}})
					took, again := r.stopWhileHanging()
					r.finish()
					mu.Lock()
					defer mu.Unlock()
					figures["stops"]++
					figures["longest stop, s"] = max(figures["longest stop, s"], took.Seconds())
					figures["most samples repeated after a stop"] = max(figures["most samples repeated after a stop"], float64(again))
				})
			}
		})
	}
	report(t, figures)
}

// inFlight is how many samples may be repeated after a clean stop: what the
// upstream had taken without an answer. It is the most requests that may be on
// their way at once (max_shards, 50) with the most samples that the rig puts in one.
const inFlight = 50 * 60

func (r *run) stopWhileHanging() (took time.Duration, again int64) {
	r.start()
	r.load()
	time.Sleep(300 * time.Millisecond)
	// It keeps what it gets, and does not answer: the worst for repetitions.
	r.upstream.act(func(_ int64, got []arrival) deed {
		r.upstream.keep(got)
		return deed{hang: true}
	})
	time.Sleep(time.Duration(200+r.rand.IntN(400)) * time.Millisecond)
	began := time.Now()
	for range 2 {
		if err := r.relay.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			r.t.Fatalf("SIGTERM: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	yes, _ := r.relay.ended(10*time.Second - time.Since(began))
	took = time.Since(began)
	if !yes {
		r.t.Fatal("the relay has not ended within 10 s of SIGTERM")
	}
	if r.relay.err != nil {
		r.t.Fatalf("the relay ended with %v, want 0", r.relay.err)
	}
	_, before := r.upstream.arrived()
	r.upstream.act(take)
	r.start()
	r.quiet()
	r.drained(time.Minute)
	_, after := r.upstream.arrived()
	again = after - before
	// The senders, too, repeat what they were not answered, and one request in thirty.
	_, _, _, repeated := r.sent()
	if again > inFlight+repeated*60 {
		r.t.Errorf("%d samples were repeated after a clean stop, %d at most were on their way", again, inFlight)
	}
	return took, again
}
