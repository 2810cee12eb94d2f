package forward

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var errAway = errors.New("away")

// Rule: a failure here and there is a busy upstream; many in a row, or a
// second of nothing else, is one that is away. It is logged once, and again
// every 30 s.
func TestWhenAnUpstreamCountsAsFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h health
		for range 3 * failuresInARow {
			if h.failed(errAway) {
				t.Fatal("logged although every second request got through")
			}
			if h.ok() {
				t.Fatal("recovered from nothing")
			}
		}
		logged := 0
		for range 2 * failuresInARow {
			if h.failed(errAway) {
				logged++
			}
		}
		if logged != 1 {
			t.Errorf("a failure in a row was logged %d times", logged)
		}
		time.Sleep(logEvery + time.Millisecond)
		if !h.failed(errAway) {
			t.Error("not logged again after 30 s")
		}
		if !h.ok() || h.ok() {
			t.Error("a recovery counts once")
		}
		h.failed(errAway)
		time.Sleep(failingFor)
		if !h.failed(errAway) {
			t.Error("not logged after a second without a success")
		}
	})
}

// Rule: whoever waits for a failing upstream goes on when one batch gets
// through, and not when a busy one takes a batch.
func TestRecoveryWakesThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h health
		woken := func(ch <-chan struct{}) bool {
			select {
			case <-ch:
				return true
			default:
				return false
			}
		}
		h.failed(errAway)
		back := h.recovery()
		h.ok()
		if woken(back) {
			t.Error("woken by an upstream that was only busy")
		}
		for range failuresInARow {
			h.failed(errAway)
		}
		if also := h.recovery(); woken(back) || woken(also) {
			t.Error("woken while the upstream is away")
		}
		h.ok()
		if !woken(back) {
			t.Error("not woken by the upstream's return")
		}
		for range failuresInARow {
			h.failed(errAway)
		}
		if woken(h.recovery()) {
			t.Error("an old return wakes those who wait for the next")
		}
	})
}

// Rule: who alerts sees what the admin API tells: whether the upstream takes batches, and how many requests are under way.
func TestMetricsTellTheUpstreamsHealth(t *testing.T) {
	reg := prometheus.NewRegistry()
	f := &Forwarder{lanes: newLanes()}
	f.upstream.Store(&upstream{client: &client{}})
	registerHealth(reg, f)
	want := func(name string, value float64) {
		t.Helper()
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range families {
			if m.GetName() == name {
				if got := m.Metric[0].Gauge.GetValue(); got != value {
					t.Errorf("%s is %v, want %v", name, got, value)
				}
				return
			}
		}
		t.Errorf("there is no %s", name)
	}
	want("pawl_upstream_healthy", 1)
	want("pawl_forward_in_flight_requests", 0)
	for range failuresInARow {
		f.health.failed(errAway)
	}
	f.health.inFlight.Add(3)
	want("pawl_upstream_healthy", 0)
	want("pawl_forward_in_flight_requests", 3)
	f.health.ok()
	want("pawl_upstream_healthy", 1)
}

// Rule: no metric that is a counter falls, whatever the machine's clock does.
func TestAClockPutBackMakesNoCounterFall(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := newMetrics(reg)
	m.arrived(time.Now().Add(time.Hour).UnixMilli())
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "pawl_delivery_delay_seconds" {
			if h := f.Metric[0].Histogram; h.GetSampleSum() < 0 || h.GetSampleCount() != 1 {
				t.Errorf("a batch that came in an hour from now was delivered after %v s (%d counted)", h.GetSampleSum(), h.GetSampleCount())
			}
			return
		}
	}
	t.Error("there is no pawl_delivery_delay_seconds")
}
