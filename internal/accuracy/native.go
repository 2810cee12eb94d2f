package accuracy

import (
	"context"
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"

	"pawl/pkg/correct"
)

// NativeSample is one scraped native histogram; T and ST in ms, ST 0 for none.
// A stale marker is one in H.Sum.
type NativeSample struct {
	T, ST int64
	H     *histogram.FloatHistogram
}

func (s NativeSample) stale() bool { return math.Float64bits(s.H.Sum) == staleMarker }

// NativeTrace is what was scraped of one native histogram, and the truth at the same timestamps.
type NativeTrace struct {
	Name  string
	Hours int
	Raw   []NativeSample
	Truth []NativeSample
}

// NativeClass is one line of the table for native histograms.
type NativeClass struct {
	Name     string
	Reach    float64 // of the count; a sum also has the values that were hidden: sumReach times as much
	HandsOff bool
	Right    Fate // the right verdict at every fall, by which the floor is known
	Policy   correct.Policy
	Traces   func(seed uint64, hours int) []NativeTrace
}

// SumReach is how much further from the truth the mean of sums may be than that of counts.
const SumReach = 1.25

// MeasureNative measures one class.
func MeasureNative(ctx context.Context, way Way, class NativeClass, s Settings) (Row, error) {
	m := newMeter()
	row := Row{Class: class.Name, Reach: class.Reach, Right: class.Right}
	err := everySeed(s, &row, class.Traces, func(_ int, traces []NativeTrace) ([]Part, error) {
		outs, err := way.Natives(ctx, class.Policy, traces)
		if err != nil {
			return nil, err
		}
		parts := make([]Part, len(traces))
		for i, tr := range traces {
			f, err := m.native(ctx, tr, outs[i])
			if err != nil {
				return nil, fmt.Errorf("trace %s: %w", tr.Name, err)
			}
			f.Floor = floor(class.Right, tr.shown())
			parts[i] = Part{tr.Name, f}
		}
		return parts, nil
	})
	if err != nil {
		return Row{}, fmt.Errorf("class %q: %w", class.Name, err)
	}
	row.Within = row.withinReach(0, class.HandsOff) && row.Mean.Sum <= SumReach*row.Reach
	return row, nil
}

// native measures one trace: its count and its sum.
func (m *meter) native(ctx context.Context, tr NativeTrace, out []NativeSample) (f Figures, err error) {
	f.Steps, f.Changed = nativeSteps(tr.Raw, out)
	want, err := m.histograms(ctx, tr.Truth, tr.Hours)
	if err != nil {
		return Figures{}, err
	}
	raw, err := m.histograms(ctx, tr.Raw, tr.Hours)
	if err != nil {
		return Figures{}, err
	}
	got, err := m.histograms(ctx, out, tr.Hours)
	if err != nil {
		return Figures{}, err
	}
	if f.PromQL, err = share(raw.count, want.count); err != nil {
		return Figures{}, err
	}
	if f.Pawl, err = share(got.count, want.count); err != nil {
		return Figures{}, err
	}
	f.Sum, err = share(got.sum, want.sum)
	return f, err
}

// increased are the counts and sums of the histograms that increase() answers with at each full hour, by ms.
type increased struct{ count, sum map[int64]float64 }

func (m *meter) histograms(ctx context.Context, samples []NativeSample, hours int) (increased, error) {
	x := increased{map[int64]float64{}, map[int64]float64{}}
	err := m.hourly(ctx, stored(samples), hours, func(s promql.Series) {
		for _, p := range s.Histograms {
			x.count[p.T], x.sum[p.T] = p.H.Count, p.H.Sum
		}
	})
	return x, err
}

// nativeSteps counts, by Prometheus' own model, the resets in what goes out, and the changed samples.
func nativeSteps(raw, out []NativeSample) (steps, changed int) {
	var last *histogram.FloatHistogram
	for i, x := range out {
		if !x.H.Equals(raw[i].H) {
			changed++
		}
		if x.stale() {
			continue
		}
		if last != nil && x.H.DetectReset(last) {
			steps++
		}
		last = x.H
	}
	return steps, changed
}

// stored is what a database holds of the samples.
func stored(samples []NativeSample) (out []chunks.Sample) {
	for _, s := range samples {
		out = append(out, nativeSample{s})
	}
	return out
}

// nativeSample is a NativeSample as Prometheus' storage wants it.
type nativeSample struct{ s NativeSample }

func (s nativeSample) T() int64                      { return s.s.T }
func (s nativeSample) ST() int64                     { return s.s.ST }
func (s nativeSample) F() float64                    { return 0 }
func (s nativeSample) H() *histogram.Histogram       { return nil }
func (s nativeSample) FH() *histogram.FloatHistogram { return s.s.H.Copy() }
func (s nativeSample) Type() chunkenc.ValueType      { return chunkenc.ValFloatHistogram }
func (s nativeSample) Copy() chunks.Sample           { return s }
