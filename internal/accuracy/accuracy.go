// Package accuracy is the evaluator: it simulates counters and what befalls
// them, sends what a scrape would see through the engine of pkg/correct, and
// asks Prometheus' own PromQL engine how far increase() is from the truth.
//
// The figure of a trace is the sum over its one-hour windows of
// |increase - true increase| divided by the sum of the true increases, for the
// raw series (what PromQL makes of it alone), for MetricsQL's 1/8 rule, and for
// what the relay forwards. A class is measured by the mean over its settings
// (rates, workers, bursts...) and seeds. Truth counts what some scrape saw.
package accuracy

import (
	"context"
	"fmt"
	"math"

	"pawl/pkg/correct"
)

// Figures are the errors of one trace, or their mean over several.
type Figures struct {
	PromQL    float64 `json:"promql"`    // raw
	MetricsQL float64 `json:"metricsql"` // the 1/8 rule
	Pawl      float64 `json:"pawl"`
	Steps     int     `json:"stepsDown"` // decreases in what goes out
	Changed   int     `json:"changed"`   // samples whose bits changed
}

// Row is one line of the table.
type Row struct {
	Class  string    `json:"class"`
	Mean   Figures   `json:"mean"`
	Worst  float64   `json:"worstSeed"`
	Seeds  []float64 `json:"seeds"` // the relay's figure, per seed
	Reach  float64   `json:"reach"`
	Within bool      `json:"within"`

	Traces []Part `json:"traces,omitempty"` // each setting, over all seeds
}

// Part is one setting of a class.
type Part struct {
	Name string  `json:"name"`
	Mean Figures `json:"mean"`
}

// Settings say how much to simulate.
type Settings struct {
	Seed  uint64 `json:"seed"`
	Seeds int    `json:"seeds"`
	Hours int    `json:"hours"`
}

// Table measures every class.
func Table(ctx context.Context, s Settings) ([]Row, error) {
	var rows []Row
	for _, class := range Classes() {
		row, err := Measure(ctx, class, s)
		if err != nil {
			return nil, fmt.Errorf("class %q: %w", class.Name, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// Measure measures one class.
func Measure(ctx context.Context, class Class, s Settings) (Row, error) {
	m := newMeter()
	row := Row{Class: class.Name, Reach: class.Reach}
	for i := range s.Seeds {
		var seed Figures
		traces := class.Traces(s.Seed+uint64(i), s.Hours)
		if row.Traces == nil {
			row.Traces = make([]Part, len(traces))
		}
		for j, tr := range traces {
			f, err := m.trace(ctx, tr, class.Policy)
			if err != nil {
				return Row{}, err
			}
			row.Traces[j].Name = tr.Name
			row.Traces[j].Mean.add(f, 1/float64(s.Seeds))
			seed.add(f, 1/float64(len(traces)))
		}
		row.Mean.add(seed, 1/float64(s.Seeds))
		row.Worst = max(row.Worst, seed.Pawl)
		row.Seeds = append(row.Seeds, seed.Pawl)
	}
	limit := class.Reach
	if class.OverPromQL > 0 {
		limit = min(limit, row.Mean.PromQL+class.OverPromQL)
	}
	row.Within = row.Mean.Pawl <= limit && row.Mean.Steps == 0 && (!class.HandsOff || row.Mean.Changed == 0)
	return row, nil
}

func (f *Figures) add(g Figures, share float64) {
	f.PromQL += share * g.PromQL
	f.MetricsQL += share * g.MetricsQL
	f.Pawl += share * g.Pawl
	f.Steps += g.Steps
	f.Changed += g.Changed
}

// Relay is what the relay forwards of a trace: the same points, corrected.
func Relay(points []Point, p correct.Policy) []Point {
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

// EighthRule is MetricsQL's removeCounterResets: a drop by less than an eighth
// is added back, any other is a restart from 0.
func EighthRule(points []Point) []Point {
	out := make([]Point, len(points))
	var prev, correction, last float64
	for i, x := range points {
		out[i] = x
		if math.IsNaN(x.V) {
			continue
		}
		if d := x.V - prev; d < 0 {
			if -d*8 < prev {
				correction -= d
			} else {
				correction += prev
			}
		}
		prev = x.V
		last = max(last, x.V+correction)
		out[i].V = last
	}
	return out
}

// stepsDown counts the decreases, and changed the values whose bits differ from the raw ones.
func stepsDown(raw, out []Point) (steps, changed int) {
	last := 0.0
	for i, x := range out {
		if math.Float64bits(x.V) != math.Float64bits(raw[i].V) {
			changed++
		}
		if math.IsNaN(x.V) {
			continue
		}
		if x.V < last {
			steps++
		}
		last = x.V
	}
	return steps, changed
}
