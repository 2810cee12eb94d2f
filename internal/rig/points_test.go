//go:build rig

package rig

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pawl/internal/killpoint"
)

// startPoints are passed in a start.
var startPoints = []killpoint.Point{
	killpoint.RecoverJournal, killpoint.RecoverTail, killpoint.RecoverState, killpoint.RecoverReplay, killpoint.RecoverReady,
}

// poisonEvery is how many of the upstream's requests one is refused for good
// of, where the point is in the way of what is refused.
const poisonEvery = 5

// Killed between any two steps whose order matters, the relay loses nothing,
// repeats the same bits and goes on with the same corrections.
func TestKilledAtNamedPoints(t *testing.T) {
	seed, times := seedOf(t), countOr(t, 2)
	figures := map[string]float64{}
	// Ten times round all points in one life is enough of one storage.
	for done := 0; done < times; done += 10 {
		r := newRun(t, seed+uint64(done), runOptions{})
		r.load()
		r.relay.ready(t)
		for range min(10, times-done) {
			for _, p := range killpoint.Points() {
				r.killAt(p)
				figures["kills"]++
				figures["kills at "+string(p)]++
			}
		}
		r.finish()
		r.countRepeats(figures)
		if t.Failed() {
			t.Fatalf("run with seed %d", r.seed)
		}
	}
	report(t, figures)
}

// start starts the relay again and waits until it is ready.
func (r *run) start() {
	r.t.Helper()
	if err := r.relay.start(); err != nil {
		r.t.Fatal(err)
	}
	if err := r.relay.awaitReady(30 * time.Second); err != nil {
		r.t.Fatal(err)
	}
}

// killAt ends the running relay by SIGKILL, and starts one that kills itself
// at one of the first passings of p.
func (r *run) killAt(p killpoint.Point) {
	r.t.Helper()
	time.Sleep(time.Duration(r.rand.IntN(100)) * time.Millisecond)
	r.relay.kill()
	passing := 1 + r.rand.IntN(3)
	if slices.Contains(startPoints, p) && p != killpoint.RecoverReplay {
		passing = 1
	}
	r.upstream.act(take)
	if strings.HasPrefix(string(p), "reject-") {
		r.upstream.act(func(n int64, _ []arrival) deed {
			if n%poisonEvery == 0 {
				return deed{status: 400}
			}
			return deed{}
		})
	}
	for {
		if err := r.relay.start(fmt.Sprintf("%s=%s:%d", killpoint.EnvKill, p, passing)); err != nil {
			r.t.Fatal(err)
		}
		yes, killed := r.relay.ended(15 * time.Second)
		switch {
		case killed:
			r.start()
			return
		case yes:
			r.t.Fatalf("at %s: the relay ended by itself: %v", p, r.relay.err)
		case passing > 1:
			passing = 1 // it does not come by here so often
			r.relay.kill()
		default:
			r.t.Fatalf("the relay has not passed %s within 15 s", p)
		}
	}
}

// Five kills in a row within starts: what a start does is safe to begin again.
func TestKilledFiveTimesInARowWhileStarting(t *testing.T) {
	seed, times := seedOf(t), countOr(t, 2)
	figures := map[string]float64{}
	r := newRun(t, seed, runOptions{})
	r.load()
	r.start()
	for range times {
		for _, p := range startPoints {
			time.Sleep(time.Duration(r.rand.IntN(300)) * time.Millisecond)
			r.relay.kill()
			r.upstream.act(r.mood())
			for i := range 5 {
				passing := 1
				if p == killpoint.RecoverReplay {
					passing += i * r.rand.IntN(20)
				}
				if err := r.relay.start(fmt.Sprintf("%s=%s:%d", killpoint.EnvKill, p, passing)); err != nil {
					t.Fatal(err)
				}
				yes, killed := r.relay.ended(15 * time.Second)
				if yes && !killed {
					t.Fatalf("at %s: the relay ended by itself: %v", p, r.relay.err)
				}
				if !yes && p != killpoint.RecoverReplay { // there may have been fewer records to replay
					t.Fatalf("the relay has not passed %s within 15 s", p)
				}
				r.relay.kill()
				figures["kills"]++
			}
			figures["rows of five"]++
			r.start()
		}
	}
	r.finish()
	report(t, figures)
}
