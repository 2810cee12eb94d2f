package accuracy

import (
	"context"
	"fmt"
	"math"

	"pawl/pkg/correct"
)

// Frame is one scraped classic histogram; T and ST in ms, ST 0 for none. B are
// the cumulative buckets, the last one +Inf, which _count equals.
type Frame struct {
	T, ST int64
	B     []float64
	Sum   float64
	Stale bool // a stale marker in every series
}

// HistTrace is what was scraped of one histogram, and the truth at the same timestamps.
type HistTrace struct {
	Name  string
	Hours int
	Raw   []Frame
	Truth []Frame
}

// HistClass is one line of the table for histograms.
type HistClass struct {
	Name       string
	Reach      float64
	OverPromQL float64 // if not 0, also at most this much more than PromQL's
	HandsOff   bool    // bit for bit
	Losses     bool    // nothing but losses befalls it: so the floor is known
	Restarts   bool    // nothing but restarts
	Policy     correct.Policy
	Traces     func(seed uint64, hours int) []HistTrace
}

// HistRow is a line of the table with what only histograms can break.
type HistRow struct {
	Row
	RawRatio float64 `json:"rawRatio"` // the highest ratio of a bucket's increase to the next upper one's, PromQL alone
	Ratio    float64 `json:"ratio"`    // the same of what goes out
	Floor    float64 `json:"floor"`    // error of who knows which of both it was whenever a density fell, and adds nothing that was not seen; 0 unknown
	Bent     int     `json:"bent"`     // timestamps at which what goes out is not cumulative in value or increase
}

// upperBounds are those of the simulated histograms, in seconds: the default ones of the client libraries.
var upperBounds = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, math.Inf(1)}

// MeasureHistogram measures one class.
func MeasureHistogram(ctx context.Context, class HistClass, s Settings) (HistRow, error) {
	m := newMeter()
	row := HistRow{Row: Row{Class: class.Name, Reach: class.Reach}}
	for i := range s.Seeds {
		var seed Figures
		traces := class.Traces(s.Seed+uint64(i), s.Hours)
		if row.Traces == nil {
			row.Traces = make([]Part, len(traces))
		}
		for j, tr := range traces {
			f, err := m.histogram(ctx, tr, class.Policy, &row)
			if err != nil {
				return HistRow{}, err
			}
			if class.Losses || class.Restarts {
				row.Floor += floor(tr, class.Restarts) / float64(len(traces)*s.Seeds)
			}
			row.Traces[j].Name = tr.Name
			row.Traces[j].Mean.add(f, 1/float64(s.Seeds))
			seed.add(f, 1/float64(len(traces)))
		}
		row.Mean.add(seed, 1/float64(s.Seeds))
		row.Worst = max(row.Worst, seed.Pawl)
		row.Seeds = append(row.Seeds, seed.Pawl)
	}
	limit := row.Reach
	if class.OverPromQL > 0 {
		limit = min(limit, row.Mean.PromQL+class.OverPromQL)
	}
	row.Within = row.Mean.Pawl <= limit && row.Mean.Steps == 0 && row.Bent == 0 && row.Ratio <= 1 && (!class.HandsOff || row.Mean.Changed == 0)
	return row, nil
}

// aboveFloor is what windows and extrapolation may add to the floor, which is taken over whole traces.
const aboveFloor = 1.1

// Limit is what the mean error may be in a test: the reach, or the floor where
// that is above it, for no relay can know more. The table tells what is beyond
// the reach all the same.
func (r *HistRow) Limit(margin float64) float64 {
	return margin * max(r.Reach, aboveFloor*r.Floor)
}

// histogram measures one trace: over all buckets, and _count.
func (m *meter) histogram(ctx context.Context, tr HistTrace, p correct.Policy, row *HistRow) (Figures, error) {
	out := RelayHistogram(tr.Raw, p)
	f := Figures{}
	row.Bent += bent(out)
	var off [3]float64
	var all float64
	var rawBelow, outBelow map[int64]float64
	for k := range upperBounds {
		raw, fixed, truth := column(tr.Raw, k), column(out, k), column(tr.Truth, k)
		steps, changed := stepsDown(raw, fixed)
		f.Steps, f.Changed = f.Steps+steps, f.Changed+changed
		want, err := m.increases(ctx, truth, tr.Hours)
		if err != nil {
			return Figures{}, err
		}
		for v, points := range [][]Point{raw, EighthRule(raw), fixed} {
			got, err := m.increases(ctx, points, tr.Hours)
			if err != nil {
				return Figures{}, err
			}
			for t, x := range want {
				off[v] += math.Abs(got[t] - x)
			}
			switch v {
			case 0:
				row.RawRatio = max(row.RawRatio, ratio(rawBelow, got))
				rawBelow = got
			case 2:
				row.Ratio = max(row.Ratio, ratio(outBelow, got))
				outBelow = got
			}
		}
		for _, x := range want {
			all += x
		}
	}
	if all == 0 {
		return Figures{}, fmt.Errorf("trace %s: nothing was counted", tr.Name)
	}
	for v := range off {
		if off[v] /= all; off[v] < 1e-9 {
			off[v] = 0
		}
	}
	f.PromQL, f.MetricsQL, f.Pawl = off[0], off[1], off[2]
	return f, nil
}

// floor is the error of adding up what every step shows: what a density grew
// by, or, after a restart that any of them shows, what it is. It is taken over
// the whole trace, not by windows.
func floor(tr HistTrace, restarts bool) float64 {
	off, all := 0.0, 0.0
	var last, was []float64
	for i, f := range tr.Raw {
		if f.Stale {
			continue
		}
		now := tr.Truth[i].B
		if last != nil {
			step, fell := densities(f.B, last)
			if fell && restarts {
				step, _ = densities(f.B, make([]float64, len(f.B)))
			}
			shown := 0.0
			for k := range f.B {
				shown += max(0, step[k])
				off += math.Abs(now[k] - was[k] - shown)
				all += now[k] - was[k]
			}
		}
		last, was = f.B, now
	}
	return off / all
}

// densities are what each bucket alone grew by, and whether one fell.
func densities(now, was []float64) (step []float64, fell bool) {
	below := 0.0
	for k := range now {
		d := now[k] - was[k]
		step = append(step, d-below)
		fell = fell || d < below
		below = d
	}
	return step, fell
}

// ratio is the highest one of a lower bucket's increase to an upper one's, as
// far as it exceeds 1; 0 if none does.
func ratio(below, above map[int64]float64) (most float64) {
	for t, x := range below {
		if x > above[t]*(1+1e-9) {
			most = max(most, x/above[t])
		}
	}
	return most
}

// column is one bucket of every frame.
func column(frames []Frame, k int) []Point {
	out := make([]Point, len(frames))
	for i, f := range frames {
		out[i] = Point{T: f.T, ST: f.ST, V: math.Float64frombits(0x7ff0000000000002)}
		if !f.Stale {
			out[i].V = f.B[k]
		}
	}
	return out
}

// bent counts the frames that are not cumulative, in value or in what they grew by.
func bent(frames []Frame) (n int) {
	var last []float64
	for _, f := range frames {
		if f.Stale {
			continue
		}
		for k := 1; k < len(f.B); k++ {
			rounding := 1e-12 * f.B[k]
			if f.B[k] < f.B[k-1] || last != nil && f.B[k]-last[k] < f.B[k-1]-last[k-1]-rounding {
				n++
				break
			}
		}
		last = f.B
	}
	return n
}

// RelayHistogram is what the relay forwards when the parts of a frame come
// together: the same frames, corrected.
func RelayHistogram(frames []Frame, p correct.Policy) []Frame {
	r := histRelay{p: p}
	for _, le := range upperBounds {
		r.bucket = append(r.bucket, r.h.Part(correct.RoleBucket, le))
	}
	r.sum, r.count = r.h.Part(correct.RoleSum, 0), r.h.Part(correct.RoleCount, 0)
	for i, f := range frames {
		r.out = append(r.out, Frame{T: f.T, ST: f.ST, B: make([]float64, len(upperBounds)), Stale: f.Stale})
		sample := func(v float64) correct.Sample {
			if f.Stale {
				v = math.Float64frombits(0x7ff0000000000002)
			}
			return correct.Sample{T: f.T, V: v, ST: f.ST}
		}
		for k := range upperBounds {
			v := 0.0
			if !f.Stale {
				v = f.B[k]
			}
			r.send(r.bucket[k], i, sample(v))
		}
		r.send(r.sum, i, sample(f.Sum))
		if !f.Stale {
			r.send(r.count, i, sample(f.B[len(f.B)-1]))
		} else {
			r.send(r.count, i, sample(0))
		}
		for r.h.Waiting() {
			r.take(r.h.Decide(p))
		}
	}
	return r.out
}

type histRelay struct {
	h          correct.Histogram
	p          correct.Policy
	bucket     []int
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
	for _, i := range r.bucket {
		if t, raw, _, _, seen := r.h.Last(i); seen && t == s.T && i != part {
			r.h.Recall(i, correct.Sample{T: t, V: raw, ST: s.ST}, uint64(frame))
		}
	}
	if t, raw, _, _, seen := r.h.Last(r.sum); seen && t == s.T {
		r.h.Recall(r.sum, correct.Sample{T: t, V: raw, ST: s.ST}, uint64(frame))
	}
}

func (r *histRelay) take(releases []correct.Release) {
	for _, x := range releases {
		r.put(x.Part, int(x.Tag), x.Out.V)
	}
}

func (r *histRelay) put(part, frame int, v float64) {
	f := &r.out[frame]
	for k, i := range r.bucket {
		if i == part {
			f.B[k] = v
			return
		}
	}
	if part == r.sum {
		f.Sum = v
	}
}
