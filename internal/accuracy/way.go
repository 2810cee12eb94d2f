package accuracy

import (
	"context"
	"math"
	"slices"

	"pawl/pkg/correct"
)

// Way is what traces go through to be corrected. It answers with what comes
// out for each of them, a point for every point unless one was dropped.
type Way interface {
	Counters(ctx context.Context, p correct.Policy, traces []Trace) ([][]Point, error)
	Histograms(ctx context.Context, p correct.Policy, traces []HistTrace) ([][]Frame, error)
	Natives(ctx context.Context, p correct.Policy, traces []NativeTrace) ([][]NativeSample, error)
}

// Engine is pkg/correct alone: the parts of a histogram come together.
type Engine struct{}

// Counters implements Way.
func (Engine) Counters(_ context.Context, p correct.Policy, traces []Trace) (outs [][]Point, _ error) {
	for _, tr := range traces {
		outs = append(outs, correctCounter(tr.Raw, p))
	}
	return outs, nil
}

// Histograms implements Way.
func (Engine) Histograms(_ context.Context, p correct.Policy, traces []HistTrace) (outs [][]Frame, _ error) {
	for _, tr := range traces {
		outs = append(outs, correctHistogram(tr, p))
	}
	return outs, nil
}

// Natives implements Way.
func (Engine) Natives(_ context.Context, p correct.Policy, traces []NativeTrace) (outs [][]NativeSample, _ error) {
	for _, tr := range traces {
		outs = append(outs, correctNative(tr.Raw, p))
	}
	return outs, nil
}

func correctCounter(points []Point, p correct.Policy) []Point {
	var (
		c  correct.Counter
		cs *correct.Case
	)
	out := make([]Point, 0, len(points))
	for _, x := range points {
		s := correct.Sample{T: x.T, V: x.V, ST: x.ST}
		if cs == nil && c.Healthy(s) {
			out = append(out, x)
			continue
		}
		var o correct.Outcome
		cs, o = c.Apply(cs, p, s)
		if !o.Drop {
			out = append(out, Point{T: x.T, V: o.V, ST: o.ST})
		}
	}
	return out
}

func correctNative(samples []NativeSample, p correct.Policy) (out []NativeSample) {
	var n correct.Native
	for _, s := range samples {
		h, st, drop, changed, _ := n.Apply(p, s.T, s.ST, s.H)
		if drop {
			continue
		}
		if changed {
			h = h.Copy()
		}
		out = append(out, NativeSample{T: s.T, ST: st, H: h})
	}
	return out
}

func correctHistogram(tr HistTrace, p correct.Policy) []Frame {
	r := histRelay{p: p}
	if !tr.Summary {
		for _, le := range tr.Bounds {
			r.bucket = append(r.bucket, r.h.Part(correct.RoleBucket, le))
		}
	}
	r.sum, r.count = r.h.Part(correct.RoleSum, 0), r.h.Part(correct.RoleCount, 0)
	for i, f := range tr.Raw {
		r.out = append(r.out, Frame{T: f.T, ST: f.ST, B: make([]float64, len(f.B)), Stale: f.Stale})
		sample := func(v float64) correct.Sample {
			if f.Stale {
				v = math.Float64frombits(staleMarker)
			}
			return correct.Sample{T: f.T, V: v, ST: f.ST}
		}
		for k, part := range r.bucket {
			r.send(part, i, sample(f.B[k]))
		}
		r.send(r.sum, i, sample(f.Sum))
		r.send(r.count, i, sample(f.B[len(f.B)-1]))
		for r.h.Waiting() {
			r.take(r.h.Decide(p))
		}
	}
	return r.out
}

// histRelay does with one histogram what pkg/sequence does with a request that holds all of its parts.
type histRelay struct {
	h          correct.Histogram
	p          correct.Policy
	bucket     []int // none: a summary
	sum, count int
	out        []Frame
}

// send hands one sample in. Buckets come first and lowest first, so that what
// is suspicious shows before the total has gone out; what has is recalled.
func (r *histRelay) send(part, frame int, s correct.Sample) {
	if r.h.Healthy(part, s) {
		r.put(part, frame, s.V)
		return
	}
	waiting := r.h.Waiting()
	o, held := r.h.Offer(part, r.p, s, uint64(frame))
	if !held {
		r.put(part, frame, o.V)
		return
	}
	if waiting {
		return
	}
	for _, i := range append(slices.Clip(r.bucket), r.sum) {
		if t, raw, _, _, seen := r.h.Last(i); seen && t == s.T && i != part {
			r.h.Recall(i, correct.Sample{T: t, V: raw, ST: s.ST}, uint64(frame))
		}
	}
}

func (r *histRelay) take(releases []correct.Release) {
	for _, x := range releases {
		r.put(x.Part, int(x.Tag), x.Out.V)
	}
}

func (r *histRelay) put(part, frame int, v float64) {
	f := &r.out[frame]
	if part == r.sum {
		f.Sum = v
		return
	}
	if r.bucket == nil && part == r.count {
		f.B[0] = v
	}
	for k, i := range r.bucket {
		if i == part {
			f.B[k] = v
			return
		}
	}
}
