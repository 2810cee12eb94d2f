package accuracy

import (
	"math"
	"math/rand/v2"

	"pawl/pkg/correct"
)

// Classes are the scalar ones of the table that the project measures itself by.
func Classes() []Class {
	impute := correct.Policy{Impute: true}
	return []Class{
		{Name: "lost increments at a crash", Reach: 0.004, Right: PutBack, Traces: counters(panicking[number]())},
		{Name: "the post-mortem's own table", Reach: 0, Right: Losses, Traces: postMortem},
		{Name: "one of N workers recycles", Reach: 0.0195, Right: Losses, Traces: counters(recycling[number]())},
		{Name: "one of N workers recycles, impute", Reach: 0.003, Policy: impute, Traces: counters(recycling[number]())},
		{Name: "whole restart, then a burst", Reach: 0.0005, OverPromQL: 0.0005, Right: Restarts, Traces: counters(restarting[number](restartShare, rates, bursts, false))},
		{Name: "whole restart, away for minutes", Reach: 0.0005, OverPromQL: 0.0005, Right: Restarts, Traces: counters(quitting[number]())},
		{Name: "whole restart, then a burst, start timestamps", Reach: 0, Right: Restarts, Traces: counters(restarting[number](restartShare, rates, bursts, true))},
		{Name: "crash loops", Reach: 0.001, Right: Restarts, Traces: counters(restarting[number](loopShare, loopRates, bursts[:1], false))},
		{Name: "crash loops, start timestamps", Reach: 0, Right: Restarts, Traces: counters(restarting[number](loopShare, loopRates, bursts[:1], true))},
		{Name: "stale reads, HA flips", Reach: 0.002, Right: Dips, Traces: counters(flipping[number]())},
		{Name: "float jitter", Reach: 0.0008, Right: Dips, Traces: jitterTraces},
		{Name: "healthy counters, odd floats", Reach: 0, HandsOff: true, Right: Dips, Traces: healthyTraces},
	}
}

func jitterTraces(seed uint64, hours int) (all []Trace) {
	for _, rate := range []float64{0.01, 1, 1000} {
		for _, spread := range []float64{0.02, 0.1, 0.3} {
			all = append(all, jitter(seed, hours, rate, spread))
		}
	}
	return all
}

func healthyTraces(seed uint64, hours int) []Trace {
	return []Trace{
		healthy(seed, hours, "requests", 0, func(r *rand.Rand) float64 { return float64(r.IntN(40)) }),
		healthy(seed, hours, "rare", 0, func(r *rand.Rand) float64 { return float64(r.IntN(100) / 97) }),
		healthy(seed, hours, "seconds", 0, func(r *rand.Rand) float64 { return r.Float64() * 0.1 }),
		healthy(seed, hours, "bursts", 3, func(r *rand.Rand) float64 { return math.Floor(math.Exp(r.NormFloat64() * 6)) }),
		healthy(seed, hours, "bytes past 2^53", 1<<60, func(r *rand.Rand) float64 { return float64(r.Uint64N(1 << 40)) }),
		healthy(seed, hours, "subnormal", 0, func(r *rand.Rand) float64 { return float64(r.IntN(5)) * math.SmallestNonzeroFloat64 }),
		healthy(seed, hours, "huge", 1e290, func(r *rand.Rand) float64 { return r.Float64() * 1e300 }),
	}
}

// postMortem is the table of the incident that the project began with, one
// increment lost, 72,932 counted (docs: two true stories). Its last four minutes and a half come
// at no full hour, so the trace is stretched over one by standing still.
func postMortem(uint64, int) []Trace {
	seconds := []float64{0, 30, 60, 90, 120, 150, 180, 354.117, 384.126, 414.13, 444.119, 3600}
	raw := []float64{72929, 72929, 72930, 72930, 72932, 72932, 72933, 72932, 72932, 72932, 72932, 72932}
	s := newCounterSim(0, 1, "post-mortem")
	for i, t := range seconds {
		s.now = t
		s.highest(raw[i])
	}
	return []Trace{s.tr}
}
