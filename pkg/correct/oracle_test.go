package correct_test

import (
	"math"
	"slices"

	"pawl/pkg/correct"
)

// The oracle is told a whole trace at once and works it out with hindsight:
// the pace is the median of all steps, past and future, a drop is what it
// obviously is by that pace, and every value is added up again from the first. It knows
// nothing of odds, debts or epochs, and is only asked about traces whose drops are obvious.
func oracle(trace []correct.Sample) map[int64]float64 {
	// Only the first sample at each timestamp, and only in order, moves a counter.
	var spine []correct.Sample
	for _, s := range trace {
		if math.IsNaN(s.V) || math.IsInf(s.V, 0) || s.V < 0 {
			continue
		}
		if len(spine) == 0 || s.T > spine[len(spine)-1].T {
			spine = append(spine, s)
		}
	}
	var paces []float64
	for i := 1; i < len(spine); i++ {
		if x := spine[i].V - spine[i-1].V; x > 0 {
			paces = append(paces, x/seconds(spine[i-1], spine[i]))
		}
	}
	slices.Sort(paces)
	pace := paces[len(paces)/2]

	answers := map[int64]float64{}
	for i := range spine {
		answers[spine[i].T] = hindsight(spine[:i+1], pace)
	}
	return answers
}

func seconds(a, b correct.Sample) float64 { return float64(b.T-a.T) / 1000 }

// hindsight adds up what the last sample of a trace must come out as.
func hindsight(spine []correct.Sample, pace float64) float64 {
	out, owed := spine[0].V, 0.0 // owed: float noise that raw has to pass first
	for i := 1; i < len(spine); i++ {
		a, b := spine[i-1], spine[i]
		grown := b.V - a.V
		switch {
		case grown >= 0:
			paid := min(grown, owed)
			owed -= paid
			out += grown - paid
		case -grown <= 1e-9*a.V:
			owed -= grown
		case b.V <= 1.5*pace*seconds(a, b): // it can have grown to that from 0
			out, owed = out+b.V, 0
		}
		// Any other drop took something away for good: nothing is added.
	}
	return out
}
