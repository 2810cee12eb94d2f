package accuracy

import (
	"context"
	"fmt"
	"math"

	"pawl/pkg/correct"
)

// staleMarker are the bits by which a scrape says that a series is gone.
const staleMarker = 0x7ff0000000000002

// Frame is one scraped classic histogram or summary; T and ST in ms, ST 0 for
// none. B are the cumulative buckets, the last one +Inf, which _count equals; of
// a summary it is _count alone.
type Frame struct {
	T, ST int64
	B     []float64
	Sum   float64
	Stale bool // a stale marker in every series; B is 0
}

// HistTrace is what was scraped of one histogram or summary, and the truth at the same timestamps.
type HistTrace struct {
	Name    string
	Hours   int
	Summary bool
	Bounds  []float64 // of the buckets; of a summary +Inf
	Raw     []Frame
	Truth   []Frame
}

// HistClass is one line of the table for histograms, or of that for summaries.
type HistClass struct {
	Name       string
	Reach      float64
	OverPromQL float64 // if not 0, also at most this much more than PromQL's
	HandsOff   bool    // bit for bit
	Right      Fate    // the right verdict at every fall, by which the floor is known
	Policy     correct.Policy
	Traces     func(seed uint64, hours int) []HistTrace
}

// HistRow is a line of the table with what only histograms can break.
type HistRow struct {
	Row
	RawRatio float64 `json:"rawRatio"` // the highest ratio of a bucket's increase to the next upper one's, PromQL alone
	Ratio    float64 `json:"ratio"`    // the same of what goes out
	Bent     int     `json:"bent"`     // timestamps at which what goes out is not cumulative in value or increase
}

// MeasureHistogram measures one class.
func MeasureHistogram(ctx context.Context, way Way, class HistClass, s Settings) (HistRow, error) {
	m := newMeter()
	row := HistRow{Row: Row{Class: class.Name, Reach: class.Reach, Right: class.Right}}
	seeds := make([]HistRow, s.Seeds) // what each of them adds to the row
	err := everySeed(s, &row.Row, class.Traces, func(seed int, traces []HistTrace) ([]Part, error) {
		outs, err := way.Histograms(ctx, class.Policy, traces)
		if err != nil {
			return nil, err
		}
		parts := make([]Part, len(traces))
		for i, tr := range traces {
			f, err := m.histogram(ctx, tr, outs[i], &seeds[seed])
			if err != nil {
				return nil, fmt.Errorf("trace %s: %w", tr.Name, err)
			}
			f.Floor = floor(class.Right, tr.shown())
			parts[i] = Part{tr.Name, f}
		}
		return parts, nil
	})
	if err != nil {
		return HistRow{}, fmt.Errorf("class %q: %w", class.Name, err)
	}
	for _, x := range seeds {
		row.Bent += x.Bent
		row.RawRatio, row.Ratio = max(row.RawRatio, x.RawRatio), max(row.Ratio, x.Ratio)
	}
	row.Within = row.withinReach(class.OverPromQL, class.HandsOff) && row.Bent == 0 && row.Ratio <= 1
	return row, nil
}

// histogram measures one trace: over all buckets, and over _sum.
func (m *meter) histogram(ctx context.Context, tr HistTrace, out []Frame, row *HistRow) (Figures, error) {
	f := Figures{}
	row.Bent += bent(out)
	var off [3]float64
	var all float64
	var rawBelow, outBelow map[int64]float64
	for k := range tr.Bounds {
		raw, fixed := column(tr.Raw, k), column(out, k)
		steps, changed := stepsDown(raw, fixed)
		f.Steps, f.Changed = f.Steps+steps, f.Changed+changed
		want, err := m.increases(ctx, column(tr.Truth, k), tr.Hours)
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
		return Figures{}, errNothing
	}
	for v := range off {
		if off[v] /= all; off[v] < rounding {
			off[v] = 0
		}
	}
	f.PromQL, f.MetricsQL, f.Pawl = off[0], off[1], off[2]
	var err error
	f.Sum, err = m.distance(ctx, column(out, sumColumn), column(tr.Truth, sumColumn), tr.Hours)
	return f, err
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

// sumColumn is the column of _sum.
const sumColumn = -1

// column is one bucket of every frame, or _sum.
func column(frames []Frame, k int) []Point {
	out := make([]Point, len(frames))
	for i, f := range frames {
		out[i] = Point{T: f.T, ST: f.ST}
		switch {
		case f.Stale:
			out[i].V = math.Float64frombits(staleMarker)
		case k == sumColumn:
			out[i].V = f.Sum
		default:
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
