package accuracy

import (
	"math"

	"github.com/prometheus/prometheus/model/histogram"

	"pawl/pkg/correct"
)

// NativeClasses are those of the table for native histograms.
func NativeClasses() []NativeClass {
	impute := correct.Policy{Impute: true}
	return []NativeClass{
		{Name: "lost increments at a crash, native", Reach: 0.0025, Traces: nativePanicTraces},
		{Name: "one of N workers recycles, native", Reach: 0.0195, Traces: nativeRecycleTraces},
		{Name: "one of N workers recycles, native, impute", Reach: 0.003, Policy: impute, Traces: nativeRecycleTraces},
		{Name: "whole restart, then a burst, native", Reach: 0.0005, Traces: nativeRestartTraces},
		{Name: "stale reads, HA flips, native", Reach: 0.002, Traces: nativeFlipTraces},
		{Name: "healthy native histograms", Reach: 0, HandsOff: true, Traces: nativeHealthyTraces},
	}
}

const (
	nativeSchema = 3   // eight buckets for each doubling
	nativeLowest = -96 // 2^-12 s, index of the lowest bucket that is kept
	nativeSpan   = 160 // buckets, up to 2^8 s
	median       = 0.1 // s, of the simulated observations, whose logarithms are normal
)

// exponential is a native histogram in the making: counts by bucket, the first one at nativeLowest.
type exponential struct {
	count [nativeSpan]float64
	sum   float64
}

func (e *exponential) observe(v float64) {
	k := int(math.Ceil(math.Log2(v)*(1<<nativeSchema))) - nativeLowest
	e.count[min(max(k, 0), nativeSpan-1)]++
	e.sum += v
}

func (e *exponential) add(o *exponential) {
	for k, n := range o.count {
		e.count[k] += n
	}
	e.sum += o.sum
}

// model is what a client library exposes: only what holds something.
func (e *exponential) model() *histogram.FloatHistogram {
	h := &histogram.FloatHistogram{Schema: nativeSchema, ZeroThreshold: 0x1p-126, Sum: e.sum}
	next := 0
	for k, n := range e.count {
		if n == 0 {
			continue
		}
		index := k + nativeLowest
		if gap := index - next; gap == 0 && len(h.PositiveSpans) > 0 {
			h.PositiveSpans[len(h.PositiveSpans)-1].Length++
		} else {
			h.PositiveSpans = append(h.PositiveSpans, histogram.Span{Offset: int32(gap), Length: 1})
		}
		h.PositiveBuckets = append(h.PositiveBuckets, n)
		h.Count += n
		next = index + 1
	}
	return h
}

// nativeSim is one trace in the making.
type nativeSim struct {
	sim
	tr    NativeTrace
	truth exponential
}

func newNativeSim(seed uint64, hours int, format string, args ...any) *nativeSim {
	s := &nativeSim{sim: *newSim(seed, hours, "native "+format, args...)}
	s.tr = NativeTrace{Name: s.sim.tr.Name, Hours: hours}
	return s
}

// observe is mean observations on average.
func (s *nativeSim) observe(mean float64) *exponential {
	var e exponential
	for range int(s.poisson(mean)) {
		e.observe(median * math.Exp(s.rnd.NormFloat64()))
	}
	return &e
}

func (s *nativeSim) emit(raw *exponential) {
	t := s.at(s.now)
	s.tr.Raw = append(s.tr.Raw, NativeSample{T: t, H: raw.model()})
	s.tr.Truth = append(s.tr.Truth, NativeSample{T: t, H: s.truth.model()})
}

func (s *nativeSim) stale() {
	x := NativeSample{T: s.at(s.now), H: &histogram.FloatHistogram{Sum: math.Float64frombits(staleMarker)}}
	s.tr.Raw, s.tr.Truth = append(s.tr.Raw, x), append(s.tr.Truth, x)
}

func nativePanicTraces(seed uint64, hours int) (all []NativeTrace) {
	for _, lambda := range []float64{0.01, 0.1, 1, 5, 20} {
		all = append(all, nativePanics(seed, hours, lambda))
	}
	return all
}

// nativePanics: pages are written back at every second scrape, and a crash takes
// back what was not; then the service is away for one to five minutes.
func nativePanics(seed uint64, hours int, lambda float64) NativeTrace {
	s := newNativeSim(seed, hours, "panic λ=%v/s", lambda)
	const perScrape = 3.3 / perHour
	var live, flushed exponential
	until := 0
	for i := range s.scrapes() {
		s.now = float64(i) * interval
		if i < until {
			continue
		}
		if i > 0 && until == 0 && s.rnd.Float64() < perScrape {
			until = i + 4 + s.rnd.IntN(17)
			live = flushed
			if s.rnd.IntN(2) == 0 {
				s.stale()
			}
			continue
		}
		until = 0
		x := s.observe(lambda * interval)
		live.add(x)
		s.truth.add(x)
		if i%2 == 0 {
			flushed = live
		}
		s.emit(&live)
	}
	return s.tr
}

func nativeRecycleTraces(seed uint64, hours int) (all []NativeTrace) {
	for _, n := range []int{2, 4, 8, 16} {
		for _, lambda := range []float64{0.1, 1, 10, 50} {
			all = append(all, nativeRecycle(seed, hours, n, lambda))
		}
	}
	return all
}

// nativeRecycle is recycle for a native histogram.
func nativeRecycle(seed uint64, hours, n int, lambda float64) NativeTrace {
	s := newNativeSim(seed, hours, "recycle N=%d λ=%v/s", n, lambda)
	worker := make([]exponential, n)
	one := lambda / float64(n)
	for i := range s.scrapes() {
		s.now = float64(i) * interval
		gone := -1
		if s.rnd.Float64() < 0.02 {
			gone = s.rnd.IntN(n)
		}
		var sum exponential
		for w := range worker {
			during := interval
			if w == gone {
				// The old worker's last counts were never scraped.
				during *= s.rnd.Float64()
				worker[w] = exponential{}
			}
			x := s.observe(one * during)
			worker[w].add(x)
			s.truth.add(x)
			sum.add(&worker[w])
		}
		s.emit(&sum)
	}
	return s.tr
}

func nativeRestartTraces(seed uint64, hours int) (all []NativeTrace) {
	for _, burst := range []float64{1, 5, 20} {
		for _, lambda := range []float64{0.1, 1, 10} {
			all = append(all, nativeRestarts(seed, hours, lambda, burst))
		}
	}
	return all
}

// nativeRestarts: the whole starts again from 0 at 1 % of the scrapes, and
// then counts burst times as fast for two minutes.
func nativeRestarts(seed uint64, hours int, lambda, burst float64) NativeTrace {
	s := newNativeSim(seed, hours, "restart λ=%v/s burst=%v", lambda, burst)
	var live exponential
	hot := 0
	for i := range s.scrapes() {
		s.now = float64(i) * interval
		mean := lambda * interval
		if s.rnd.Float64() < 0.01 {
			live, hot = exponential{}, 8
			mean *= s.rnd.Float64()
		}
		if hot > 0 {
			mean *= burst
			hot--
		}
		x := s.observe(mean)
		live.add(x)
		s.truth.add(x)
		s.emit(&live)
	}
	return s.tr
}

func nativeFlipTraces(seed uint64, hours int) (all []NativeTrace) {
	for _, lag := range []int{1, 4} {
		for _, lambda := range []float64{0.1, 1, 10} {
			all = append(all, nativeFlips(seed, hours, lag, lambda))
		}
	}
	return all
}

// nativeFlips: 30 % of the scrapes read the whole as it was lag scrapes ago.
func nativeFlips(seed uint64, hours, lag int, lambda float64) NativeTrace {
	s := newNativeSim(seed, hours, "flips lag=%d λ=%v/s", lag, lambda)
	var past []exponential
	newest := 0
	for i := range s.scrapes() {
		s.now = float64(i) * interval
		next := *s.observe(lambda * interval)
		if i > 0 {
			next.add(&past[i-1])
		}
		past = append(past, next)
		read := i
		if s.rnd.Float64() < 0.3 {
			read = max(0, i-lag)
		}
		newest = max(newest, read)
		s.truth = past[newest]
		s.emit(&past[read])
	}
	return s.tr
}

func nativeHealthyTraces(seed uint64, hours int) (all []NativeTrace) {
	for _, lambda := range []float64{0.01, 1, 20} {
		s := newNativeSim(seed, hours, "healthy λ=%v/s", lambda)
		for i := range s.scrapes() {
			s.now = float64(i) * interval
			s.truth.add(s.observe(lambda * interval))
			s.emit(&s.truth)
		}
		all = append(all, s.tr)
	}
	return all
}
