package accuracy

import (
	"math"

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
		{Name: "lost increments at a crash, histogram", Reach: 0.002, Losses: true, Traces: histPanicTraces},
		{Name: "one of N workers recycles, histogram", Reach: 0.0195, Losses: true, Traces: histRecycleTraces},
		{Name: "one of N workers recycles, histogram, impute", Reach: 0.003, Policy: impute, Traces: histRecycleTraces},
		{Name: "stale reads, HA flips, histogram", Reach: 0.002, Traces: histFlipTraces},
		{Name: "low-traffic histograms, full restarts", Reach: 0.0002, OverPromQL: 0.0005, Restarts: true, Traces: histRestartTraces(false)},
		{Name: "low-traffic histograms, full restarts, start timestamps", Reach: 0, Traces: histRestartTraces(true)},
		{Name: "healthy histograms", Reach: 0, HandsOff: true, Traces: histHealthyTraces},
	}
}

// counts are densities, one per bucket.
type counts []float64

// histSim is one trace in the making.
type histSim struct {
	sim
	tr    HistTrace
	truth counts
}

func newHistSim(seed uint64, hours int, format string, args ...any) *histSim {
	s := &histSim{sim: *newSim(seed, hours, "histogram "+format, args...), truth: make(counts, len(shares))}
	s.tr = HistTrace{Name: s.sim.tr.Name, Hours: hours, Bounds: upperBounds}
	return s
}

// observe is n observations on average, over the buckets.
func (s *histSim) observe(mean float64) counts {
	out := make(counts, len(shares))
	for k, share := range shares {
		out[k] = s.poisson(mean * share)
	}
	return out
}

func (c counts) add(o counts) {
	for k := range c {
		c[k] += o[k]
	}
}

func (c counts) copy() counts { return append(counts(nil), c...) }

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

func (s *histSim) emit(raw counts) {
	t := s.at(s.now)
	s.tr.Raw = append(s.tr.Raw, Frame{T: t, ST: s.start, B: raw.cumulative(), Sum: raw.total(upperBounds)})
	s.tr.Truth = append(s.tr.Truth, Frame{T: t, ST: s.start, B: s.truth.cumulative(), Sum: s.truth.total(upperBounds)})
}

func (s *histSim) stale() {
	f := Frame{T: s.at(s.now), B: make([]float64, len(shares)), Stale: true}
	s.tr.Raw, s.tr.Truth = append(s.tr.Raw, f), append(s.tr.Truth, f)
}

func histPanicTraces(seed uint64, hours int) (all []HistTrace) {
	for _, lambda := range []float64{0.01, 0.1, 1, 5, 20} {
		all = append(all, histPanics(seed, hours, lambda))
	}
	return all
}

// histPanics is panics for a histogram.
func histPanics(seed uint64, hours int, lambda float64) HistTrace {
	s := newHistSim(seed, hours, "panic λ=%v/s", lambda)
	const flush = 30.0
	const perScrape = 4.0 / perHour
	raw, flushed, nextFlush := make(counts, len(shares)), make(counts, len(shares)), s.rnd.Float64()*flush
	grow := func(to float64) {
		for t := s.now; t < to; {
			end := min(to, nextFlush)
			raw.add(s.observe(lambda * (end - t)))
			if t = end; t == nextFlush {
				flushed, nextFlush = raw.copy(), nextFlush+flush
			}
		}
	}
	seen, back := make(counts, len(shares)), -1.0
	s.emit(raw)
	for i := 1; i < s.scrapes(); i++ {
		t := float64(i) * interval
		if back >= t {
			s.now = t
			continue
		}
		if back < 0 && s.rnd.Float64() < perScrape {
			crash := s.now + s.rnd.Float64()*interval
			grow(crash)
			raw = flushed.copy()
			for k := range seen {
				seen[k] = min(seen[k], raw[k])
			}
			back = crash + 60 + s.rnd.Float64()*240
			if s.now = t; s.rnd.IntN(2) == 0 {
				s.stale()
			}
			continue
		}
		if back >= 0 {
			s.now, nextFlush, back = back, back+s.rnd.Float64()*flush, -1
		}
		grow(t)
		s.now = t
		for k := range raw {
			s.truth[k] += raw[k] - seen[k]
		}
		seen = raw.copy()
		s.emit(raw)
	}
	return s.tr
}

func histRecycleTraces(seed uint64, hours int) (all []HistTrace) {
	for _, n := range []int{2, 4, 8, 16} {
		for _, lambda := range []float64{0.1, 1, 10, 50} {
			all = append(all, histRecycle(seed, hours, n, lambda))
		}
	}
	return all
}

// histRecycle is recycle for a histogram.
func histRecycle(seed uint64, hours, n int, lambda float64) HistTrace {
	s := newHistSim(seed, hours, "recycle N=%d λ=%v/s", n, lambda)
	worker := make([]counts, n)
	for w := range worker {
		worker[w] = make(counts, len(shares))
	}
	one := lambda / float64(n)
	s.emit(make(counts, len(shares)))
	for i := 1; i < s.scrapes(); i++ {
		s.now = float64(i) * interval
		gone := -1
		if s.rnd.Float64() < 0.02 {
			gone = s.rnd.IntN(n)
		}
		sum := make(counts, len(shares))
		for w := range worker {
			during := interval
			if w == gone {
				during *= s.rnd.Float64()
				worker[w] = make(counts, len(shares))
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

func histFlipTraces(seed uint64, hours int) (all []HistTrace) {
	for _, lag := range []int{1, 4} {
		for _, lambda := range []float64{0.1, 1, 10, 50} {
			all = append(all, histFlips(seed, hours, lag, lambda))
		}
	}
	return all
}

// histFlips is flips for a histogram: the whole of it is read too old.
func histFlips(seed uint64, hours, lag int, lambda float64) HistTrace {
	s := newHistSim(seed, hours, "flips lag=%d λ=%v/s", lag, lambda)
	values := []counts{make(counts, len(shares))}
	s.emit(values[0])
	newest := 0
	for i := 1; i < s.scrapes(); i++ {
		s.now = float64(i) * interval
		next := values[i-1].copy()
		next.add(s.observe(lambda * interval))
		values = append(values, next)
		read := i
		if s.rnd.Float64() < 0.3 {
			read = max(0, i-lag)
		}
		newest = max(newest, read)
		s.truth = values[newest]
		s.emit(values[read])
	}
	return s.tr
}

func histRestartTraces(starts bool) func(uint64, int) []HistTrace {
	return func(seed uint64, hours int) (all []HistTrace) {
		for _, lambda := range []float64{0.01, 0.02, 0.05, 0.1, 0.5} {
			all = append(all, histRestarts(seed, hours, lambda, starts))
		}
		return all
	}
}

// histRestarts: a histogram with little traffic starts again from 0 at 3 % of the scrapes.
func histRestarts(seed uint64, hours int, lambda float64, starts bool) HistTrace {
	s := newHistSim(seed, hours, "restarts λ=%v/s", lambda)
	raw := make(counts, len(shares))
	if starts {
		s.start = epochMS - 1000
	}
	s.emit(raw)
	for i := 1; i < s.scrapes(); i++ {
		from := s.now
		s.now = float64(i) * interval
		if s.rnd.Float64() < 0.03 {
			raw, from = make(counts, len(shares)), from+s.rnd.Float64()*interval
			if starts {
				s.start = s.at(from)
			}
		}
		x := s.observe(lambda * (s.now - from))
		raw.add(x)
		s.truth.add(x)
		s.emit(raw)
	}
	return s.tr
}

func histHealthyTraces(seed uint64, hours int) (all []HistTrace) {
	for _, lambda := range []float64{0.01, 1, 100} {
		s := newHistSim(seed, hours, "healthy λ=%v/s", lambda)
		s.emit(s.truth)
		for i := 1; i < s.scrapes(); i++ {
			s.now = float64(i) * interval
			s.truth.add(s.observe(lambda * interval))
			s.emit(s.truth)
		}
		all = append(all, s.tr)
	}
	return all
}
