package accuracy_test

import (
	"context"
	"testing"

	"pawl/internal/accuracy"
)

// TestNativeTable is the evaluator for native histograms.
func TestNativeTable(t *testing.T) {
	s, margin := settings(t, accuracy.Settings{Seeds: 3, Hours: 10})
	for _, class := range accuracy.NativeClasses() {
		t.Run(class.Name, func(t *testing.T) {
			row, err := accuracy.MeasureNative(context.Background(), accuracy.Engine{}, class, s)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("PromQL %.4g, count %.4g (worst seed %.4g), sum %.4g, reach %.4g", row.Mean.PromQL, row.Mean.Pawl, row.Worst, row.Mean.Sum, row.Reach)
			for _, p := range row.Traces {
				t.Logf("  %s: PromQL %.4g, count %.4g, sum %.4g", p.Name, p.Mean.PromQL, p.Mean.Pawl, p.Mean.Sum)
			}
			if limit := margin * row.Reach; row.Mean.Pawl > limit || row.Mean.Sum > accuracy.SumReach*limit {
				t.Errorf("count %.4g, sum %.4g are beyond %v times the reach of %.4g", row.Mean.Pawl, row.Mean.Sum, margin, row.Reach)
			}
			if row.Mean.Steps != 0 {
				t.Errorf("%d resets in what goes out, by Prometheus' own model", row.Mean.Steps)
			}
			if class.HandsOff && row.Mean.Changed != 0 {
				t.Errorf("%d samples of healthy histograms were changed", row.Mean.Changed)
			}
		})
	}
}
