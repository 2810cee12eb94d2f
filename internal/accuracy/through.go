package accuracy

import (
	"context"
	"errors"
	"fmt"
	"math"

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
// native histogram, summary) through the relay at path. The reach is the
// class's own.
func ThroughRelay(ctx context.Context, path string, s Settings) (rows []ThroughRow, err error) {
	p, err := StartProgram(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
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
	for _, c := range []struct {
		measure func(Way) (HistRow, error)
		batch   int
	}{{counter, 1}, {classic, 1}, {native, 1}, {summary, 1}, {classic, catchingUp}} {
		p.batch, p.odd = c.batch, 0
		both := &besideEngine{program: p}
		row, err := c.measure(both)
		if err != nil {
			return nil, fmt.Errorf("through the relay: %w", err)
		}
		alone, err := c.measure(Engine{})
		if err != nil {
			return nil, err
		}
		if c.batch > 1 {
			row.Class += fmt.Sprintf(", %d scrapes a request", c.batch)
		}
		through := ThroughRow{Row: row.Row, Batch: c.batch, Odd: p.odd + row.Bent, Engine: alone.Mean.Pawl, Other: both.other, Samples: both.samples}
		through.Within = row.Within && through.Odd == 0
		rows = append(rows, through)
	}
	return rows, nil
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
