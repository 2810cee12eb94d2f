//go:build rig

package rig

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// One series that the upstream does not want costs nobody else anything: the
// rest of its batch arrives, in order and once, and the guilty samples are kept
// in the rejected store, also when the relay is killed meanwhile.
func TestOnlyThePoisonSeriesIsRejected(t *testing.T) {
	seed := seedOf(t)
	figures := map[string]float64{}
	for i, status := range []int{http.StatusBadRequest, http.StatusConflict, http.StatusUnprocessableEntity} {
		for j, message := range []string{messageV1, messageV2} {
			t.Run(fmt.Sprint(status, " ", message), func(t *testing.T) {
				r := newRun(t, seed+uint64(10*i+j), runOptions{shards: 2, relay: relayOptions{message: message}})
				guilty := r.poison()
				r.upstream.act(r.refuse(status, guilty))
				r.start()
				r.loadFor(500 * time.Millisecond)
				r.drained(time.Minute)
				m := r.balanced("with refusals")
				rejected := m[`pawl_forwarded_total{outcome="rejected",type="sample"}`] + m[`pawl_forwarded_total{outcome="rejected",type="histogram"}`]
				r.relay.stop(t)
				r.wantRejected(guilty, int(rejected))
				r.check()
				figures["rejected samples"] += rejected
				figures["delivered samples"] += m[`pawl_forwarded_total{outcome="delivered",type="sample"}`]
			})
		}
	}
	report(t, figures)
}

// poison draws three guilty series.
func (r *run) poison() []int32 {
	var guilty []int32
	for len(guilty) < 3 {
		if id := int32(r.rand.IntN(len(r.fleet.labels))); !slices.Contains(guilty, id) {
			guilty = append(guilty, id)
		}
	}
	return guilty
}

// refuse is an upstream that stores nothing of a request with a guilty series,
// as Prometheus does with 1.0.
func (r *run) refuse(status int, guilty []int32) script {
	return func(_ int64, got []arrival) deed {
		for _, a := range got {
			if slices.Contains(guilty, a.id()) {
				return deed{status: status}
			}
		}
		return deed{}
	}
}

// wantRejected wants exactly the guilty series' samples in the rejected store.
func (r *run) wantRejected(guilty []int32, counted int) {
	r.t.Helper()
	f := &faults{t: r.t}
	rejected := r.rejected()
	for p := range rejected {
		if !slices.Contains(guilty, p.series) {
			f.add("%s at %d was rejected and is not guilty", r.fleet.labels[p.series], p.t)
		}
	}
	for _, s := range r.senders {
		for _, q := range s.sent {
			for _, p := range q.points {
				if slices.Contains(guilty, p.series) && !rejected[place{p.series, p.t}] {
					f.add("%s at %d is guilty and was not kept", r.fleet.labels[p.series], p.t)
				}
			}
		}
	}
	if counted < len(rejected) || len(rejected) == 0 {
		f.add("%d samples are in the rejected store, the metrics count %d", len(rejected), counted)
	}
}

// What somebody can mend holds the queue: nothing is dropped for a wrong
// password or path, and everything goes out once it is mended.
func TestWhatCanBeMendedHoldsInsteadOfDropping(t *testing.T) {
	seed := seedOf(t)
	for i, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			r := newRun(t, seed+uint64(i), runOptions{shards: 2})
			r.upstream.act(always(deed{status: status}))
			r.start()
			r.loadFor(500 * time.Millisecond)
			time.Sleep(time.Second)
			if first, _ := r.upstream.arrived(); first > 0 {
				t.Errorf("%d samples arrived", first)
			}
			m := r.balanced("held")
			if m["pawl_backlog_samples"] == 0 || m[`pawl_forwarded_batches_total{outcome="rejected"}`] > 0 {
				t.Errorf("held: %v samples wait, %v batches were rejected", m["pawl_backlog_samples"], m[`pawl_forwarded_batches_total{outcome="rejected"}`])
			}
			if want := fmt.Sprint("the upstream answered ", status); !strings.Contains(r.relay.log(), want) {
				t.Errorf("the log does not say %q", want)
			}
			r.finish()
		})
	}
}
