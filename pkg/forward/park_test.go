package forward

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/prompb"

	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// perTenant is an upstream that answers each tenant in its own way and
// remembers what it took, by tenant and in order.
type perTenant struct {
	*httptest.Server
	mu     sync.Mutex
	took   map[string][]string // "series@time"
	answer func(tenant string, n int) (status int, header map[string]string)
	n      int
}

func newPerTenant(t *testing.T, answer func(tenant string, n int) (int, map[string]string)) *perTenant {
	u := &perTenant{took: map[string][]string{}, answer: answer}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(body)
		tenant := r.Header.Get("X-Scope-OrgID")
		u.mu.Lock()
		answer, n := u.answer, u.n
		u.n++
		u.mu.Unlock()
		status, header := answer(tenant, n)
		for k, v := range header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(status)
		if status/100 == 2 {
			u.mu.Lock()
			defer u.mu.Unlock()
			u.took[tenant] = append(u.took[tenant], sampleOf(t, string(body)))
		}
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *perTenant) set(answer func(tenant string, n int) (int, map[string]string)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer = answer
}

func (u *perTenant) asked() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.n
}

func (u *perTenant) count(tenant string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.took[tenant])
}

// parking is a forwarder at work that parks what is held in dir.
type parking struct {
	*Forwarder
	t      *testing.T
	in     chan Item
	parked *store.Parked
	stop   func()
	landed atomic.Int64 // items whose memory was given back
}

func startParking(t *testing.T, rc *config.RemoteWriteConfig, room int64) *parking {
	t.Helper()
	disk, err := store.OpenParked(t.TempDir(), room)
	if err != nil {
		t.Fatal(err)
	}
	p := &parking{Forwarder: newForwarder(t, rc, NewMark(0), &rejects{}), t: t, in: make(chan Item), parked: disk}
	p.parker = disk
	p.lanes.patience = 5 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- p.Run(ctx, p.in, 4) }()
	var once sync.Once
	p.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-over; err != nil {
				t.Error(err)
			}
			disk.Close()
		})
	}
	t.Cleanup(p.stop)
	return p
}

// send hands an item over; it fails the test when the forwarder does not take
// it, as it does not when its workers are all held up.
func (p *parking) send(it Item) {
	p.t.Helper()
	it.Done = func() { p.landed.Add(1) }
	select {
	case p.in <- it:
	case <-time.After(20 * time.Second):
		p.t.Fatalf("batch %d of %q was not taken within 20 s: the workers are held up", it.Seq, it.Batch.Tenant)
	}
}

func (p *parking) eventually(what string, ok func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			held, parked := p.lanes.counts()
			p.t.Fatalf("not %s within 20 s; %d tenants held, %d batches parked, low %d", what, held, parked, p.mark.Low())
		}
	}
}

// wantInOrder is what must have arrived of one series: each time once or, after
// a repetition, more often, and the first arrivals in order.
func wantInOrder(t *testing.T, took []string, name string, times []uint64) {
	t.Helper()
	var first []string
	seen := map[string]bool{}
	for _, s := range took {
		if strings.HasPrefix(s, name+"@") && !seen[s] {
			seen[s] = true
			first = append(first, s)
		}
	}
	var want []string
	for _, at := range times {
		want = append(want, fmt.Sprintf("%s@%d", name, at))
	}
	if strings.Join(first, " ") != strings.Join(want, " ") {
		t.Errorf("%s arrived as\n%v\nwant\n%v", name, first, want)
	}
}

// Rule: what the upstream does to one tenant's batches does not hold up the
// others': they all arrive, the held ones give up their memory, and arrive in
// order once they are taken again. Without a place to park them, four workers
// would all be held up by the first four.
func TestOneTenantsRefusalDoesNotHoldUpTheOthers(t *testing.T) {
	release := make(chan struct{})
	for name, bad := range map[string]func() (int, map[string]string){
		"401":             func() (int, map[string]string) { return 401, nil },
		"403":             func() (int, map[string]string) { return 403, nil },
		"404":             func() (int, map[string]string) { return 404, nil },
		"429":             func() (int, map[string]string) { return 429, nil },
		"429 for an hour": func() (int, map[string]string) { return 429, map[string]string{"Retry-After": "3600"} },
		"503":             func() (int, map[string]string) { return 503, nil },
		"hanging":         func() (int, map[string]string) { <-release; return 503, nil },
	} {
		t.Run(name, func(t *testing.T) {
			u := newPerTenant(t, func(tenant string, _ int) (int, map[string]string) {
				if tenant == "bad" {
					return bad()
				}
				return 204, nil
			})
			rc := remoteWrite(t, u.URL, nil)
			if name == "hanging" {
				rc = remoteWrite(t, u.URL, func(rc *config.RemoteWriteConfig) { rc.RemoteTimeout = 100_000_000 })
				t.Cleanup(func() { close(release) })
			}
			p := startParking(t, rc, 1<<30)
			const n = 200
			var badAt, goodAt []uint64
			var lastBad, lastGood uint64
			for seq := uint64(1); seq <= n; seq += 2 {
				p.send(Item{Seq: seq, After: lastBad, Batch: batch(t, "b", "bad", seq)})
				p.send(Item{Seq: seq + 1, After: lastGood, Batch: batch(t, "g", "good", seq+1)})
				badAt, goodAt = append(badAt, seq), append(goodAt, seq+1)
				lastBad, lastGood = seq, seq+1
			}
			p.eventually("the others' delivered", func() bool { return u.count("good") >= n/2 })
			// Of the held ones, no more are in memory than keepers try.
			p.eventually("the memory given back", func() bool { return p.landed.Load() >= n })
			if got := p.mark.Low(); got != 0 {
				t.Errorf("the mark is at %d although batch 1 is not delivered", got)
			}
			u.set(func(string, int) (int, map[string]string) { return 204, nil })
			if name == "429 for an hour" {
				// Its timer stands at five minutes: that they have passed is said here.
				p.eventually("asked again", func() bool {
					p.lanes.mu.Lock()
					defer p.lanes.mu.Unlock()
					l := p.lanes.byName["bad"]
					if l != nil {
						p.lanes.makeDue(l)
					}
					return l == nil || len(l.parked) == 0
				})
			}
			p.eventually("all delivered", func() bool { return p.mark.Low() == n })
			p.eventually("no tenant held", func() bool { held, parked := p.lanes.counts(); return held+parked == 0 })
			p.stop()
			wantInOrder(t, u.took["bad"], "b", badAt)
			wantInOrder(t, u.took["good"], "g", goodAt)
			if p.parked.Bytes() != 0 {
				t.Errorf("%d bytes are still kept aside", p.parked.Bytes())
			}
			if len(p.lanes.byName) != 0 {
				t.Errorf("%d tenants are remembered with nothing under way", len(p.lanes.byName))
			}
		})
	}
}

// Rule: a tenant whose batches hang has to make room too when nobody else had
// anything to send before that would have shown that the upstream is there.
func TestATenantThatHangsMakesRoomForANewcomer(t *testing.T) {
	u := newPerTenant(t, func(tenant string, _ int) (int, map[string]string) {
		if tenant == "bad" {
			return 503, nil
		}
		return 204, nil
	})
	p := startParking(t, remoteWrite(t, u.URL, nil), 1<<30)
	var seq uint64
	for range 4 { // as many as there are workers
		seq++
		p.send(Item{Seq: seq, Batch: batch(t, "b", "bad", seq)})
	}
	p.eventually("failing", func() bool {
		p.lanes.mu.Lock()
		defer p.lanes.mu.Unlock()
		l := p.lanes.byName["bad"]
		return l != nil && !l.failed.IsZero()
	})
	for range 5 {
		seq++
		p.send(Item{Seq: seq, Batch: batch(t, "g", "good", seq)})
	}
	p.eventually("the newcomer's delivered", func() bool { return u.count("good") == 5 })
}

// Rule: while the upstream is away altogether, batches wait in the journal and
// are not parked beside it: no more than make room now and then to see
// whether somebody else's are taken.
func TestAnUpstreamThatIsAwayIsNotParkedFor(t *testing.T) {
	u := newPerTenant(t, func(string, int) (int, map[string]string) { return 503, nil })
	p := startParking(t, remoteWrite(t, u.URL, nil), 1<<30)
	p.lanes.patience = 20 * time.Millisecond
	var after [2]uint64
	for seq := uint64(1); seq <= 4; seq++ {
		k := seq % 2
		p.send(Item{Seq: seq, After: after[k], Batch: batch(t, "x", fmt.Sprint("tenant", k), seq)})
		after[k] = seq
	}
	time.Sleep(60 * p.lanes.patience)
	if held, parked := p.lanes.counts(); held+parked != 0 {
		t.Errorf("%d tenants held, %d batches parked, and nobody waits for their room", held, parked)
	}
}

// Rule: order holds per series however tenants are held and taken again in
// turn, and every batch arrives.
func TestOrderHoldsThroughParking(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 7))
		var phase atomic.Int64
		u := newPerTenant(t, func(tenant string, n int) (int, map[string]string) {
			switch k := phase.Load(); {
			case k < 0:
				return 204, nil
			case (int64(tenant[0])+k)%3 == 0:
				return 403, nil
			case n%7 == 0:
				return 503, nil
			}
			return 204, nil
		})
		p := startParking(t, remoteWrite(t, u.URL, nil), 1<<30)
		last := map[string]uint64{}
		times := map[string][]uint64{}
		const n = 600
		for seq := uint64(1); seq <= n; seq++ {
			tenant := string(rune('a' + rng.IntN(4)))
			name := fmt.Sprintf("%s%d", tenant, rng.IntN(5))
			p.send(Item{Seq: seq, After: last[name], Batch: batch(t, name, tenant, seq)})
			last[name] = seq
			times[name] = append(times[name], seq)
			if seq%40 == 0 {
				phase.Add(1)
				time.Sleep(10 * time.Millisecond)
			}
		}
		phase.Store(-1)
		p.eventually("all delivered", func() bool { return p.mark.Low() == n })
		p.stop()
		for name, at := range times {
			wantInOrder(t, u.took[name[:1]], name, at)
		}
	}
}

// Rule: a parked batch goes out with its corrections, late samples first, by
// the configuration in force then.
func TestAParkedBatchKeepsItsCorrections(t *testing.T) {
	var open atomic.Bool
	var mu sync.Mutex
	var got []prompb.TimeSeries
	u := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !open.Load() {
			w.WriteHeader(403)
			return
		}
		body := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(body)
		msg, err := snappy.Decode(nil, body)
		var req prompb.WriteRequest
		if err == nil {
			err = req.Unmarshal(msg)
		}
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, req.Timeseries...)
	}))
	defer u.Close()
	p := startParking(t, remoteWrite(t, u.URL, nil), 1<<30)
	b := batch(t, "x", "team", 2)
	b.SetValue(0, 42)
	p.send(Item{Seq: 1, Late: []*rewrite.Batch{batch(t, "late", "team", 1), batch(t, "late", "other", 1)}, Batch: b})
	p.eventually("both tenants held", func() bool { held, parked := p.lanes.counts(); return held == 2 && parked == 2 })
	open.Store(true)
	p.eventually("delivered", func() bool { return p.mark.Low() == 1 })
	mu.Lock()
	defer mu.Unlock()
	var words []string
	for _, ts := range got {
		words = append(words, fmt.Sprintf("%s=%v", ts.Labels[0].Value, ts.Samples[0].Value))
	}
	text := strings.Join(words, " ")
	if len(got) != 3 || strings.Index(text, "x=42") < strings.Index(text, "late=1") || strings.Count(text, "late=1") != 2 || !strings.Contains(text, "x=42") {
		t.Errorf("arrived: %s", text)
	}
}

// Rule: without room to park, a held tenant's batches stay in memory and
// nothing is lost; and those without tenants are never parked.
func TestWhatCannotBeParkedStaysInMemory(t *testing.T) {
	for tenant, room := range map[string]int64{"bad": 1, "": 1 << 30} {
		var open atomic.Bool
		u := newPerTenant(t, func(string, int) (int, map[string]string) {
			if open.Load() {
				return 204, nil
			}
			return 403, nil
		})
		p := startParking(t, remoteWrite(t, u.URL, nil), room)
		for seq := uint64(1); seq <= 4; seq++ {
			p.send(Item{Seq: seq, After: seq - 1, Batch: batch(t, "b", tenant, seq)})
		}
		time.Sleep(20 * time.Millisecond)
		if _, parked := p.lanes.counts(); parked != 0 || p.parked.Bytes() != 0 {
			t.Errorf("tenant %q: %d batches are parked", tenant, parked)
		}
		open.Store(true)
		p.eventually("all delivered", func() bool { return p.mark.Low() == 4 })
		p.stop()
		wantInOrder(t, u.took[tenant], "b", []uint64{1, 2, 3, 4})
	}
}

// Rule: what the upstream answers about one tenant's batches is told of that tenant. The upstream counts as failing only when it takes
// nothing of anybody.
func TestAHeldTenantMakesTheUpstreamUnhealthyOnlyWhileNobodysAreTaken(t *testing.T) {
	for name, status := range map[string]int{"about the tenant": http.StatusUnauthorized, "not about the tenant": http.StatusServiceUnavailable} {
		t.Run(name, func(t *testing.T) {
			u := newPerTenant(t, func(tenant string, _ int) (int, map[string]string) {
				if tenant == "bad" {
					return status, nil
				}
				return http.StatusNoContent, nil
			})
			p := startParking(t, remoteWrite(t, u.URL, nil), 1<<30)
			seq := uint64(0)
			send := func(tenant string) {
				seq++
				p.send(Item{Seq: seq, Batch: batch(t, "x", tenant, seq)})
			}
			send("bad")
			for p.Health().HeldTenants == 0 { // a tenant that fails without saying why is held once others' were taken
				send("good")
				time.Sleep(time.Millisecond)
			}
			n := u.count("good")
			send("good")
			p.eventually("taken", func() bool { return u.count("good") > n })
			tries := u.asked()
			p.eventually("tried again and again", func() bool { return u.asked() > tries+3*failuresInARow })
			h := p.Health()
			if !h.Healthy {
				t.Errorf("only one tenant's batches are not taken, and the upstream counts as failing: %+v", h)
			}
			if len(h.Held) != 1 || h.Held[0].Tenant != "bad" || h.Held[0].Status != status || h.Held[0].LastError == "" || h.Held[0].Batches > 1 || h.Held[0].Since.IsZero() {
				t.Errorf("of the tenant it says %+v", h.Held)
			}
			u.set(func(string, int) (int, map[string]string) { return http.StatusUnauthorized, nil })
			send("good")
			p.eventually("held too", func() bool { return p.Health().HeldTenants == 2 })
			if h := p.Health(); h.Healthy {
				t.Errorf("nothing of anybody is taken, and the upstream counts as healthy: %+v", h)
			}
			p.eventually("the last answer told, not an older one", func() bool { return strings.Contains(p.Health().LastError, "401") })
			u.set(func(string, int) (int, map[string]string) { return http.StatusNoContent, nil })
			p.eventually("taken", func() bool { return p.mark.Low() == seq })
			if h := p.Health(); !h.Healthy || h.HeldTenants != 0 || len(h.Held) != 0 {
				t.Errorf("all is well: %+v", h)
			}
		})
	}
}
