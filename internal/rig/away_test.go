//go:build rig

package rig

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// retryAfters are all kinds that a Retry-After header comes in. Five minutes,
// the longest that is honoured, are left to the backoff's own tests.
func retryAfters() []string {
	now := time.Now()
	return []string{
		"", "0", "1", "-1", "soon", "1.5", " 1 ", "99999999999999999999",
		now.Add(time.Second).UTC().Format(http.TimeFormat),
		now.Add(-time.Hour).UTC().Format(http.TimeFormat),
		now.Add(time.Second).UTC().Format(time.RFC850),
	}
}

// Whatever the upstream does, everything arrives once it takes it, in order
// and with the right values; senders are served all along.
func TestWhateverTheUpstreamDoes(t *testing.T) {
	seed, rounds := seedOf(t), countOr(t, 1)
	figures := map[string]float64{}
	r := newRun(t, seed, runOptions{relay: relayOptions{timeout: 500 * time.Millisecond}})
	r.start()
	r.load()
	for range rounds {
		kinds := retryAfters()
		for name, s := range map[string]script{
			"500": always(deed{status: 500}), "502": always(deed{status: 502}), "503": always(deed{status: 503}),
			"408": always(deed{status: 408}), "redirects": always(deed{status: 307}),
			"slow":      always(deed{delay: 200 * time.Millisecond}),
			"hangs":     always(deed{hang: true}),
			"resets":    always(deed{reset: true}),
			"no answer": always(deed{lose: true}),
			"429": func(n int64, _ []arrival) deed {
				return deed{status: 429, retryAfter: kinds[int(n)%len(kinds)]}
			},
			"503, Retry-After": always(deed{status: 503, retryAfter: "1"}),
			"flaps": func(n int64, _ []arrival) deed {
				if n/20%2 == 0 {
					return deed{status: 503}
				}
				return deed{}
			},
		} {
			figures["kinds"]++
			before, _, retries, _ := r.sent()
			r.upstream.act(s)
			time.Sleep(600 * time.Millisecond)
			after, _, retriesAfter, _ := r.sent()
			if after-before < 10 {
				t.Errorf("%s: only %d requests were acknowledged meanwhile (%d retries)", name, after-before, retriesAfter-retries)
			}
			r.upstream.act(take)
			time.Sleep(200 * time.Millisecond)
		}
	}
	r.finish()
	_, samples, _, _ := r.sent()
	_, again := r.upstream.arrived()
	figures["samples"] = float64(samples)
	figures["samples that arrived again"] = float64(again)
	report(t, figures)
}

// Attempts at an upstream that fails are spread: they wait, ever longer up to
// max_backoff (300 ms here), and no two relays or requests go in step.
func TestBacksOffWithJitter(t *testing.T) {
	seed := seedOf(t)
	r := newRun(t, seed, runOptions{shards: 1})
	var mu sync.Mutex
	attempts := map[place][]time.Time{} // by the first sample of the request
	r.upstream.act(func(_ int64, got []arrival) deed {
		mu.Lock()
		defer mu.Unlock()
		p := place{got[0].series, got[0].t}
		attempts[p] = append(attempts[p], time.Now())
		return deed{status: 503}
	})
	r.start()
	r.loadFor(100 * time.Millisecond)
	time.Sleep(4 * time.Second)
	r.upstream.act(take)
	mu.Lock()
	var gaps []time.Duration
	for _, at := range attempts {
		for i := 1; i < len(at); i++ {
			gap := at[i].Sub(at[i-1])
			if i > 4 {
				gaps = append(gaps, gap)
			}
			if gap < 10*time.Millisecond {
				t.Errorf("attempt %d came %v after the one before", i+1, gap)
			}
		}
	}
	mu.Unlock()
	slices.Sort(gaps)
	if len(gaps) < 5 {
		t.Fatalf("only %d late attempts in 4 s", len(gaps))
	}
	// Half of the 300 ms is random, so the quickest and the slowest are apart, and none comes early.
	if gaps[0] < 145*time.Millisecond || gaps[len(gaps)-1]-gaps[0] < 20*time.Millisecond {
		t.Errorf("late attempts came %v to %v after the one before, want 150 to 300 ms, spread", gaps[0], gaps[len(gaps)-1])
	}
	r.finish()
}

// A backlog waits on disk: however long it gets, memory stays where it was
// when the budgets between senders and upstream were full; and it is caught up
// with at several times the rate at which new samples keep coming.
func TestBacklogTakesNoMemoryAndIsCaughtUpWith(t *testing.T) {
	seed, seconds := seedOf(t), countOr(t, 4)
	figures := map[string]float64{}
	r := newRun(t, seed, runOptions{shards: 4, series: 200, pause: 20 * time.Millisecond, relay: relayOptions{
		memory: 256 << 10, checkpoint: -1, segment: -1,
	}})
	r.upstream.act(always(deed{status: 503}))
	r.relay.env = append(r.relay.env, "GOGC=100") // else the relay changes how much garbage may gather, and with it what is measured
	r.start()
	r.load()
	// The budgets are full once the backlog is several times as large.
	r.backlogOver(4 * 256 << 10)
	first := r.backlogOver(0)
	early := r.memory(time.Duration(seconds) * time.Second)
	r.backlogOver(4 * first)
	late := r.memory(time.Duration(seconds) * time.Second)
	m, err := r.relay.metrics()
	if err != nil {
		t.Fatal(err)
	}
	waiting := m["pawl_backlog_samples"]
	figures["backlog, samples"], figures["backlog, MB compressed"] = waiting, m["pawl_backlog_bytes"]/1e6
	figures["memory with a quarter of the backlog, MB"], figures["memory with all of it, MB"] = early/1e6, late/1e6
	figures["memory resident, MB"] = m["process_resident_memory_bytes"] / 1e6
	if late > 1.10*early {
		t.Errorf("memory grew from %.1f to %.1f MB while the backlog grew fourfold", early/1e6, late/1e6)
	}
	_, sentBefore, _, _ := r.sent()
	began := time.Now()
	r.upstream.act(take)
	if err := r.relay.caughtUp(2 * time.Minute); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began).Seconds()
	_, sentAfter, _, _ := r.sent()
	live := float64(sentAfter-sentBefore) / took
	figures["caught up in, s"] = took
	figures["times the live rate"] = (waiting + live*took) / took / live
	if figures["times the live rate"] < 2 {
		t.Errorf("caught up at %.1f times the live rate only", figures["times the live rate"])
	}
	r.finish()
	report(t, figures)
}

// backlogOver waits until the backlog is more than so many bytes, and says how many it is.
func (r *run) backlogOver(bytes float64) float64 {
	r.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		m, err := r.relay.metrics()
		if err == nil && m["pawl_backlog_bytes"] > bytes {
			return m["pawl_backlog_bytes"]
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("the backlog is only %v bytes, want %v (%v)", m["pawl_backlog_bytes"], bytes, err)
		}
	}
}

// memory is the median, over a while, of the size that the collector lets the
// relay's heap grow to, in bytes: twice what was alive after a collection. What
// is on the heap at any moment has garbage in it.
func (r *run) memory(within time.Duration) float64 {
	r.t.Helper()
	var sizes []float64
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		m, err := r.relay.metrics()
		if err != nil {
			r.t.Fatal(err)
		}
		sizes = append(sizes, m["go_memstats_next_gc_bytes"])
	}
	slices.Sort(sizes)
	return sizes[len(sizes)/2]
}

// caughtUp waits until less than half a second's worth is behind.
func (r *relay) caughtUp(limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		m, err := r.metrics()
		if err == nil && m["pawl_backlog_seconds"] < 0.5 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not caught up within %v: %v s behind (%w)", limit, m["pawl_backlog_seconds"], err)
		}
	}
}
