package accuracy_test

import (
	"context"
	"testing"

	"pawl/internal/accuracy"
)

// TestHistogramTable is the evaluator for classic histograms. Of a few hours of little traffic, one event is too much: it takes more seeds.
func TestHistogramTable(t *testing.T) {
	s, margin := settings(t, accuracy.Settings{Seeds: 20, Hours: 10})
	measureHistograms(t, accuracy.HistClasses(), s, margin)
}

// TestSummaryTable is the evaluator for summaries. They cost little, and their restarts scatter: it takes more seeds.
func TestSummaryTable(t *testing.T) {
	s, margin := settings(t, accuracy.Settings{Seeds: 12, Hours: 10})
	measureHistograms(t, accuracy.SummaryClasses(), s, margin)
}

func measureHistograms(t *testing.T, classes []accuracy.HistClass, s accuracy.Settings, margin float64) {
	for _, class := range classes {
		t.Run(class.Name, func(t *testing.T) {
			row, err := accuracy.MeasureHistogram(context.Background(), accuracy.Engine{}, class, s)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("PromQL %.4g (ratio %.4g), 1/8 rule %.4g, pawl %.4g (worst seed %.4g, floor %.4g), _sum %.4g, reach %.4g",
				row.Mean.PromQL, row.RawRatio, row.Mean.MetricsQL, row.Mean.Pawl, row.Worst, row.Mean.Floor, row.Mean.Sum, row.Reach)
			for _, p := range row.Traces {
				t.Logf("  %s: PromQL %.4g, pawl %.4g, _sum %.4g", p.Name, p.Mean.PromQL, p.Mean.Pawl, p.Mean.Sum)
			}
			if row.Mean.Pawl > row.Limit(margin) {
				t.Errorf("error %.4g is beyond %v times the reach of %.4g, and the floor of %.4g", row.Mean.Pawl, margin, row.Reach, row.Mean.Floor)
			}
			if limit := row.Mean.PromQL + margin*class.OverPromQL; class.OverPromQL > 0 && row.Mean.Pawl > limit {
				t.Errorf("error %.4g is beyond PromQL's %.4g plus %.4g", row.Mean.Pawl, row.Mean.PromQL, margin*class.OverPromQL)
			}
			if row.Mean.Steps != 0 || row.Bent != 0 || row.Ratio > 1 {
				t.Errorf("%d steps downwards, %d timestamps not cumulative, ratio %v", row.Mean.Steps, row.Bent, row.Ratio)
			}
			if class.HandsOff && row.Mean.Changed != 0 {
				t.Errorf("%d samples of healthy histograms were changed", row.Mean.Changed)
			}
		})
	}
}
