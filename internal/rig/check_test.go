//go:build rig

package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"

	"pawl/pkg/store"
)

// maxFaults bounds what a failed check prints.
const maxFaults = 20

// faults counts what a check has found, and prints the first ones.
type faults struct {
	t *testing.T
	n int
}

func (f *faults) add(format string, args ...any) {
	f.t.Helper()
	if f.n++; f.n <= maxFaults {
		f.t.Errorf(format, args...)
	}
}

// check compares what the ledger holds with what arrived: A to E. The relay is stopped.
func (r *run) check() {
	r.t.Helper()
	f := &faults{t: r.t}
	acknowledged, err := r.ledger.read()
	if err != nil {
		r.t.Fatal(err)
	}
	rejected := r.rejected()
	u := r.upstream
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range u.strange {
		f.add("%s", s)
	}
	sentSamples, found := 0, 0
	for _, s := range r.senders {
		for _, q := range s.sent {
			if !acknowledged[s.shard.number][q.n] {
				f.add("request %d of shard %d was never acknowledged", q.n, s.shard.number)
			}
			for _, p := range q.points {
				sentSamples++
				got, there := u.bits(p.series, p.t)
				if there {
					found++
				}
				switch {
				case !there && !rejected[place{p.series, p.t}]:
					f.add("A: %s at %d (request %d of shard %d) is neither upstream nor rejected", r.fleet.labels[p.series], p.t, q.n, s.shard.number)
				case there && p.known && got != p.want:
					f.add("E: %s at %d is %x upstream, the truth is %x (raw %v)", r.fleet.labels[p.series], p.t, got, p.want, p.raw)
				}
			}
		}
	}
	stored := 0
	for i := range u.series {
		stored += len(u.series[i].t)
	}
	if stored != found {
		f.add("B: %d samples are upstream that were not sent", stored-found)
	}
	if sentSamples == 0 {
		f.add("nothing was sent")
	}
}

// place is a sample's.
type place struct {
	series int32
	t      int64
}

// rejected is what the rejected store of the stopped relay holds.
func (r *run) rejected() map[place]bool {
	r.t.Helper()
	all := map[place]bool{}
	dir := filepath.Join(r.relay.data(), "rejected")
	if _, err := os.Stat(dir); err != nil {
		return all
	}
	l, err := store.OpenRejected(dir, 0, nil)
	if err != nil {
		r.t.Fatalf("open the rejected store: %v", err)
	}
	defer l.Close()
	list, err := l.List(0, 1<<30, true)
	if err != nil {
		r.t.Fatalf("read the rejected store: %v", err)
	}
	for _, b := range list {
		raw, err := snappy.Decode(nil, b.Body)
		if err != nil {
			r.t.Fatalf("rejected batch %d: %v", b.Seq, err)
		}
		decode := r.upstream.decodeV1
		if b.Version == 2 {
			decode = r.upstream.decodeV2
		}
		got, err := decode(raw)
		if err != nil {
			r.t.Fatalf("rejected batch %d: %v", b.Seq, err)
		}
		for _, a := range got {
			all[place{a.id(), a.t}] = true
		}
	}
	return all
}

// compare sends the same requests, in each shard's order, through a second
// relay that nobody kills: it must come to the same bits.
func (r *run) compare() {
	r.t.Helper()
	other := startUpstream(r.t, r.fleet)
	calm := newRelay(r.t, filepath.Join(r.dir, "calm"), other.url, relayOptions{message: messageV1})
	calm.ready(r.t)
	var wg sync.WaitGroup
	for _, s := range r.senders {
		again := &sender{shard: s.shard, url: calm.url}
		wg.Go(func() {
			for _, q := range s.sent {
				if again.err = again.deliver(q); again.err != nil {
					r.t.Errorf("second relay: %v", again.err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := calm.drained(2 * time.Minute); err != nil {
		r.t.Fatalf("second relay: %v", err)
	}
	calm.stop(r.t)
	if diff := r.upstream.differences(other); len(diff) > 0 {
		for _, d := range diff {
			r.t.Errorf("E: %s", d)
		}
	}
}

// differences are samples that both have and that are not the same bits.
func (u *upstream) differences(o *upstream) (diff []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	for id := range u.series {
		for i, t := range u.series[id].t {
			if want, there := o.bits(int32(id), t); there && want != u.series[id].bits[i] && len(diff) < maxFaults {
				diff = append(diff, fmt.Sprintf("%s at %d is %x, a relay that is not killed makes it %x", u.fleet.labels[id], t, u.series[id].bits[i], want))
			}
		}
	}
	return diff
}
