package sequence

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"

	"pawl/pkg/rewrite"
)

// service is a process that is scraped every 15 s: busy counters, one that
// stands at 1 from its start on, and a histogram with little in it.
type service struct {
	busy, idle int
	buckets    bool
	start      bool // exports process_start_time_seconds
	created    bool // exports _created of the idle ones
}

const serviceRestart = 40 // the scrape that shows it first

// scrape is what the service shows at scrape k.
func (x service) scrape(k int) (all []prompb.TimeSeries) {
	ms := haT0 + int64(k)*15_000
	age, began := k+1, haT0-5000
	if k >= serviceRestart {
		age, began = k-serviceRestart, haT0+serviceRestart*15_000-4000
	}
	add := func(v float64, name string, ls ...string) {
		all = append(all, one(ms, v, append([]string{"__name__", name, "job", "api", "instance", "a:1"}, ls...)...))
	}
	for i := range x.busy {
		add(float64((age*15+4)*(5+i)), fmt.Sprintf("requests_%d_total", i))
	}
	for i := range x.idle {
		add(1, fmt.Sprintf("reloads_%d_total", i))
		if x.created {
			add(float64(began)/1000, fmt.Sprintf("reloads_%d_created", i))
		}
	}
	if x.buckets {
		for _, le := range []string{"0.1", "1", "+Inf"} {
			add(1, "boot_seconds_bucket", "le", le)
		}
		add(0.05, "boot_seconds_sum")
		add(1, "boot_seconds_count")
	}
	if x.start {
		add(float64(began)/1000, "process_start_time_seconds")
	}
	return all
}

// play sends n scrapes, each cut into requests by cut, and saves and reads back before those of scrape save.
func (x service) play(t *testing.T, n, save int, cut func([]prompb.TimeSeries) [][]prompb.TimeSeries) *pairWorld {
	p := newPairWorld(t, rewrite.V1)
	for k := range n {
		if k == save {
			p.restart()
		}
		for i, part := range cut(x.scrape(k)) {
			p.send(haT0+int64(k)*15_000+int64(i), part...)
		}
	}
	return p
}

func labelsOfService(name string, ls ...string) labels.Labels {
	return labels.FromStrings(append([]string{"__name__", name, "job", "api", "instance", "a:1"}, ls...)...)
}

func whole(all []prompb.TimeSeries) [][]prompb.TimeSeries { return [][]prompb.TimeSeries{all} }

// last is what went out last for a series of the service.
func (p *pairWorld) lastOf(name string, ls ...string) float64 {
	p.t.Helper()
	want := labelsOfService(name, ls...).String()
	s := p.out[want]
	if len(s) == 0 {
		p.t.Fatalf("%s did not go out; there are %d series", want, len(p.out))
	}
	return s[len(s)-1].Value
}

func (p *pairWorld) kinds() (out []string) {
	for _, e := range p.w.history {
		out = append(out, e.Kind+" "+e.Labels.Get("__name__"))
	}
	slices.Sort(out)
	return out
}

// When the counters that had to fall did, those that are too small to fall began again as well.
func TestATargetsRestartShowsInItsSmallCounters(t *testing.T) {
	p := service{busy: 4, idle: 2, buckets: true}.play(t, serviceRestart+3, -1, whole)
	for _, name := range []string{"reloads_0_total", "reloads_1_total", "boot_seconds_count"} {
		if got := p.lastOf(name); got != 2 {
			t.Errorf("%s went out as %v, want 2: it counted once in each life (%v)", name, got, p.kinds())
		}
	}
	for _, le := range []string{"0.1", "1", "+Inf"} {
		if got := p.lastOf("boot_seconds_bucket", "le", le); got != 2 {
			t.Errorf("bucket %s went out as %v, want 2", le, got)
		}
	}
}

// One or two counters that begin again are no target; nor are many beside as many that do not.
func TestAFewFallsAreNoRestartOfTheTarget(t *testing.T) {
	if p := (service{busy: 2, idle: 2}).play(t, serviceRestart+3, -1, whole); p.lastOf("reloads_0_total") != 1 {
		t.Errorf("two falls were taken for a restart of the target: %v", p.kinds())
	}
	x := service{busy: 8, idle: 1}
	p := newPairWorld(t, rewrite.V1)
	for k := range serviceRestart + 3 {
		all := x.scrape(k)
		for i := range 4 { // live on in files
			all[i].Samples[0].Value = float64((k*15 + 19) * (5 + i))
		}
		p.send(haT0+int64(k)*15_000, all...)
	}
	if p.lastOf("reloads_0_total") != 1 {
		t.Errorf("four falls beside four that had to fall and did not were taken for a restart: %v", p.kinds())
	}
}

// The process' start time supports what the falls show, and proves nothing alone.
func TestProcessStartTimeSupports(t *testing.T) {
	if p := (service{busy: 2, idle: 1, start: true}).play(t, serviceRestart+3, -1, whole); p.lastOf("reloads_0_total") != 2 {
		t.Errorf("two falls and the start time in the same step: %v", p.kinds())
	}
	x := service{busy: 2, idle: 1, start: true}
	p := newPairWorld(t, rewrite.V1)
	for k := range serviceRestart + 3 {
		all := x.scrape(k)
		for i := range 2 {
			all[i].Samples[0].Value = float64((k*15 + 19) * (5 + i))
		}
		p.send(haT0+int64(k)*15_000, all...)
	}
	if p.lastOf("reloads_0_total") != 1 || len(p.w.history) != 0 {
		t.Errorf("the start time alone was believed: %v", p.kinds())
	}
}

// A start time that goes back and forth is told by several processes in turn: their falls are no restarts.
func TestATargetOfSeveralProcessesTellsNothing(t *testing.T) {
	x := service{busy: 4, idle: 1, start: true}
	p := newPairWorld(t, rewrite.V1)
	for k := range serviceRestart + 3 {
		all := x.scrape(k)
		if k > 20 && k%2 == 1 {
			all[len(all)-1].Samples[0].Value -= 1000
		}
		p.send(haT0+int64(k)*15_000, all...)
	}
	if p.lastOf("reloads_0_total") != 1 {
		t.Errorf("the falls of several processes were taken for a restart: %v", p.kinds())
	}
}

// `_created` that moved is the counter's own word.
func TestCreatedShowsAHiddenReset(t *testing.T) {
	p := service{idle: 2, created: true}.play(t, serviceRestart+3, -1, whole)
	for _, name := range []string{"reloads_0_total", "reloads_1_total"} {
		if got := p.lastOf(name); got != 2 {
			t.Errorf("%s went out as %v, want 2 (%v)", name, got, p.kinds())
		}
	}
	if got := p.lastOf("reloads_0_created"); got != float64(haT0+serviceRestart*15_000-4000)/1000 {
		t.Errorf("_created itself went out as %v", got)
	}
}

// A sign is no counter, in the admin API and in `relay dump` of what a stopped relay left as well: what is kept of it is not shown as one.
func TestASignIsNotShownAsACounter(t *testing.T) {
	p := service{busy: 1, idle: 1, start: true, created: true}.play(t, 3, -1, whole)
	shown := func(when string) {
		t.Helper()
		for name, counter := range map[string]bool{"process_start_time_seconds": false, "reloads_0_created": false, "reloads_0_total": true} {
			ls := labelsOfService(name)
			infos := []SeriesInfo{{Key: rewrite.KeyOf("team", ls), Tenant: "team", Labels: ls}}
			if p.w.describe(infos); infos[0].Counter != counter || infos[0].Known != counter {
				t.Errorf("%s %s: %+v", name, when, infos[0])
			}
		}
	}
	shown("while it runs")
	p.restart()
	shown("after a restart")
}

// Invariant 5: however the samples of a scrape are cut into requests, in whatever
// order these come, and whether the relay restarts in between, the totals are the same; a histogram's
// part that was let go before its siblings fell may differ at that very scrape.
func TestATargetsTotalsDoNotDependOnCutsAndOrder(t *testing.T) {
	x := service{busy: 5, idle: 3, buckets: true, start: true, created: true}
	want := x.play(t, serviceRestart+4, -1, whole)
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 4))
		got := x.play(t, serviceRestart+4, serviceRestart-1+rng.IntN(4), func(all []prompb.TimeSeries) (parts [][]prompb.TimeSeries) {
			rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			for len(all) > 0 {
				n := 1 + rng.IntN(len(all))
				parts, all = append(parts, all[:n]), all[n:]
			}
			return parts
		})
		for name, samples := range want.out {
			a, b := samples[len(samples)-1], got.out[name]
			if len(b) == 0 || b[len(b)-1].Value != a.Value {
				t.Fatalf("seed %d: %s ends at %v, want %v\n%v\n%v", seed, name, b[max(0, len(b)-1):], a, got.kinds(), want.kinds())
			}
		}
	}
}

// A counter that dips and comes back more than once is shown as told by several sources in turn.
func TestInterleavingSourcesAreShown(t *testing.T) {
	p := newPairWorld(t, rewrite.V1)
	for k := range 60 {
		v := float64(1000 + 50*k)
		if k > 30 && k%6 == 0 {
			v -= 120 // the other source is behind
		}
		p.send(haT0+int64(k)*15_000, one(haT0+int64(k)*15_000, v, "__name__", "x_total"), one(haT0+int64(k)*15_000, float64(k), "__name__", "y_total"))
	}
	for name, want := range map[string]bool{"x_total": true, "y_total": false} {
		ls := labels.FromStrings("__name__", name)
		infos := []SeriesInfo{{Key: rewrite.KeyOf("team", ls), Tenant: "team", Labels: ls}}
		if p.w.describe(infos); infos[0].Interleaved != want || !infos[0].Known {
			t.Errorf("%s: %+v, want interleaved %v", name, infos[0], want)
		}
	}
}
