//go:build rig

package rig

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// run is one relay between its senders and its upstream, from an empty storage to the check.
type run struct {
	t        *testing.T
	dir      string
	seed     uint64
	rand     *rand.Rand
	fleet    *fleet
	upstream *upstream
	relay    *relay
	ledger   *ledger
	senders  []*sender

	stopLoad context.CancelFunc
	loading  sync.WaitGroup
}

// runOptions are the run's size.
type runOptions struct {
	relay  relayOptions
	shards int           // connections that send at once; default 4
	series int           // about so many for each; default 16
	pause  time.Duration // of each sender between two requests; default 8 ms
	tenant string        // of all senders; default none
}

// newRun makes everything and starts nothing.
func newRun(t *testing.T, seed uint64, o runOptions) *run {
	t.Helper()
	if o.shards == 0 {
		o.shards = 4
	}
	if o.series == 0 {
		o.series = 16
	}
	if o.pause == 0 {
		o.pause = 8 * time.Millisecond
	}
	r := &run{t: t, dir: workDir(t), seed: seed, rand: rand.New(rand.NewPCG(seed, 0)), fleet: &fleet{}}
	if o.relay.message == "" {
		o.relay.message = []string{messageV1, messageV2}[r.rand.IntN(2)]
	}
	r.ledger = openLedger(t, filepath.Join(r.dir, "ledger"))
	for i := range o.shards {
		s := newShard(r.fleet, seed, i+1, o.series)
		r.senders = append(r.senders, &sender{shard: s, ledger: r.ledger, rand: rand.New(rand.NewPCG(seed, uint64(100+i))), pause: o.pause, tenant: o.tenant})
	}
	r.upstream = startUpstream(t, r.fleet)
	r.relay = newRelay(t, filepath.Join(r.dir, "relay"), r.upstream.url, o.relay)
	for _, s := range r.senders {
		s.url = r.relay.url
	}
	t.Cleanup(func() {
		for _, s := range r.senders {
			s.abort.Store(t.Failed())
		}
		r.quiet()
	})
	return r
}

// load lets the senders send until quiet.
func (r *run) load() {
	ctx, cancel := context.WithCancel(context.Background())
	r.stopLoad = cancel
	for _, s := range r.senders {
		r.loading.Go(func() { s.run(ctx) })
	}
}

// quiet ends the load; what was begun is acknowledged then, if there is a relay to do it.
func (r *run) quiet() {
	if r.stopLoad == nil {
		return
	}
	r.stopLoad()
	r.loading.Wait()
	r.stopLoad = nil
	for _, s := range r.senders {
		if s.err != nil {
			r.t.Errorf("sender: %v", s.err)
		}
	}
}

// loadFor sends for a while.
func (r *run) loadFor(d time.Duration) {
	r.load()
	time.Sleep(d)
	r.quiet()
}

// sent is how many requests and samples were acknowledged, and how often a sender had to try again.
func (r *run) sent() (requests, samples, retries, repeated int64) {
	for _, s := range r.senders {
		s.mu.Lock()
		requests += int64(len(s.sent))
		for _, q := range s.sent {
			samples += int64(len(q.points))
		}
		s.mu.Unlock()
		retries += s.retries.Load()
		repeated += s.repeated.Load()
	}
	return requests, samples, retries, repeated
}

// countRepeats adds to a row's figures what this run sent, and what of it went more than once.
func (r *run) countRepeats(figures map[string]float64) {
	_, samples, retries, _ := r.sent()
	_, again := r.upstream.arrived()
	figures["samples"] += float64(samples)
	figures["retried requests"] += float64(retries)
	figures["samples that arrived again"] += float64(again)
}

// drained waits until the relay has settled everything that it acknowledged.
func (r *run) drained(limit time.Duration) {
	r.t.Helper()
	if err := r.relay.drained(limit); err != nil {
		r.t.Fatal(err)
	}
}

func (r *relay) drained(limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		m, err := r.metrics()
		if err == nil && m["pawl_backlog_samples"] == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the relay does not settle what it has within %v: %v samples wait (%w)", limit, m["pawl_backlog_samples"], err)
		}
	}
}

// finish ends the run: it brings in what is still on its way, and checks A to F.
func (r *run) finish() {
	r.t.Helper()
	r.upstream.act(take)
	r.quiet()
	r.drained(time.Minute)
	r.relay.stop(r.t)
	r.balance()
	r.check()
	r.compare()
	if log := r.relay.log(); strings.Contains(log, "BUG:") || strings.Contains(log, "panic:") || strings.Contains(log, "DATA RACE") {
		r.t.Error("the relay panicked, see its log")
	}
}

// balance checks F over the life of one process: with everything settled, and
// with the upstream away.
func (r *run) balance() {
	r.t.Helper()
	r.relay.ready(r.t)
	r.loadFor(200 * time.Millisecond)
	r.drained(time.Minute)
	r.balanced("all settled")
	r.upstream.act(always(deed{status: 503}))
	r.loadFor(200 * time.Millisecond)
	if m := r.balanced("upstream away"); m["pawl_backlog_samples"] == 0 {
		r.t.Error("F: the upstream is away and nothing is pending")
	}
	r.upstream.act(take)
	r.drained(time.Minute)
	r.balanced("upstream back")
	r.relay.stop(r.t)
}

// balanced is F: accepted = delivered + rejected + left out + pending; the rig relabels nothing, marks nothing and has no pairs.
func (r *run) balanced(when string) map[string]float64 {
	r.t.Helper()
	m, err := r.relay.metrics()
	if err != nil {
		r.t.Fatal(err)
	}
	in := m[`pawl_received_total{type="sample"}`] + m[`pawl_received_total{type="histogram"}`]
	var out float64
	for _, outcome := range []string{"delivered", "rejected"} {
		for _, kind := range []string{"sample", "histogram"} {
			out += m[fmt.Sprintf("pawl_forwarded_total{outcome=%q,type=%q}", outcome, kind)]
		}
	}
	left, pending := m["pawl_duplicate_samples_total"], m["pawl_backlog_samples"]
	if in == 0 || in != out+left+pending {
		r.t.Errorf("F, %s: %v accepted, %v delivered or rejected, %v left out, %v pending", when, in, out, left, pending)
	}
	return m
}
