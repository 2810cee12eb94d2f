//go:build rig

package rig

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// killsPerRun are the kills between an empty storage and a check.
const killsPerRun = 20

// Killed at any moment, and at any moment of a start, the relay loses nothing,
// repeats the same bits and goes on with the same corrections, whatever the
// upstream does meanwhile.
func TestKilledAtRandomMoments(t *testing.T) {
	seed, kills := seedOf(t), countOr(t, killsPerRun)
	figures := map[string]float64{}
	for done := 0; done < kills; done += killsPerRun {
		n := min(killsPerRun, kills-done)
		// Rare checkpoints make for long replays, frequent ones for kills within them.
		every := []time.Duration{20 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second}[(seed+uint64(done)/killsPerRun)%3]
		r := newRun(t, seed+uint64(done), runOptions{relay: relayOptions{checkpoint: every}})
		r.killAtRandom(n, figures)
		r.finish()
		requests, _, _, _ := r.sent()
		figures["kills"] += float64(n)
		figures["requests"] += float64(requests)
		r.countRepeats(figures)
		if t.Failed() {
			t.Fatalf("run with seed %d", r.seed)
		}
	}
	report(t, figures)
}

// killAtRandom kills the relay n times under load, each time after 5 ms to a second.
func (r *run) killAtRandom(n int, figures map[string]float64) {
	r.t.Helper()
	r.load()
	for range n {
		r.upstream.act(r.mood())
		if err := r.relay.start(); err != nil {
			r.t.Fatal(err)
		}
		starting := r.rand.IntN(4) == 0
		if !starting {
			if err := r.relay.awaitReady(30 * time.Second); err != nil {
				r.t.Fatal(err)
			}
		}
		time.Sleep(time.Duration(5 * math.Pow(200, r.rand.Float64()) * float64(time.Millisecond)))
		if yes, _ := r.relay.ended(0); yes {
			r.t.Fatalf("the relay ended by itself: %v", r.relay.err)
		}
		r.relay.kill()
		if starting {
			figures["kills while starting"]++
		}
	}
	r.start()
}

// mood is one of the ways in which an upstream behaves while the relay dies.
func (r *run) mood() script {
	seed := r.rand.Uint64()
	flapping := func(n int64, _ []arrival) deed {
		switch x := rand.New(rand.NewPCG(seed, uint64(n))); x.IntN(6) {
		case 0:
			return deed{status: 503}
		case 1:
			return deed{lose: true}
		case 2:
			return deed{reset: true}
		case 3:
			return deed{delay: time.Duration(x.IntN(100)) * time.Millisecond}
		}
		return deed{}
	}
	moods := []script{
		take, take, flapping, flapping,
		always(deed{lose: true}),
		always(deed{status: 503}),
		always(deed{hang: true}),
		always(deed{delay: 50 * time.Millisecond}),
	}
	return moods[r.rand.IntN(len(moods))]
}
