package accuracy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"pawl/pkg/correct"
)

// ThroughRow is a line of the table of what went through a running relay, beside the engine alone.
type ThroughRow struct {
	Row
	Batch   int     `json:"batch"`   // scrapes in a request, and so how far apart the parts of a histogram come
	Odd     int     `json:"odd"`     // frames that are no histogram: not cumulative in value or increase, or _count is not +Inf
	Engine  float64 `json:"engine"`  // the engine's mean error on the same traces
	Other   int     `json:"other"`   // samples that came out of the relay otherwise than out of the engine, by more than rounding
	Samples int     `json:"samples"` // of all these
}

// ThroughRelay sends one class of each kind (counter, classic histogram,
// native histogram, summary) through the relay at path, each through a process of its own,
// s.AtOnce of them at the same time. The reach is the class's own.
func ThroughRelay(ctx context.Context, path string, s Settings) ([]ThroughRow, error) {
	var group errgroup.Group
	group.SetLimit(max(1, s.AtOnce))
	s.AtOnce, s.Plays = 1, 1 // a process takes one trace after another, and knows each by its name
	counter := func(w Way) (HistRow, error) {
		row, err := Measure(ctx, w, Classes()[0], s)
		return HistRow{Row: row}, err
	}
	classic := func(w Way) (HistRow, error) { return MeasureHistogram(ctx, w, HistClasses()[1], s) }
	native := func(w Way) (HistRow, error) {
		row, err := MeasureNative(ctx, w, NativeClasses()[0], s)
		return HistRow{Row: row}, err
	}
	summary := func(w Way) (HistRow, error) { return MeasureHistogram(ctx, w, SummaryClasses()[0], s) }
	classes := []throughClass{{counter, 1}, {classic, 1}, {native, 1}, {summary, 1}, {classic, catchingUp}}
	if s.Batch > 0 {
		classes = slices.DeleteFunc(classes, func(c throughClass) bool { return c.batch != s.Batch })
	}
	rows := make([]ThroughRow, len(classes))
	for i, c := range classes {
		group.Go(func() (err error) {
			rows[i], err = throughRelay(ctx, path, c.batch, c.measure)
			return err
		})
	}
	return rows, group.Wait()
}

// throughClass is a class, and how many scrapes of it go in a request.
type throughClass struct {
	measure func(Way) (HistRow, error)
	batch   int
}

// throughRelay starts a relay and measures one class through it and by the engine alone.
func throughRelay(ctx context.Context, path string, batch int, measure func(Way) (HistRow, error)) (through ThroughRow, err error) {
	began := time.Now()
	p, err := StartProgram(ctx, path)
	if err != nil {
		return through, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	p.batch = batch
	both := &besideEngine{program: p}
	row, err := measure(both)
	if err != nil {
		return through, fmt.Errorf("through the relay: %w", err)
	}
	alone, err := measure(Engine{})
	if err != nil {
		return through, err
	}
	if batch > 1 {
		row.Class += fmt.Sprintf(", %d scrapes a request", batch)
	}
	through = ThroughRow{Row: row.Row, Batch: batch, Odd: p.odd + row.Bent, Engine: alone.Mean.Pawl, Other: both.other, Samples: both.samples}
	through.Within = row.Within && through.Odd == 0
	through.Took = time.Since(began)
	return through, nil
}

// catchingUp is how many scrapes a request holds when a small sender catches up
// after an outage, and so how far apart the parts of a histogram may come.
const catchingUp = 8

// besideEngine is a Way through the program that counts what the engine alone would have put out otherwise.
type besideEngine struct {
	program        *Program
	samples, other int
}

// Counters implements Way.
func (b *besideEngine) Counters(ctx context.Context, p correct.Policy, traces []Trace) ([][]Point, error) {
	outs, err := b.program.Counters(ctx, p, traces)
	if err != nil {
		return nil, err
	}
	alone, err := Engine{}.Counters(ctx, p, traces)
	for i := range outs {
		b.compare(outs[i], alone[i])
	}
	return outs, err
}

// Histograms implements Way.
func (b *besideEngine) Histograms(ctx context.Context, p correct.Policy, traces []HistTrace) ([][]Frame, error) {
	outs, err := b.program.Histograms(ctx, p, traces)
	if err != nil {
		return nil, err
	}
	alone, err := Engine{}.Histograms(ctx, p, traces)
	for i := range outs {
		for k := sumColumn; k < len(traces[i].Bounds); k++ {
			b.compare(column(outs[i], k), column(alone[i], k))
		}
	}
	return outs, err
}

// Natives implements Way.
func (b *besideEngine) Natives(ctx context.Context, p correct.Policy, traces []NativeTrace) ([][]NativeSample, error) {
	outs, err := b.program.Natives(ctx, p, traces)
	if err != nil {
		return nil, err
	}
	alone, err := Engine{}.Natives(ctx, p, traces)
	for i := range outs {
		for j, x := range outs[i] {
			b.samples++
			if !x.H.Copy().Compact(0).Equals(alone[i][j].H.Copy().Compact(0)) {
				b.other++
			}
		}
	}
	return outs, err
}

func (b *besideEngine) compare(got, want []Point) {
	b.samples += len(got)
	for i := range got {
		if !near(got[i].V, want[i].V) {
			b.other++
		}
	}
}

// near: the same but for rounding; a stale marker is near itself.
func near(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.Abs(a-b) <= rounding*math.Abs(b)
}
