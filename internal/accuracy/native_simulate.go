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
		{Name: "lost increments at a crash, native", Reach: 0.0025, Right: PutBack, Traces: natives(panicking[exponential]())},
		{Name: "one of N workers recycles, native", Reach: 0.0195, Right: Losses, Traces: natives(recycling[exponential]())},
		{Name: "one of N workers recycles, native, impute", Reach: 0.003, Policy: impute, Traces: natives(recycling[exponential]())},
		{Name: "whole restart, away for minutes, native", Reach: 0.0005, Right: Restarts, Traces: natives(quitting[exponential]())},
		{Name: "whole restart, then a burst, native", Reach: 0.0005, Right: Restarts, Traces: natives(restarting[exponential](restartShare, rates, bursts, false))},
		{Name: "stale reads, HA flips, native", Reach: 0.002, Right: Dips, Traces: natives(flipping[exponential]())},
		{Name: "healthy native histograms", Reach: 0, HandsOff: true, Right: Dips, Traces: natives(steadily[exponential](0.01, 1, 20))},
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

func (e exponential) plus(o exponential) exponential {
	for k, n := range o.count {
		e.count[k] += n
	}
	e.sum += o.sum
	return e
}

// nativeSim is one native histogram in the making.
type nativeSim struct {
	*sim
	tr NativeTrace
}

// natives are the traces of a class of native histograms.
func natives(list []setting[exponential]) func(uint64, int) []NativeTrace {
	return played("native ", list, func(x setting[exponential], on *sim) NativeTrace {
		s := &nativeSim{sim: on, tr: NativeTrace{Name: x.name, Hours: on.hours}}
		x.play(s)
		return s.tr
	})
}

func (s *nativeSim) observe(mean float64) (e exponential) {
	for range int(s.poisson(mean)) {
		e.observe(median * math.Exp(s.rnd.NormFloat64()))
	}
	return e
}

func (s *nativeSim) emit(raw, truth exponential) {
	t := s.at(s.now)
	s.tr.Raw = append(s.tr.Raw, NativeSample{T: t, ST: s.start, H: raw.model()})
	s.tr.Truth = append(s.tr.Truth, NativeSample{T: t, ST: s.start, H: truth.model()})
}

func (s *nativeSim) stale() {
	x := NativeSample{T: s.at(s.now), H: &histogram.FloatHistogram{Sum: math.Float64frombits(staleMarker)}}
	s.tr.Raw, s.tr.Truth = append(s.tr.Raw, x), append(s.tr.Truth, x)
}
