// Package accuracy is the evaluator: it simulates counters, histograms, native
// histograms and summaries and what befalls them, sends what a scrape would see
// through the engine of pkg/correct, or through a running relay, and asks
// Prometheus' own PromQL engine how far increase() is from the truth.
//
// The figure of a trace is the sum over its one-hour windows of
// |increase - true increase| divided by the sum of the true increases, for the
// raw series (what PromQL makes of it alone), for MetricsQL's 1/8 rule, and for
// what the relay forwards; the buckets of a classic histogram are added up
// first. A class is measured by the mean over its settings (rates, workers, bursts...), each
// with the same weight, and seeds: docs/accuracy.md says why. Truth counts what some scrape saw.
//
// Files: faults.go describes the faults, once for every kind of series;
// simulate.go, histogram_simulate.go, native_simulate.go and summary.go are the kinds, classes.go
// lists the classes of counters; floor.go is what could be known at the best; way.go is the engine as a Way and binary.go a running relay;
// measure.go, histogram.go and native.go ask PromQL; plot.go draws.
package accuracy

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"pawl/pkg/correct"
)

// Figures are the errors of one trace, or their mean over several.
type Figures struct {
	PromQL    float64 `json:"promql"`              // raw
	MetricsQL float64 `json:"metricsql,omitempty"` // the 1/8 rule; it knows no native histograms
	Pawl      float64 `json:"pawl"`
	Sum       float64 `json:"sum,omitempty"` // the relay's error in _sum, where there is one
	Floor     float64 `json:"floor"`         // the error of who knows every verdict and adds nothing that was not seen; 0 where Right is Unknown
	Steps     int     `json:"stepsDown"`     // decreases in what goes out
	Changed   int     `json:"changed"`       // samples whose bits changed
}

// Row is one line of a table.
type Row struct {
	Class  string    `json:"class"`
	Mean   Figures   `json:"mean"`
	Worst  float64   `json:"worstSeed"`
	Seeds  []float64 `json:"seeds"`            // the relay's figure, per seed
	Floors []float64 `json:"floors,omitempty"` // the floor, per seed; none where it is not known
	Far    []Far     `json:"far,omitempty"`    // the seeds that are more than OfSeed times the reach off
	Reach  float64   `json:"reach"`
	Right  Fate      `json:"-"`
	Within bool      `json:"within"`

	Traces []Part `json:"traces,omitempty"` // each setting, over all seeds

	Took time.Duration `json:"-"` // to measure it
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
	Plays int    `json:"plays"` // how often each seed plays every setting of a class, with its own numbers; 0: once

	AtOnce int `json:"-"` // seeds measured at the same time; 0: one. The figures are the same.
	Batch  int `json:"-"` // through the relay: only classes with so many scrapes in a request; 0: all
}

// of is the seed of a play of seed i, both counted from 0. The first play of a seed is the seed's own.
func (s Settings) of(i, play int) uint64 { return s.Seed + uint64(i) + uint64(play)<<40 }

// Class is one line of the table: what befalls a counter, and how near the relay has to come.
type Class struct {
	Name       string
	Reach      float64 // the relay's mean error may be this much
	OverPromQL float64 // if not 0, also at most this much more than PromQL's
	HandsOff   bool    // bit for bit
	Right      Fate    // the right verdict at every fall, by which the floor is known
	Policy     correct.Policy
	Traces     func(seed uint64, hours int) []Trace
}

// Measure measures one class of counters.
func Measure(ctx context.Context, way Way, class Class, s Settings) (Row, error) {
	m := newMeter()
	row := Row{Class: class.Name, Reach: class.Reach, Right: class.Right}
	err := everySeed(s, &row, class.Traces, func(_ int, traces []Trace) ([]Part, error) {
		outs, err := way.Counters(ctx, class.Policy, traces)
		if err != nil {
			return nil, err
		}
		parts := make([]Part, len(traces))
		for i, tr := range traces {
			f, err := m.trace(ctx, tr, outs[i])
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
	row.Within = row.withinReach(class.OverPromQL, class.HandsOff)
	return row, nil
}

// everySeed fills the row with what judge says of the traces of each play of each seed, so
// many seeds at a time as the settings say. judge is told which seed it is, counted from 0.
func everySeed[T any](s Settings, row *Row, traces func(uint64, int) []T, judge func(int, []T) ([]Part, error)) error {
	began := time.Now()
	all := make([][]Part, s.Seeds) // of every play of a seed, one play behind the other
	plays := max(1, s.Plays)
	var group errgroup.Group
	group.SetLimit(max(1, s.AtOnce))
	for i := range all {
		group.Go(func() error {
			for play := range plays {
				parts, err := judge(i, traces(s.of(i, play), s.Hours))
				if err != nil {
					return fmt.Errorf("seed %d, play %d: %w", s.of(i, 0), play+1, err)
				}
				all[i] = append(all[i], parts...)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	row.Traces = make([]Part, len(all[0])/plays)
	for _, parts := range all {
		var seed Figures
		for j, p := range parts {
			setting := &row.Traces[j%len(row.Traces)]
			setting.Name = p.Name
			setting.Mean.add(p.Mean, 1/float64(s.Seeds*plays))
			seed.add(p.Mean, 1/float64(len(parts)))
		}
		row.Mean.add(seed, 1/float64(s.Seeds))
		row.Worst = max(row.Worst, seed.Pawl)
		row.Seeds = append(row.Seeds, seed.Pawl)
		if row.Right != Unknown {
			row.Floors = append(row.Floors, seed.Floor)
		}
	}
	row.Far = row.far(s.Seed)
	row.Took = time.Since(began)
	return nil
}

// withinReach: the mean is within the reach, and no seed is beyond (see Far).
func (r *Row) withinReach(overPromQL float64, handsOff bool) bool {
	limit := r.Reach
	if overPromQL > 0 {
		limit = min(limit, r.Mean.PromQL+overPromQL)
	}
	for _, x := range r.Far {
		if x.Beyond {
			return false
		}
	}
	return r.Mean.Pawl <= limit && r.Mean.Steps == 0 && (!handsOff || r.Mean.Changed == 0)
}

func (f *Figures) add(g Figures, share float64) {
	f.PromQL += share * g.PromQL
	f.MetricsQL += share * g.MetricsQL
	f.Pawl += share * g.Pawl
	f.Sum += share * g.Sum
	f.Floor += share * g.Floor
	f.Steps += g.Steps
	f.Changed += g.Changed
}
