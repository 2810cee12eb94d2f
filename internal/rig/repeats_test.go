//go:build rig

package rig

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// An era is a stretch of scrapes: what is sent of its first part arrives in
// any order, and its faults happen in the second, of which only the repetitions are out of order.
const (
	eraShuffled = 12
	eraScrapes  = 30
	eraFault    = 20 // the scrape of an era that a fault may happen at
)

// Duplicates, overlapping retries, batches in another order, and two senders
// of the same series: a sample that has been seen keeps its value, a late one
// gets the offset of its time, and nothing old is taken for a restart.
func TestRepetitionsAndReorderingChangeNothing(t *testing.T) {
	seed, cases := seedOf(t), countOr(t, 100_000)
	figures := map[string]float64{}
	const lifeCases = 1_000_000 // of one storage
	for done, life := 0, uint64(0); done < cases; life++ {
		n := repetitions(t, seed+life, min(lifeCases, cases-done), figures)
		done += n
		if t.Failed() {
			t.Fatalf("life with seed %d", seed+life)
		}
	}
	report(t, figures)
}

// repetitions runs one relay for at least so many cases.
func repetitions(t *testing.T, seed uint64, cases int, figures map[string]float64) int {
	t.Helper()
	e := &eras{t: t, rand: rand.New(rand.NewPCG(seed, 0)), fleet: &fleet{}}
	for i := range 40 {
		id := e.fleet.add(labels.FromStrings("__name__", "rig_repeats_total", "i", fmt.Sprint(i)))
		step := float64(50 + e.rand.IntN(5000))
		e.counters = append(e.counters, &faulty{id: id, step: step, value: step * float64(1000+e.rand.IntN(2000)), restarts: i%2 == 0})
	}
	u := startUpstream(t, e.fleet)
	u.unordered = true
	dir := workDir(t)
	r := newRelay(t, filepath.Join(dir, "relay"), u.url, relayOptions{checkpoint: -1, segment: -1})
	r.ready(t)
	defer r.kill()
	e.url = r.url
	for e.cases < cases && !t.Failed() {
		e.era()
	}
	if err := r.drained(time.Minute); err != nil {
		t.Fatal(err)
	}
	m, err := r.metrics()
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[string]int{"reset": e.restarts, "hidden_reset": 0, "wrap": 0, "glitch": 0, "spike": 0, "invalid": 0} {
		if got := m[fmt.Sprintf("pawl_corrections_total{kind=%q}", kind)]; got != float64(want) {
			t.Errorf("%v corrections of kind %s were made, %d restarts and %d losses happened", got, kind, e.restarts, e.losses)
		}
	}
	f := &faults{t: t}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range u.strange {
		f.add("%s", s)
	}
	for _, p := range e.truth {
		if got, there := u.bits(p.series, p.t); !there || got != p.want {
			f.add("%s at %d is %v upstream (there: %v), the truth is %v", e.fleet.labels[p.series], p.t, math.Float64frombits(got), there, math.Float64frombits(p.want))
		}
	}
	figures["cases"] += float64(e.cases)
	figures["series' samples"] += float64(len(e.truth))
	figures["restarts among them"] += float64(e.restarts)
	figures["losses among them"] += float64(e.losses)
	figures["conflicting values"] += float64(e.conflicts)
	return e.cases
}

// eras makes and sends era after era.
type eras struct {
	t         *testing.T
	rand      *rand.Rand
	fleet     *fleet
	url       string
	counters  []*faulty
	scrapes   [][]point // of the last eras, for late repetitions
	truth     []point
	cases     int // samples sent
	restarts  int
	losses    int
	conflicts int
}

// era makes the scrapes of an era and has two senders send them.
func (e *eras) era() {
	first := len(e.truth) / len(e.counters)
	var fresh [][]point
	for k := range eraScrapes {
		var points []point
		for _, c := range e.counters {
			points = e.scrape(c, firstT+int64(first+k)*scrapeMS, k == eraFault, points)
		}
		fresh = append(fresh, points)
		e.truth = append(e.truth, points...)
	}
	// The very first of a life is in order: what comes first is where a series begins.
	if first > 0 {
		e.shuffled(fresh[:eraShuffled])
	} else {
		e.inOrder(fresh[:eraShuffled])
	}
	e.inOrder(fresh[eraShuffled:])
	e.scrapes = append(e.scrapes, fresh...)
	e.scrapes = e.scrapes[max(0, len(e.scrapes)-4*eraScrapes):]
}

// scrape moves a counter on; at a fault it restarts or loses, if it is far enough for no doubt.
func (e *eras) scrape(c *faulty, t int64, fault bool, out []point) []point {
	before, now := c.value, c.value+math.Floor(c.step*(0.7+0.6*e.rand.Float64()))
	if fault && before > 600*c.step && e.rand.IntN(3) == 0 {
		if c.restarts {
			e.restarts++
			now = 1 + math.Floor(c.step*0.8*e.rand.Float64())
			c.offset += before
		} else {
			e.losses++
			now = before - math.Floor(max(12*c.step, before*e.rand.Float64()*0.6))
			c.offset += before - now
		}
	}
	c.value = now
	return append(out, point{series: c.id, t: t, raw: now, want: bitsOf(now + c.offset), known: true})
}

// shuffled sends all samples of some scrapes in any order and cut anyhow, some twice, by two senders.
func (e *eras) shuffled(scrapes [][]point) {
	var all []point
	for _, s := range scrapes {
		all = append(all, s...)
	}
	var wg sync.WaitGroup
	for range 2 {
		mine := append([]point(nil), all...)
		e.rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		r := rand.New(rand.NewPCG(e.rand.Uint64(), 0))
		e.cases += len(mine)
		wg.Go(func() {
			for len(mine) > 0 {
				n := min(len(mine), 1+r.IntN(120))
				e.send(r, mine[:n])
				mine = mine[n:]
			}
		})
	}
	wg.Wait()
}

// inOrder sends scrape by scrape, with overlapping retries, late repetitions and other values for the newest timestamp.
func (e *eras) inOrder(scrapes [][]point) {
	for k, s := range scrapes {
		var wg sync.WaitGroup
		for sender := range 2 {
			r := rand.New(rand.NewPCG(e.rand.Uint64(), 1))
			batches := [][]point{s}
			if back := e.rand.IntN(6); back < k { // a retry that overlaps
				var overlap []point
				for _, old := range scrapes[k-back : k+1] {
					overlap = append(overlap, old...)
				}
				batches = append(batches, overlap)
			}
			if len(e.scrapes) > 0 && e.rand.IntN(3) == 0 {
				batches = append(batches, e.scrapes[e.rand.IntN(len(e.scrapes))])
			}
			if sender == 0 && e.rand.IntN(10) == 0 {
				e.conflicts++
				batches = append(batches, changed(s))
			}
			for _, b := range batches {
				e.cases += len(b)
			}
			wg.Go(func() {
				for _, b := range batches {
					e.send(r, b)
				}
			})
		}
		wg.Wait()
	}
}

// changed is a scrape with other values at the same timestamps: the first ones stand.
func changed(s []point) []point {
	out := append([]point(nil), s...)
	for i := range out {
		out[i].raw += 7
	}
	return out
}

func (e *eras) send(r *rand.Rand, points []point) {
	q := &request{message: messageV1, points: points}
	if r.IntN(2) == 0 {
		q.message = messageV2
	}
	q.body = encode(e.fleet, q.message, points)
	s := &sender{shard: &shard{}, url: e.url}
	if err := s.deliver(q); err != nil {
		e.t.Errorf("send: %v", err)
	}
}
