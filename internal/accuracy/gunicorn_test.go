package accuracy_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"pawl/internal/accuracy"
	"pawl/pkg/correct"
)

// The gunicorn incident: what goes out of its pool has no bucket that grows by
// more than the next upper one over any hour, at whatever scrape the hour ends;
// as PromQL reads the raw ones, they do.
func TestGunicornPoolStaysAHistogram(t *testing.T) {
	for range 3 {
		seed := rand.Uint64N(1 << 32)
		traces := accuracy.GunicornPool(seed, 6)
		outs, err := accuracy.Engine{}.Histograms(context.Background(), correct.Policy{}, traces)
		if err != nil {
			t.Fatal(err)
		}
		raw := 0
		for i, tr := range traces {
			raw += overfull(tr.Raw)
			if n := overfull(outs[i]); n > 0 {
				t.Errorf("seed %d, %s: at %d scrapes a bucket grew by more than an upper one over the last hour", seed, tr.Name, n)
			}
		}
		t.Logf("seed %d: raw is overfull at %d scrapes", seed, raw)
		if raw == 0 {
			t.Errorf("seed %d: raw is never overfull, the incident is not simulated", seed)
		}
	}
}

// overfull counts the scrapes at which a bucket grew by more than the next
// upper one over the last 240 scrapes, as PromQL counts: every decrease is a restart from 0.
func overfull(frames []accuracy.Frame) (n int) {
	grew := make([][]float64, len(frames)) // since the first scrape
	grew[0] = make([]float64, len(frames[0].B))
	for i := 1; i < len(frames); i++ {
		grew[i] = make([]float64, len(frames[i].B))
		for k, v := range frames[i].B {
			step := v - frames[i-1].B[k]
			if step < 0 {
				step = v
			}
			grew[i][k] = grew[i-1][k] + step
		}
	}
	for i := 240; i < len(frames); i++ {
		for k := 1; k < len(grew[i]); k++ {
			if below, above := grew[i][k-1]-grew[i-240][k-1], grew[i][k]-grew[i-240][k]; below > above {
				n++
				break
			}
		}
	}
	return n
}
