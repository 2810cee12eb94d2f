package accuracy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// window is an hour and one millisecond: ranges are open to the left, and the
// point at their start must count.
const window = "1h1ms"

// meter asks Prometheus' engine.
type meter struct {
	engine *promql.Engine
	series labels.Labels
}

func newMeter() *meter {
	return &meter{
		engine: promql.NewEngine(promql.EngineOpts{MaxSamples: 1e8, Timeout: 10 * time.Minute}),
		series: labels.FromStrings("__name__", "x_total"),
	}
}

// rounding: increase() works in float64 on the large values of a long trace, so
// a share of the truth within this is no error.
const rounding = 1e-9

var errNothing = errors.New("nothing was counted")

// trace measures one trace.
func (m *meter) trace(ctx context.Context, tr Trace, out []Point) (f Figures, err error) {
	f.Steps, f.Changed = stepsDown(tr.Raw, out)
	for _, view := range []struct {
		points []Point
		figure *float64
	}{{tr.Raw, &f.PromQL}, {EighthRule(tr.Raw), &f.MetricsQL}, {out, &f.Pawl}} {
		if *view.figure, err = m.distance(ctx, view.points, tr.Truth, tr.Hours); err != nil {
			return Figures{}, err
		}
	}
	return f, nil
}

// distance is how far the increases of points are from those of the truth, as a share of the latter's sum.
func (m *meter) distance(ctx context.Context, points, truth []Point, hours int) (float64, error) {
	want, err := m.increases(ctx, truth, hours)
	if err != nil {
		return 0, err
	}
	got, err := m.increases(ctx, points, hours)
	if err != nil {
		return 0, err
	}
	return share(got, want)
}

// share is the sum of the differences over the sum of the truth.
func share(got, truth map[int64]float64) (float64, error) {
	var off, all float64
	for t, want := range truth {
		off += math.Abs(got[t] - want)
		all += want
	}
	if all == 0 {
		return 0, errNothing
	}
	if off < rounding*all {
		off = 0
	}
	return off / all, nil
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

// increases are increase()'s answers at each full hour, by ms.
func (m *meter) increases(ctx context.Context, points []Point, hours int) (map[int64]float64, error) {
	samples := make([]chunks.Sample, len(points))
	for i, x := range points {
		samples[i] = sample{x}
	}
	out := map[int64]float64{}
	err := m.hourly(ctx, samples, hours, func(s promql.Series) {
		for _, x := range s.Floats {
			out[x.T] = x.F
		}
	})
	return out, err
}

// hourly hands increase()'s answers at each full hour to read, which keeps nothing of them.
func (m *meter) hourly(ctx context.Context, samples []chunks.Sample, hours int, read func(promql.Series)) error {
	q, err := m.engine.NewRangeQuery(ctx, m.holding(samples), nil, "increase(x_total["+window+"])",
		time.UnixMilli(epochMS).Add(time.Hour), time.UnixMilli(epochMS).Add(time.Duration(hours)*time.Hour), time.Hour)
	if err != nil {
		return fmt.Errorf("query: %w", err)
	}
	defer q.Close()
	matrix, err := q.Exec(ctx).Matrix()
	if err != nil {
		return fmt.Errorf("execute: %w", err)
	}
	for _, s := range matrix {
		read(s)
	}
	return nil
}

// holding is a store that holds one series.
func (m *meter) holding(samples []chunks.Sample) storage.Queryable {
	return &storage.MockQueryable{MockQuerier: &storage.MockQuerier{
		SelectMockFunction: func(bool, *storage.SelectHints, ...*labels.Matcher) storage.SeriesSet {
			return &oneSeries{Series: storage.NewListSeries(m.series, samples)}
		},
	}}
}

// oneSeries is a set of one.
type oneSeries struct {
	storage.Series
	given bool
}

func (o *oneSeries) Next() bool {
	first := !o.given
	o.given = true
	return first
}
func (o *oneSeries) At() storage.Series                { return o.Series }
func (o *oneSeries) Err() error                        { return nil }
func (o *oneSeries) Warnings() annotations.Annotations { return nil }

// sample is a Point as Prometheus' storage wants it.
type sample struct{ p Point }

func (s sample) T() int64                      { return s.p.T }
func (s sample) ST() int64                     { return s.p.ST }
func (s sample) F() float64                    { return s.p.V }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }
