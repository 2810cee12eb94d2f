package accuracy

import (
	"math"
	"math/rand/v2"

	"pawl/pkg/correct"
)

// upperBounds are those of the simulated histograms, in seconds: the default ones of the client libraries.
var upperBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, math.Inf(1)}

// shares are how the simulated observations fall into the buckets.
var shares = []float64{0.03, 0.06, 0.10, 0.13, 0.15, 0.15, 0.13, 0.10, 0.07, 0.04, 0.03, 0.01}

// HistClasses are those of the table for histograms.
func HistClasses() []HistClass {
	impute := correct.Policy{Impute: true}
	return []HistClass{
		{Name: "lost increments at a crash, histogram", Reach: 0.002, Right: PutBack, Traces: histograms(panicking[counts]())},
		{Name: "one of N workers recycles, histogram", Reach: 0.0195, Right: Losses, Traces: histograms(recycling[counts]())},
		{Name: "one of N workers recycles, histogram, impute", Reach: 0.003, Policy: impute, Traces: histograms(recycling[counts]())},
		{Name: "whole restart, away for minutes, histogram", Reach: 0.0005, OverPromQL: 0.0005, Right: Restarts, Traces: histograms(quitting[counts]())},
		{Name: "stale reads, HA flips, histogram", Reach: 0.002, Right: Dips, Traces: histograms(flipping[counts]())},
		{Name: "low-traffic histograms, full restarts", Reach: 0.0002, OverPromQL: 0.0005, Right: Restarts, Traces: histograms(restarting[counts](lowShare, lowRates, bursts[:1], false))},
		{Name: "low-traffic histograms, full restarts, start timestamps", Reach: 0, Right: Restarts, Traces: histograms(restarting[counts](lowShare, lowRates, bursts[:1], true))},
		{Name: "healthy histograms", Reach: 0, HandsOff: true, Right: Dips, Traces: histograms(steadily[counts](0.01, 1, 100))},
	}
}

// counts are densities, one per bucket, and behind them the sum of what was observed.
type counts []float64

// histSim is one histogram in the making.
type histSim struct {
	*sim
	tr   HistTrace
	size *rand.Rand // how large single observations are: in the same order for every seed, for the counts are not to change with it
}

const sizeSeed = 1

// histograms are the traces of a class of classic histograms.
func histograms(list []setting[counts]) func(uint64, int) []HistTrace {
	return played("histogram ", list, func(x setting[counts], on *sim) HistTrace {
		s := &histSim{sim: on, size: newSim(sizeSeed, on.hours, x.name).rnd, tr: HistTrace{Name: x.name, Hours: on.hours, Bounds: upperBounds}}
		x.play(s)
		return s.tr
	})
}

// observe is n observations on average, over the buckets.
func (s *histSim) observe(mean float64) counts {
	out := make(counts, len(shares)+1)
	lower := 0.0
	for k, share := range shares {
		out[k] = s.poisson(mean * share)
		upper := upperBounds[k]
		if math.IsInf(upper, 1) {
			upper = 2 * lower
		}
		out[len(shares)] += s.sizes(out[k], lower, upper)
		lower = upperBounds[k]
	}
	return out
}

// sizes is the sum of n observations anywhere between two bounds.
func (s *histSim) sizes(n, lower, upper float64) (sum float64) {
	const many = 20 // of which the sum is as good as normal
	if n > many {
		return n*(lower+upper)/2 + s.size.NormFloat64()*(upper-lower)*math.Sqrt(n/12)
	}
	for range int(n) {
		sum += lower + s.size.Float64()*(upper-lower)
	}
	return sum
}

func (c counts) add(o counts) {
	for k := range o {
		c[k] += o[k]
	}
}

func (c counts) plus(o counts) counts {
	out := make(counts, max(len(c), len(o)))
	out.add(c)
	out.add(o)
	return out
}

func (c counts) cumulative() []float64 {
	out, sum := make([]float64, len(c)), 0.0
	for k := range c {
		sum += c[k]
		out[k] = sum
	}
	return out
}

// total is the _sum of so many observations, each in the middle of its bucket.
func (c counts) total(bounds []float64) (sum float64) {
	lower := 0.0
	for k, le := range bounds {
		if math.IsInf(le, 1) {
			le = 2 * lower
		}
		sum += c[k] * (lower + le) / 2
		lower = le
	}
	return sum
}

func (s *histSim) emit(raw, truth counts) {
	t := s.at(s.now)
	s.tr.Raw = append(s.tr.Raw, frame(t, s.start, raw))
	s.tr.Truth = append(s.tr.Truth, frame(t, s.start, truth))
}

func frame(t, start int64, c counts) Frame {
	c = c.plus(make(counts, len(upperBounds)+1)) // nothing at all may be nil
	return Frame{T: t, ST: start, B: c[:len(upperBounds)].cumulative(), Sum: c[len(upperBounds)]}
}

func (s *histSim) stale() {
	f := Frame{T: s.at(s.now), B: make([]float64, len(shares)), Stale: true}
	s.tr.Raw, s.tr.Truth = append(s.tr.Raw, f), append(s.tr.Truth, f)
}
