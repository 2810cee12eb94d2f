package correct_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"

	"pawl/pkg/correct"
)

// restarted is a counter that restarts now and then, with a burst, and loses
// something now and then: its raw values, a scrape each.
func restarted(rnd *rand.Rand) (raw []float64) {
	v := float64(1000 + rnd.IntN(5000))
	hot := 0
	for range 300 {
		x := float64(5 + rnd.IntN(10))
		switch {
		case rnd.IntN(25) == 0:
			v, hot = 0, 1+rnd.IntN(6)
		case rnd.IntN(50) == 0:
			v -= float64(rnd.IntN(int(v) + 1))
		}
		if hot > 0 {
			hot--
			x *= float64(2 + rnd.IntN(20))
		}
		v += x
		raw = append(raw, v)
	}
	return raw
}

// told is what a policy decided, and what a reader's increase() counts of what went out.
type told struct {
	increase float64
	kinds    []correct.Kind
	settles  []int64 // ms
}

func (x *told) hear(log []correct.Correction) {
	for _, c := range log {
		x.kinds, x.settles = append(x.kinds, c.Kind), append(x.settles, c.Settles)
	}
}

// With resets: pass or mark a reader counts what it counts with fold, whenever
// a reset is decided: growth that has gone out already is not counted once more, and none is left
// out. Where the verdicts differ there is nothing to compare: only a fold can be revoked.
func TestPassCountsWhatFoldCounts(t *testing.T) {
	countTheSame(t, func(p correct.Policy, raw []float64) (x told) {
		var c correct.Counter
		var cs *correct.Case
		var read promIncrease
		at := int64(0)
		for k, v := range raw {
			s := correct.Sample{T: int64(k+1) * 15000, V: v}
			var o correct.Outcome
			cs, o = c.Apply(cs, p, s)
			read.take(t, &at, o, s)
			x.hear(o.Corrections)
		}
		x.increase = read.sum
		return x
	})
}

// The same for native histograms, as Prometheus' own model reads them.
func TestNativePassCountsWhatFoldCounts(t *testing.T) {
	countTheSame(t, func(p correct.Policy, raw []float64) (x told) {
		var n correct.Native
		var last *histogram.FloatHistogram
		for k, v := range raw {
			out, _, _, _, log := n.Apply(p, int64(k+1)*15000, 0, flat(v, 2*v, v))
			x.hear(log)
			switch {
			case last == nil:
			case out.DetectReset(last):
				x.increase += out.Count
			default:
				x.increase += out.Count - last.Count
			}
			last = out.Copy()
		}
		return x
	})
}

// The same for the total of classic histograms.
func TestHistogramPassCountsWhatFoldCounts(t *testing.T) {
	countTheSame(t, func(p correct.Policy, raw []float64) (x told) {
		pl := newPlayer(p)
		pl.zeros = map[pieceKey]int64{}
		var read promIncrease
		for k, v := range raw {
			at := int64(k+1) * 15000
			s := func(v float64) correct.Sample { return correct.Sample{T: at, V: v} }
			pl.together([]piece{{correct.RoleBucket, 1, s(v)}, {correct.RoleBucket, math.Inf(1), s(3 * v)},
				{correct.RoleCount, 0, s(3 * v)}, {correct.RoleSum, 0, s(2 * v)}})
			pl.settle(true)
			total := pieceKey{correct.RoleBucket, math.Inf(1), at}
			if _, marked := pl.zeros[total]; marked {
				read.add(0)
			}
			read.add(pl.out[total])
		}
		x.hear(pl.log)
		x.increase = read.sum
		return x
	})
}

func countTheSame(t *testing.T, tell func(correct.Policy, []float64) told) {
	same, all := 0, 0
	for seed := range uint64(120) {
		raw := restarted(rand.New(rand.NewPCG(seed, 5)))
		fold := tell(correct.Policy{}, raw)
		for _, resets := range []correct.Resets{correct.PassResets, correct.MarkResets} {
			all++
			got := tell(correct.Policy{Resets: resets}, raw)
			if !slices.Equal(got.kinds, fold.kinds) || !slices.Equal(got.settles, fold.settles) {
				continue
			}
			same++
			if math.Abs(got.increase-fold.increase) > 1e-9*fold.increase {
				t.Errorf("seed %d, resets %d: a reader counts %v, with fold %v", seed, resets, got.increase, fold.increase)
			}
		}
	}
	if 2*same < all {
		t.Errorf("of %d traces only %d were judged as with fold: this shows little", all, same)
	}
}
