package accuracy_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"runtime"
	"testing"

	"pawl/internal/accuracy"
)

var (
	long = flag.Bool("long", false, "measure 20 seeds from the fixed one that the docs show, against the reach itself")
	seed = flag.Uint64("seed", 0, "first seed; 0 draws one (with -long: the fixed one)")
	many = flag.Int("seeds", 0, "seeds, counted up from the first; 0: as many as the test has")
)

const (
	// shortMargin is how far beyond the reach the mean of six seeds may be. Single seeds
	// scatter widely: one misjudgement before the pace is known makes a seed of the flips or
	// restarts up to six times as bad as the reach, while most are at half of it. Of 20,000 draws of
	// six out of 120 measured seeds, one in a thousand was beyond 2.0 times
	// the reach in the worst class, one in 20,000 beyond 2.5.
	shortMargin = 2.5
	// fixedSeed is the one of the table in the docs.
	fixedSeed = 1
)

// settings are how much a test measures, and how many times the reach it may be off.
func settings(t *testing.T, short accuracy.Settings) (s accuracy.Settings, margin float64) {
	t.Helper()
	s, margin = short, shortMargin
	s.Seed, s.AtOnce = *seed, runtime.GOMAXPROCS(0)
	if *long {
		s.Seeds, s.Hours, s.Plays, margin = 20, 10, accuracy.PlaysOfSeed, 1
	}
	if *many > 0 {
		s.Seeds = *many
	}
	switch {
	case s.Seed == 0 && *long:
		s.Seed = fixedSeed
	case s.Seed == 0:
		s.Seed = rand.Uint64N(1 << 32)
	}
	t.Logf("seed %d; again with: go test ./internal/accuracy -run %s -args -seed %d", s.Seed, t.Name(), s.Seed)
	return s, margin
}

// TestTable is the evaluator: every class within the reach that the project set itself.
func TestTable(t *testing.T) {
	s, margin := settings(t, accuracy.Settings{Seeds: 6, Hours: 10})
	for _, class := range accuracy.Classes() {
		t.Run(class.Name, func(t *testing.T) {
			row, err := accuracy.Measure(context.Background(), accuracy.Engine{}, class, s)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("PromQL %.4g, 1/8 rule %.4g, pawl %.4g (worst seed %.4g), reach %.4g",
				row.Mean.PromQL, row.Mean.MetricsQL, row.Mean.Pawl, row.Worst, row.Reach)
			if row.Mean.Pawl > margin*row.Reach {
				t.Errorf("error %.4g is beyond %v times the reach of %.4g", row.Mean.Pawl, margin, row.Reach)
			}
			if limit := row.Mean.PromQL + margin*class.OverPromQL; class.OverPromQL > 0 && row.Mean.Pawl > limit {
				t.Errorf("error %.4g is beyond PromQL's %.4g plus %.4g", row.Mean.Pawl, row.Mean.PromQL, margin*class.OverPromQL)
			}
			if row.Mean.Steps != 0 {
				t.Errorf("%d steps downwards in what goes out", row.Mean.Steps)
			}
			if class.HandsOff && row.Mean.Changed != 0 {
				t.Errorf("%d samples of healthy counters were changed", row.Mean.Changed)
			}
		})
	}
}

// The same seed gives the same table: what the docs show can be had again.
func TestSameSeedSameTable(t *testing.T) {
	s := accuracy.Settings{Seed: 7, Seeds: 1, Hours: 2}
	class := accuracy.Classes()[0]
	a, err := accuracy.Measure(context.Background(), accuracy.Engine{}, class, s)
	if err != nil {
		t.Fatal(err)
	}
	b, err := accuracy.Measure(context.Background(), accuracy.Engine{}, class, s)
	if err != nil {
		t.Fatal(err)
	}
	if a.Mean != b.Mean {
		t.Errorf("%+v, then %+v", a.Mean, b.Mean)
	}
}

// MetricsQL's rule as its removeCounterResets has it.
func TestEighthRule(t *testing.T) {
	var points []accuracy.Point
	for i, v := range []float64{800, 701, 702, 100, 110} {
		points = append(points, accuracy.Point{T: int64(i), V: v})
	}
	// 99 of 800 is under an eighth and added back; 602 of 702 is a restart.
	want := []float64{800, 800, 801, 901, 911}
	for i, x := range accuracy.EighthRule(points) {
		if x.V != want[i] {
			t.Errorf("value %d is %v, want %v", i, x.V, want[i])
		}
	}
}
