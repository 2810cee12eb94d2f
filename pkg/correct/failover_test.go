package correct_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"

	"pawl/pkg/correct"
)

// takeOver is another replica's first sample, after a silence of the one before.
func (r *run) takeOver(after int64, v float64) correct.Outcome {
	r.at += after
	var o correct.Outcome
	r.cs, o = r.c.TakeOver(r.cs, r.p, correct.Sample{T: r.at, V: v, ST: r.st})
	return o
}

// CORRECTION.md, "HA pairs": the first step after a failover is treated as jitter.
func TestAReplicaThatIsSomeStepsBehindIsHeldAndNothingIsAdded(t *testing.T) {
	for _, p := range []correct.Policy{{}, {Losses: correct.Restore}, {Resets: correct.PassResets}} {
		r := counting(t, p, 10_000, 150, 30)
		r.want(r.takeOver(45_000, 9_800), 10_000, correct.KindJitter)
		r.want(r.next(9_950), 10_000)
		r.want(r.next(10_100), 10_100)
		if r.cs.Offset() != 0 {
			t.Errorf("an offset of %v is left", r.cs.Offset())
		}
		// Without that word the silence speaks for a loss, which would be put back for good.
		r = counting(t, p, 10_000, 150, 30)
		if o := r.feed(correct.Sample{T: r.at + 45_000, V: 9_800}); o.Corrections[0].Kind != correct.KindLoss {
			t.Errorf("the same fall of one sender is a %v: this test shows nothing", o.Corrections[0].Kind)
		}
	}
}

func TestAYoungCounterThatIsBehindIsHeld(t *testing.T) {
	r := &run{t: t, at: 1000}
	r.next(100)
	r.want(r.takeOver(45_000, 95), 100, correct.KindJitter)
	r = &run{t: t, at: 1000}
	r.next(100)
	r.want(r.takeOver(45_000, 2), 102, correct.KindReset)
}

func TestARestartBetweenTwoReplicasIsSeen(t *testing.T) {
	r := counting(t, correct.Policy{}, 10_000, 150, 30)
	r.want(r.takeOver(45_000, 300), 10_300, correct.KindReset)
	r = counting(t, correct.Policy{}, 3, 0.1, 30)
	r.want(r.takeOver(45_000, 0), 3, correct.KindReset)
	r = counting(t, correct.Policy{}, 10_000, 150, 30)
	r.c.ST = 500
	r.st = r.at + 30_000 // it says so itself
	r.want(r.takeOver(45_000, 9_900), 19_900, correct.KindReset)
}

func TestALossBetweenTwoReplicasIsSeen(t *testing.T) {
	r := counting(t, correct.Policy{}, 100_000, 150, 30)
	r.want(r.takeOver(45_000, 60_000), 100_000, correct.KindLoss)
	r.want(r.next(60_150), 100_150)
}

func TestAReplicaThatIsAheadIsHealthy(t *testing.T) {
	r := counting(t, correct.Policy{}, 10_000, 150, 30)
	r.want(r.takeOver(45_000, 10_450), 10_450)
	if o := r.takeOver(15_000, math.NaN()); o.V == o.V || o.Corrections[0].Kind != correct.KindInvalid {
		t.Errorf("a NaN went out as %+v", o)
	}
}

func TestAHistogramThatIsSomeStepsBehindIsHeldAsOne(t *testing.T) {
	s := newStory(t, correct.Policy{})
	s.warm(30, 3000, 1500, 300, 30, 3)
	s.at += 30_000
	s.pl.h.TakenOver(s.at + 15_000)
	s.scrape(2950, 1480, 297, 30, 3)
	s.want(3000, 1500, 300, 30, 3)
	s.scrape(3050, 1530, 303, 30, 3)
	s.want(3050, 1530, 303, 30, 3)
	s.pl.h.TakenOver(s.at + 15_000)
	s.scrape(100, 50, 10, 1, 0) // a restart is one for this too
	s.want(3150, 1580, 313, 31, 3)
}

func TestANativeHistogramThatIsSomeStepsBehindIsHeld(t *testing.T) {
	at := func(k float64) *histogram.FloatHistogram {
		return &histogram.FloatHistogram{
			Schema: 0, Count: 7 * k, Sum: 9 * k, ZeroThreshold: 1e-128,
			PositiveSpans: []histogram.Span{{Offset: 0, Length: 2}}, PositiveBuckets: []float64{5 * k, 2 * k},
		}
	}
	var n correct.Native
	ms := int64(1_000_000)
	for k := range 31 {
		n.Apply(correct.Policy{}, ms, 0, at(float64(100+10*k)))
		ms += 15_000
	}
	n.TakenOver(true)
	out, _, _, _, cs := n.Apply(correct.Policy{}, ms+30_000, 0, at(392))
	n.TakenOver(false)
	if len(cs) != 1 || cs[0].Kind != correct.KindJitter || out.Count != 2800 || out.PositiveBuckets[0] != 2000 {
		t.Errorf("went out as %v, %+v", out, cs)
	}
	out, _, _, _, _ = n.Apply(correct.Policy{}, ms+45_000, 0, at(402))
	if out.Count != 7*402 || out.Sum != 9*402 {
		t.Errorf("the next went out as %v", out)
	}
}

// What comes out of a pair is what one replica would have shown, whatever their
// clocks, within one in two thousand: for counters of any pace, restarts of the target among the failovers.
func TestFailoversAddNothing(t *testing.T) {
	for _, lambda := range []float64{0.01, 0.1, 1, 20} {
		var diff, plain, sum float64
		for seed := range uint64(60) {
			d, s := pairOf(seed, lambda, (*correct.Counter).TakeOver)
			diff += d
			sum += s
			d, _ = pairOf(seed, lambda, (*correct.Counter).Apply)
			plain += d
		}
		t.Logf("%v/s: off by %.5f; %.5f without being told of the failover", lambda, diff/sum, plain/sum)
		if diff > 0.0005*sum+5 || diff > plain {
			t.Errorf("%v/s: off by %v of %v; %v without being told of the failover", lambda, diff, sum, plain)
		}
	}
}

type takeOver func(*correct.Counter, *correct.Case, correct.Policy, correct.Sample) (*correct.Case, correct.Outcome)

// pairOf simulates an hour of a pair, and gives how far what goes out is from what either
// replica saw: every ten minutes the elected replica falls silent, and the other, whose clock
// is up to a minute off, begins with what it has not sent yet. In every third silence the target restarts.
func pairOf(seed uint64, lambda float64, takeOver takeOver) (diff, sum float64) {
	rng := rand.New(rand.NewPCG(seed, uint64(lambda*1000)))
	var counts []float64 // at every second of the target's life, as it shows them
	var truth []float64  // and as they are
	var restarts []int
	n, all := math.Floor(rng.Float64()*100*lambda*60), 0.0
	const hour = 3600
	for s := range hour {
		if s%1800 == 1220 { // 20 s into a silence
			n, restarts = 0, append(restarts, s)
		}
		// Poisson by thinning: tenths of a second.
		for range 10 {
			if lambda >= 10 {
				k := math.Floor(lambda/10 + rng.Float64())
				n, all = n+k, all+k
			} else if rng.Float64() < lambda/10 {
				n, all = n+1, all+1
			}
		}
		counts, truth = append(counts, n), append(truth, all)
	}
	var c correct.Counter
	var cs *correct.Case
	skew := [2]int{0, rng.IntN(121) - 60}
	first, out, last := -1.0, 0.0, int64(math.MinInt64)
	var seen []int
	for k := range hour / 600 {
		begin, taken := 600*k, k > 0
		if k > 0 {
			begin += 45 - rng.IntN(120) // what it has not sent yet comes first
		}
		for s := begin; s < 600*(k+1); s++ {
			if (s+7*k)%15 != 0 {
				continue // it does not scrape
			}
			x := correct.Sample{T: int64(s+skew[k%2]) * 1000, V: counts[s]}
			if x.T <= last {
				continue // the replica before told that time
			}
			var o correct.Outcome
			switch {
			case taken:
				cs, o = takeOver(&c, cs, correct.Policy{}, x)
			case c.Healthy(x):
				o.V = x.V
			default:
				cs, o = c.Apply(cs, correct.Policy{}, x)
			}
			if first < 0 {
				first = o.V
			}
			taken, last, out = false, x.T, o.V
			seen = append(seen, s)
		}
	}
	sum = truth[seen[len(seen)-1]] - truth[seen[0]]
	for _, at := range restarts { // nobody saw what was counted just before
		before := seen[0]
		for _, s := range seen {
			if s < at {
				before = max(before, s)
			}
		}
		sum -= truth[at-1] - truth[before]
	}
	return math.Abs(out - first - sum), sum
}
