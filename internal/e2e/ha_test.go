//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// pairTarget is scraped by two replicas: every scrape counts on, unless it is told to stand still.
type pairTarget struct {
	addr  string
	mu    sync.Mutex
	still bool
	shown int     // scrapes answered
	count float64 // what the counter shows
	truth float64 // what it would show had it never been restarted
}

func startPairTarget(t *testing.T) *pairTarget {
	t.Helper()
	tg := &pairTarget{count: 5000, truth: 5000}
	srv := httptest.NewServer(http.HandlerFunc(tg.scrape))
	t.Cleanup(srv.Close)
	tg.addr = strings.TrimPrefix(srv.URL, "http://")
	return tg
}

func (tg *pairTarget) scrape(w http.ResponseWriter, _ *http.Request) {
	tg.mu.Lock()
	defer tg.mu.Unlock()
	tg.shown++
	if !tg.still {
		step := float64(3 + tg.shown%4)
		tg.count, tg.truth = tg.count+step, tg.truth+step
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	n := tg.count
	_, _ = io.WriteString(w, fmt.Sprintf(`# TYPE %[1]s counter
%[1]s %[3]v
# TYPE %[2]s counter
%[2]s %[4]v
# TYPE load gauge
load %[5]v
# TYPE took_seconds histogram
took_seconds_bucket{le="0.1"} %[6]v
took_seconds_bucket{le="1"} %[7]v
took_seconds_bucket{le="+Inf"} %[3]v
took_seconds_sum %[8]v
took_seconds_count %[3]v
`, faultyName, truthName, n, tg.truth, tg.shown%17, float64(int(n/4)), float64(int(n/2)), n/8))
}

// stand makes the counters stand still, or go on, after which both replicas have scraped at least once more.
func (tg *pairTarget) stand(t *testing.T, still bool) {
	t.Helper()
	tg.mu.Lock()
	tg.still = still
	from := tg.shown
	tg.mu.Unlock()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		tg.mu.Lock()
		enough := tg.shown >= from+8
		tg.mu.Unlock()
		if enough {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the target is not scraped any more")
		}
	}
}

// restart is a restart of the target: it counts from 0, and a little has come already.
func (tg *pairTarget) restart() {
	tg.mu.Lock()
	defer tg.mu.Unlock()
	tg.count, tg.truth = 2, tg.truth+2
}

// Two real servers scrape the same target as a pair. Behind the relay there is one series of each, without
// the replica's label, whichever server dies; the target's restart during a failover is seen; and increase() is the truth.
func TestAPairIsOneSenderWhicheverDies(t *testing.T) {
	t.Parallel()
	for _, p := range []path{paths[0], paths[1], paths[3]} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			tg := startPairTarget(t)
			receiver := startReceiver(t)
			r := startRelay(t, relayOptions{upstream: receiver.url + "/api/v1/write", message: p.upstream, more: "ha:\n  failover_timeout: 2s\n"})
			start := func(replica string) *prometheus {
				s := p.sender
				s.replica = replica
				return s.start(t, &target{addr: tg.addr}, r.url+"/api/v1/write")
			}
			a := start("a")
			r.waitElected(t, "a")
			b := start("b")
			time.Sleep(20 * scrapeInterval)

			tg.stand(t, true)
			a.kill()
			tg.restart()
			tg.stand(t, false)
			r.waitElected(t, "b")
			time.Sleep(20 * scrapeInterval)

			again := launch(t, a.logPath, a.cmd.Args[0], a.cmd.Args[1:]...) // on what it has stored
			again.waitReady(a.url+"/-/ready", time.Minute)
			time.Sleep(8 * scrapeInterval)
			bHas := b.read(t)
			b.kill()
			r.waitElected(t, "a")
			time.Sleep(12 * scrapeInterval)
			judgePair(t, r, receiver, a.read(t), bHas)
			r.stop(t)
		})
	}
}

// judgePair holds what the receiver has against what the two servers have.
func judgePair(t *testing.T, r *relay, receiver *prometheus, a, b data) {
	t.Helper()
	got := receiver.read(t)
	if len(got) != len(a) || len(got) != len(b) {
		t.Errorf("%d series arrived, the servers have %d and %d", len(got), len(a), len(b))
	}
	for key, points := range got {
		if strings.Contains(key, "__replica__") || !strings.Contains(key, `cluster="pair"`) {
			t.Errorf("%s arrived", key)
		}
		was := map[point]int{}
		for i, have := range []data{a, b} {
			for _, x := range have[withReplica(t, have, key)] {
				was[x] |= 1 << i
			}
		}
		changed := nameOf(key) == faultyName || strings.HasPrefix(nameOf(key), "took_seconds")
		for i, x := range points {
			if i > 0 && x.T <= points[i-1].T {
				t.Errorf("%s: %v after %v", key, x, points[i-1])
			}
			// b's last moments are not known: it was killed after it was read.
			if !changed && was[x] == 0 && x.T <= b.last() {
				t.Errorf("%s: %v arrived, and none of the servers has it", key, x)
			}
		}
		if changed {
			if _, falls := increaseOf(points); falls != 0 {
				t.Errorf("%s falls %d times", key, falls)
			}
		}
	}
	at := got.last() // up to where every series has arrived
	for _, points := range got {
		at = min(at, points[len(points)-1].T)
	}
	got = got.upTo(at)
	// At a failover some series may have had one sample more of the replica that died, and
	// increase() extrapolates by their number: by less than one count.
	if tooMuch := scalar(t, receiver.url, excessQuery, at); math.Abs(tooMuch) >= 1 {
		t.Errorf("increase() behind the relay is %v more than the truth", tooMuch)
	}
	truth := got[seriesKey(t, got, truthName)]
	increase, _ := increaseOf(truth)
	if counted, _ := increaseOf(got[seriesKey(t, got, faultyName)]); counted != increase || increase < 200 {
		t.Errorf("the counter grew by %v, in truth by %v", counted, increase)
	}
	for _, sum := range []string{`took_seconds_bucket{le="+Inf"}`, "took_seconds_count"} {
		query := "sum(increase(" + sum + "[1h])) - sum(increase(" + truthName + "[1h]))"
		if tooMuch := scalar(t, receiver.url, query, at); math.Abs(tooMuch) >= 1 {
			t.Errorf("increase() of %s is %v more than the truth", sum, tooMuch)
		}
	}
	if n := r.metric(t, "pawl_ha_elected_replica_changes_total"); n != 2 {
		t.Errorf("%v failovers, want 2", n)
	}
	if n := r.metric(t, "pawl_ha_deduplicated_samples_total"); n < 100 {
		t.Errorf("%v samples deduplicated, that is no pair", n)
	}
	if kinds := r.kinds(t, faultyName); kinds["reset"] != 1 || len(kinds) != 1 {
		t.Errorf("the relay's log tells of %v, want one reset", kinds)
	}
	if refused := r.refused(t); len(refused) > 0 {
		t.Errorf("the upstream refused batches: %q", refused)
	}
}

// withReplica finds a server's own key of a series that arrived without the replica's label.
func withReplica(t *testing.T, have data, key string) string {
	t.Helper()
	for k := range have {
		parts := strings.Split(strings.Trim(k, "{}"), ", ")
		parts = slices.DeleteFunc(parts, func(l string) bool { return strings.HasPrefix(l, "__replica__=") })
		if "{"+strings.Join(parts, ", ")+"}" == key {
			return k
		}
	}
	t.Errorf("%s arrived, and a server does not have it", key)
	return ""
}

// waitElected waits until the relay says that this replica is elected.
func (r *relay) waitElected(t *testing.T, replica string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		var answer struct {
			Data struct {
				Items []struct{ Cluster, Replica string }
			}
		}
		getJSON(t, r.admin+"/api/v1/ha", &answer)
		if items := answer.Data.Items; len(items) == 1 && items[0].Cluster == "pair" && items[0].Replica == replica {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not elected: %+v", replica, answer.Data.Items)
		}
	}
}
