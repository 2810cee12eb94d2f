package accuracy_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"pawl/internal/accuracy"
)

// TestHistogramTable is the evaluator for classic histograms.
func TestHistogramTable(t *testing.T) {
	s := accuracy.Settings{Seed: *seed, Seeds: 4, Hours: 6}
	margin := float64(shortMargin)
	if *long {
		s.Seeds, s.Hours, margin = 20, 10, 1
	}
	if s.Seed == 0 {
		s.Seed = rand.Uint64N(1 << 32)
	}
	t.Logf("seed %d; again with: go test ./internal/accuracy -run TestHistogramTable -args -seed %d", s.Seed, s.Seed)
	for _, class := range accuracy.HistClasses() {
		t.Run(class.Name, func(t *testing.T) {
			row, err := accuracy.MeasureHistogram(context.Background(), class, s)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("PromQL %.4g (ratio %.4g), 1/8 rule %.4g, pawl %.4g (worst seed %.4g, floor %.4g), reach %.4g",
				row.Mean.PromQL, row.RawRatio, row.Mean.MetricsQL, row.Mean.Pawl, row.Worst, row.Floor, row.Reach)
			for _, p := range row.Traces {
				t.Logf("  %s: PromQL %.4g, pawl %.4g", p.Name, p.Mean.PromQL, p.Mean.Pawl)
			}
			if row.Mean.Pawl > row.Limit(margin) {
				t.Errorf("error %.4g is beyond %v times the reach of %.4g, and the floor of %.4g", row.Mean.Pawl, margin, row.Reach, row.Floor)
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
