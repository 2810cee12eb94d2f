//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// scrapeInterval is how often the sender scrapes: short, so that a story of a day is
// told in half a minute, but long enough that a busy machine rarely misses a scrape.
const scrapeInterval = 250 * time.Millisecond

// scene is what the target shows at one scrape.
type scene struct {
	down    bool    // the node is away: the scrape fails
	faulty  float64 // the counter as it broke
	truth   float64 // what it would show had it never broken: it counts what some scrape saw
	healthy int     // scrapes answered so far, from which the healthy series are made
}

// story is the faulty counter's script, one scene for every scrape: it counts from 72,900
// to 72,933; the node panics and takes the last increment, which a scrape had seen, along;
// it counts on; then it is truly restarted from zero and counts on again.
//
// A value that matters is shown for three scrapes, so that one missed by a busy machine
// changes nothing of the truth.
func story() []scene {
	var scenes []scene
	now := scene{faulty: 72900, truth: 72900}
	hold := func(n int) {
		for range n {
			scenes = append(scenes, now)
		}
	}
	count := func(n int) {
		pattern := []float64{0, 1, 0, 2, 1, 0, 1, 1, 0, 2}
		for i := range n {
			now.faulty += pattern[i%len(pattern)]
			now.truth += pattern[i%len(pattern)]
			hold(1)
		}
	}
	away := func(n int) {
		now.down = true
		hold(n)
		now.down = false
	}

	hold(2)
	count(40)
	now.faulty, now.truth = now.faulty+1, now.truth+1
	hold(3)

	away(8)
	now.faulty-- // the panic: the last page was never flushed
	hold(3)
	count(40)
	hold(3)

	away(6)
	now.faulty, now.truth = 2, now.truth+2 // the restart: from zero, two counted before the first scrape
	hold(3)
	count(30)
	hold(3)

	answered := 0
	for i := range scenes {
		if !scenes[i].down {
			answered++
		}
		scenes[i].healthy = answered
	}
	return scenes
}

// target is a scraped program whose every scrape is the script's next scene. After the
// last scene it is gone for good.
type target struct {
	addr   string
	show   func(http.ResponseWriter, *http.Request, scene)
	mu     sync.Mutex
	script []scene
	shown  int
	ended  chan struct{} // closed at the first scrape after the script's last scene
}

func startTarget(t *testing.T, script []scene) *target {
	t.Helper()
	return startTargetShowing(t, script, func(w http.ResponseWriter, _ *http.Request, s scene) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = io.WriteString(w, exposition(s))
	})
}

// startTargetShowing runs a target whose scenes are told by show.
func startTargetShowing(t *testing.T, script []scene, show func(http.ResponseWriter, *http.Request, scene)) *target {
	t.Helper()
	tg := &target{script: script, show: show, ended: make(chan struct{})}
	srv := httptest.NewServer(http.HandlerFunc(tg.scrape))
	t.Cleanup(srv.Close)
	tg.addr = strings.TrimPrefix(srv.URL, "http://")
	return tg
}

func (tg *target) scrape(w http.ResponseWriter, req *http.Request) {
	s, ok := tg.next()
	if !ok || s.down {
		http.Error(w, "the node is away", http.StatusServiceUnavailable)
		return
	}
	tg.show(w, req, s)
}

func (tg *target) next() (scene, bool) {
	tg.mu.Lock()
	defer tg.mu.Unlock()
	if tg.shown == len(tg.script) {
		select {
		case <-tg.ended:
		default:
			close(tg.ended)
		}
		return scene{}, false
	}
	tg.shown++
	return tg.script[tg.shown-1], true
}

// progress is how many scenes have been shown.
func (tg *target) progress() int {
	tg.mu.Lock()
	defer tg.mu.Unlock()
	return tg.shown
}

// waitShown waits until n scenes have been shown.
func (tg *target) waitShown(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); tg.progress() < n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("only %d of %d scenes were scraped", tg.progress(), n)
		}
	}
}

// The names of the story's counter and of the truth beside it.
const (
	faultyName = "demo_requests_total"
	truthName  = "truth_requests_total"
)

// exposition is the scene in Prometheus' text format.
func exposition(s scene) string {
	var b strings.Builder
	n := float64(s.healthy)
	family := func(name, typ string) { fmt.Fprintf(&b, "# TYPE %s %s\n", name, typ) }
	sample := func(series string, v float64) {
		fmt.Fprintf(&b, "%s %s\n", series, strconv.FormatFloat(v, 'g', -1, 64))
	}

	family(faultyName, "counter")
	sample(faultyName, s.faulty)
	family(truthName, "counter")
	sample(truthName, s.truth)

	// Healthy counters, of values that a careless hand would round.
	family("healthy_requests_total", "counter")
	sample(`healthy_requests_total{code="200",path="/a b\"c\\d"}`, 3*n)
	sample(`healthy_requests_total{code="500",path="/ünïcode"}`, math.Floor(n/7))
	family("healthy_seconds_total", "counter")
	sample("healthy_seconds_total", tenths(s.healthy))
	family("healthy_huge_total", "counter")
	sample("healthy_huge_total", 1<<53+2*n)
	family("healthy_tiny_total", "counter")
	sample("healthy_tiny_total", math.Float64frombits(uint64(s.healthy))) // the smallest numbers that there are
	family("healthy_still_total", "counter")
	sample("healthy_still_total", 0)

	// Gauges, some with a counter's name, all going down as they like.
	family("pg_stat_activity_count", "gauge")
	sample(`pg_stat_activity_count{state="idle"}`, float64(s.healthy*7919%23))
	family("temperature_celsius", "gauge")
	sample("temperature_celsius", 20*math.Sin(n))
	family("node_sum", "gauge")
	sample("node_sum", 1000-n)
	family("odd_gauge", "gauge")
	// (No -0: Prometheus' own protobuf code leaves it out as if it were 0, before the relay.)
	odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, 5e-324, math.MaxFloat64, 0.1}
	sample("odd_gauge", odd[s.healthy%len(odd)])

	// A healthy histogram: its buckets grow at a different pace each.
	family("healthy_duration_seconds", "histogram")
	sample(`healthy_duration_seconds_bucket{le="0.1"}`, math.Floor(n/3))
	sample(`healthy_duration_seconds_bucket{le="1"}`, math.Floor(n/3)+n)
	sample(`healthy_duration_seconds_bucket{le="+Inf"}`, math.Floor(n/3)+2*n)
	sample("healthy_duration_seconds_sum", 0.7*n+0.05*math.Floor(n/3))
	sample("healthy_duration_seconds_count", math.Floor(n/3)+2*n)
	return b.String()
}

// tenths adds 0.1 n times, so that the sum shows what binary fractions do.
func tenths(n int) float64 {
	var sum float64
	for range n {
		sum += 0.1
	}
	return sum
}
