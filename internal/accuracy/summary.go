package accuracy

import (
	"math"

	"pawl/pkg/correct"
)

// SummaryClasses are those of the table for summaries, whose _count and _sum are judged as one.
func SummaryClasses() []HistClass {
	impute := correct.Policy{Impute: true}
	return []HistClass{
		{Name: "one of N workers recycles, summary", Reach: 0.0195, Right: Losses, Traces: summaries(recycling[tally]())},
		{Name: "one of N workers recycles, summary, impute", Reach: 0.003, Policy: impute, Traces: summaries(recycling[tally]())},
		{Name: "whole restart, then a burst, summary", Reach: 0.0005, OverPromQL: 0.0005, Right: Restarts, Traces: summaries(restarting[tally](restartShare, rates, bursts, false))},
	}
}

// tally is a summary's _count and _sum.
type tally struct{ count, sum float64 }

func (t tally) plus(o tally) tally { return tally{t.count + o.count, t.sum + o.sum} }

// summarySim is one summary in the making.
type summarySim struct {
	*sim
	tr HistTrace
}

// summaries are the traces of a class of summaries.
func summaries(list []setting[tally]) func(uint64, int) []HistTrace {
	return played("summary ", list, func(x setting[tally], on *sim) HistTrace {
		s := &summarySim{sim: on, tr: HistTrace{Name: x.name, Hours: on.hours, Summary: true, Bounds: []float64{math.Inf(1)}}}
		x.play(s)
		return s.tr
	})
}

// observe is mean observations on average; the logarithms of what they took are normal, 0.1 s in the median.
func (s *summarySim) observe(mean float64) (t tally) {
	t.count = s.poisson(mean)
	for range int(t.count) {
		t.sum += median * math.Exp(s.rnd.NormFloat64())
	}
	return t
}

func (s *summarySim) emit(raw, truth tally) {
	t := s.at(s.now)
	s.tr.Raw = append(s.tr.Raw, Frame{T: t, ST: s.start, B: []float64{raw.count}, Sum: raw.sum})
	s.tr.Truth = append(s.tr.Truth, Frame{T: t, ST: s.start, B: []float64{truth.count}, Sum: truth.sum})
}

func (s *summarySim) stale() {
	f := Frame{T: s.at(s.now), B: make([]float64, 1), Stale: true}
	s.tr.Raw, s.tr.Truth = append(s.tr.Raw, f), append(s.tr.Truth, f)
}
