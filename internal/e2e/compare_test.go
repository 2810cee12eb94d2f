//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

// wantSame fails unless both hold the same series with the same samples, bit for bit.
func wantSame(t *testing.T, got, want data) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if diff := firstDifference(got[key], want[key]); diff != "" {
			t.Errorf("%s differs: %s", key, diff)
		}
	}
	for key := range got {
		if _, ok := want[key]; !ok {
			t.Errorf("%s was never sent", key)
		}
	}
}

// firstDifference tells in words where two lists of samples part; empty if they do not.
func firstDifference(got, want []point) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("sample %d is %v, want %v (bits %016x, want %016x)", i, got[i], want[i], got[i].Bits, want[i].Bits)
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("%d samples, want %d", len(got), len(want))
	}
	return ""
}

// increaseOf is the sum of all steps upwards, a counter's true increase if it never
// restarts; falls counts the steps downwards. Stale markers and other NaN are no steps.
func increaseOf(points []point) (increase float64, falls int) {
	var values []float64
	for _, p := range points {
		if v := p.value(); v == v {
			values = append(values, v)
		}
	}
	for i := 1; i < len(values); i++ {
		if step := values[i] - values[i-1]; step > 0 {
			increase += step
		} else if step < 0 {
			falls++
		}
	}
	return increase, falls
}

// waitArrived polls the upstream until it holds every sample that want holds, or the time is up
// (then the comparison that follows tells what is missing).
func waitArrived(t *testing.T, upstream func() data, want data) data {
	t.Helper()
	end := want.last()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		got := upstream().upTo(end)
		if count(got) >= count(want) || time.Now().After(deadline) {
			return got
		}
	}
}

func count(d data) int {
	n := 0
	for _, points := range d {
		n += len(points)
	}
	return n
}
