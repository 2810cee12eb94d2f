package accuracy

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"pawl/pkg/correct"
)

// plot says what a class's plot shows: some minutes around the first fault of one of its traces.
type plot struct {
	class   string
	trace   int     // of the class's traces
	minutes float64 // on the horizontal axis
	whole   bool    // from the first scrape on
}

// plots are one for each class. The traces are those in which a fault can be
// told from the steps around it at the size of a page.
func plots() []plot {
	return []plot{
		{class: "lost increments at a crash", trace: 2, minutes: 12},
		{class: "the post-mortem's own table", minutes: 8, whole: true},
		{class: "one of N workers recycles", trace: 6, minutes: 30},
		{class: "one of N workers recycles, impute", trace: 6, minutes: 30},
		{class: "whole restart, then a burst", trace: 5, minutes: 30},
		{class: "whole restart, away for minutes", trace: 2, minutes: 12},
		{class: "whole restart, then a burst, start timestamps", trace: 5, minutes: 30},
		{class: "crash loops", trace: 1, minutes: 30},
		{class: "crash loops, start timestamps", trace: 1, minutes: 30},
		{class: "stale reads, HA flips", trace: 5, minutes: 10},
		{class: "float jitter", trace: 4, minutes: 6},
		{class: "healthy counters, odd floats", minutes: 10},

		{class: "lost increments at a crash, histogram", trace: 2, minutes: 12},
		{class: "one of N workers recycles, histogram", trace: 6, minutes: 30},
		{class: "one of N workers recycles, histogram, impute", trace: 6, minutes: 30},
		{class: "whole restart, away for minutes, histogram", trace: 2, minutes: 12},
		{class: "stale reads, HA flips, histogram", trace: 5, minutes: 10},
		{class: "low-traffic histograms, full restarts", trace: 2, minutes: 40},
		{class: "low-traffic histograms, full restarts, start timestamps", trace: 2, minutes: 40},
		{class: "healthy histograms", trace: 1, minutes: 10},

		{class: "lost increments at a crash, native", trace: 2, minutes: 12},
		{class: "one of N workers recycles, native", trace: 6, minutes: 30},
		{class: "one of N workers recycles, native, impute", trace: 6, minutes: 30},
		{class: "whole restart, away for minutes, native", trace: 2, minutes: 12},
		{class: "whole restart, then a burst, native", trace: 5, minutes: 30},
		{class: "stale reads, HA flips, native", trace: 5, minutes: 10},
		{class: "healthy native histograms", trace: 1, minutes: 10},

		{class: "one of N workers recycles, summary", trace: 6, minutes: 30},
		{class: "one of N workers recycles, summary, impute", trace: 6, minutes: 30},
		{class: "whole restart, then a burst, summary", trace: 5, minutes: 30},
	}
}

// views are the three lines of a trace: what was scraped, what goes out, what happened.
type views struct {
	name              string
	of                string // what is counted
	raw, fixed, truth []Point
}

// WritePlots draws every class from one seed into files in dir, which is created.
func WritePlots(ctx context.Context, dir string, seed uint64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("plots: %w", err)
	}
	for _, p := range plots() {
		v, err := p.views(ctx, seed)
		if err != nil {
			return fmt.Errorf("plot of class %q: %w", p.class, err)
		}
		if err := os.WriteFile(filepath.Join(dir, PlotFile(p.class)), p.chart(v).svg(), 0o644); err != nil {
			return fmt.Errorf("plot of class %q: %w", p.class, err)
		}
	}
	return nil
}

// PlotFile is the name of a class's plot.
func PlotFile(class string) string {
	words := strings.FieldsFunc(strings.ToLower(class), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return strings.Join(words, "-") + ".svg"
}

// plotHours are simulated for a plot: the first faults come early.
const plotHours = 3

// views simulates the plot's trace and sends it through the engine.
func (p plot) views(ctx context.Context, seed uint64) (views, error) {
	engine := Engine{}
	for _, class := range Classes() {
		if class.Name == p.class {
			tr := class.Traces(seed, plotHours)[p.trace]
			outs, err := engine.Counters(ctx, class.Policy, []Trace{tr})
			if err != nil {
				return views{}, err
			}
			return views{tr.Name, "counter", tr.Raw, outs[0], tr.Truth}, nil
		}
	}
	for _, class := range NativeClasses() {
		if class.Name == p.class {
			tr := class.Traces(seed, plotHours)[p.trace]
			outs, err := engine.Natives(ctx, class.Policy, []NativeTrace{tr})
			if err != nil {
				return views{}, err
			}
			return views{tr.Name, "count of observations", countsOf(tr.Raw), countsOf(outs[0]), countsOf(tr.Truth)}, nil
		}
	}
	for _, class := range append(HistClasses(), SummaryClasses()...) {
		if class.Name == p.class {
			return histogramViews(ctx, class.Policy, class.Traces(seed, plotHours)[p.trace])
		}
	}
	return views{}, fmt.Errorf("there is no such class")
}

// histogramViews shows a bucket in the middle, or a summary's _count.
func histogramViews(ctx context.Context, policy correct.Policy, tr HistTrace) (views, error) {
	outs, err := Engine{}.Histograms(ctx, policy, []HistTrace{tr})
	if err != nil {
		return views{}, err
	}
	k, of := len(tr.Bounds)/2, "_count"
	if !tr.Summary {
		of = fmt.Sprintf(`_bucket{le="%g"}`, tr.Bounds[k])
	}
	return views{tr.Name, of, column(tr.Raw, k), column(outs[0], k), column(tr.Truth, k)}, nil
}

func countsOf(samples []NativeSample) (points []Point) {
	for _, s := range samples {
		x := Point{T: s.T, V: s.H.Count}
		if s.stale() {
			x.V = math.Float64frombits(staleMarker)
		}
		points = append(points, x)
	}
	return points
}

// chart shows the window: a quarter of it lies before the first fault.
func (p plot) chart(v views) chart {
	from := 0.0
	if !p.whole {
		from = max(0, minute(firstFault(v.raw).T)-p.minutes/4)
	}
	c := chart{title: p.class, note: v.name, y: v.of + ", events", from: from, to: from + p.minutes}
	for _, l := range []struct {
		line   chartLine
		points []Point
	}{
		{chartLine{name: "true", colour: "#a6dba0", width: 7}, v.truth},
		{chartLine{name: "raw, as scraped", colour: "#d1242f", width: 1.2, dots: true}, v.raw},
		{chartLine{name: "corrected, as forwarded", colour: "#0b3d91", width: 1.8}, v.fixed},
	} {
		for _, x := range l.points {
			if at := minute(x.T); at >= c.from && at <= c.to && !math.IsNaN(x.V) {
				l.line.at = append(l.line.at, [2]float64{at, x.V})
			}
		}
		c.lines = append(c.lines, l.line)
	}
	return c
}

// firstFault is the sample before the first decrease after ten minutes, when the pace is known, or the one at that time.
func firstFault(raw []Point) Point {
	const after = 10
	last := Point{T: epochMS + after*60_000, V: math.NaN()}
	for _, x := range raw {
		switch {
		case x.V < last.V && minute(x.T) > after:
			return last
		case !math.IsNaN(x.V):
			last = x
		}
	}
	return Point{T: epochMS + after*60_000}
}

func minute(t int64) float64 { return float64(t-epochMS) / 60_000 }
