package accuracy

import (
	"math"

	"pawl/pkg/correct"
)

// SummaryClasses are those of the table for summaries, whose _count and _sum are judged as one.
func SummaryClasses() []HistClass {
	impute := correct.Policy{Impute: true}
	return []HistClass{
		{Name: "one of N workers recycles, summary", Reach: 0.0195, Losses: true, Traces: summaryRecycleTraces},
		{Name: "one of N workers recycles, summary, impute", Reach: 0.003, Policy: impute, Traces: summaryRecycleTraces},
		{Name: "whole restart, then a burst, summary", Reach: 0.0005, OverPromQL: 0.0005, Traces: summaryRestartTraces},
	}
}

// tally is a summary's _count and _sum.
type tally struct{ count, sum float64 }

func (t *tally) add(o tally) { t.count, t.sum = t.count+o.count, t.sum+o.sum }

// summarySim is one trace in the making.
type summarySim struct {
	sim
	tr    HistTrace
	truth tally
}

func newSummarySim(seed uint64, hours int, format string, args ...any) *summarySim {
	s := &summarySim{sim: *newSim(seed, hours, "summary "+format, args...)}
	s.tr = HistTrace{Name: s.sim.tr.Name, Hours: hours, Summary: true, Bounds: []float64{math.Inf(1)}}
	return s
}

// observe is mean observations on average; the logarithms of what they took are normal, 0.1 s in the median.
func (s *summarySim) observe(mean float64) (t tally) {
	t.count = s.poisson(mean)
	for range int(t.count) {
		t.sum += median * math.Exp(s.rnd.NormFloat64())
	}
	return t
}

func (s *summarySim) emit(raw tally) {
	t := s.at(s.now)
	s.tr.Raw = append(s.tr.Raw, Frame{T: t, B: []float64{raw.count}, Sum: raw.sum})
	s.tr.Truth = append(s.tr.Truth, Frame{T: t, B: []float64{s.truth.count}, Sum: s.truth.sum})
}

func summaryRecycleTraces(seed uint64, hours int) (all []HistTrace) {
	for _, n := range []int{2, 4, 8, 16} {
		for _, lambda := range []float64{0.1, 1, 10, 50} {
			all = append(all, summaryRecycle(seed, hours, n, lambda))
		}
	}
	return all
}

// summaryRecycle is recycle for a summary.
func summaryRecycle(seed uint64, hours, n int, lambda float64) HistTrace {
	s := newSummarySim(seed, hours, "recycle N=%d λ=%v/s", n, lambda)
	worker := make([]tally, n)
	one := lambda / float64(n)
	s.emit(tally{})
	for i := 1; i < s.scrapes(); i++ {
		s.now = float64(i) * interval
		gone := -1
		if s.rnd.Float64() < 0.02 {
			gone = s.rnd.IntN(n)
		}
		var sum tally
		for w := range worker {
			during := interval
			if w == gone {
				during *= s.rnd.Float64()
				worker[w] = tally{}
			}
			x := s.observe(one * during)
			worker[w].add(x)
			s.truth.add(x)
			sum.add(worker[w])
		}
		s.emit(sum)
	}
	return s.tr
}

func summaryRestartTraces(seed uint64, hours int) (all []HistTrace) {
	for _, burst := range []float64{1, 5, 20} {
		for _, lambda := range []float64{0.1, 1, 10, 50} {
			all = append(all, summaryRestarts(seed, hours, lambda, burst))
		}
	}
	return all
}

// summaryRestarts is restarts, at 1 % of the scrapes, for a summary.
func summaryRestarts(seed uint64, hours int, lambda, burst float64) HistTrace {
	s := newSummarySim(seed, hours, "restart λ=%v/s burst=%v", lambda, burst)
	const burstFor = 120.0
	var raw tally
	born := -1e9
	s.emit(raw)
	for i := 1; i < s.scrapes(); i++ {
		from := s.now
		s.now = float64(i) * interval
		if s.rnd.Float64() < 0.01 {
			raw, from = tally{}, from+s.rnd.Float64()*interval
			born = from
		}
		hot := max(0, min(s.now, born+burstFor)-from)
		x := s.observe(lambda * (hot*burst + (s.now - from - hot)))
		raw.add(x)
		s.truth.add(x)
		s.emit(raw)
	}
	return s.tr
}
