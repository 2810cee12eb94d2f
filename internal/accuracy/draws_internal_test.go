package accuracy

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Rule: a seed of several plays is their mean, and each play has numbers of its own (docs/decisions/0028).
func TestASeedIsTheMeanOfItsPlays(t *testing.T) {
	class := Classes()[2] // it has an error in every play
	measure := func(seed uint64, plays int) Row {
		row, err := Measure(context.Background(), Engine{}, class, Settings{Seed: seed, Seeds: 1, Hours: 1, Plays: plays})
		if err != nil {
			t.Fatal(err)
		}
		return row
	}
	const plays = 3
	var want Figures
	for p := range plays {
		want.add(measure(Settings{Seed: 7}.of(0, p), 1).Mean, 1.0/plays)
	}
	got := measure(7, plays)
	for _, x := range []struct{ got, want float64 }{
		{got.Mean.Pawl, want.Pawl}, {got.Mean.PromQL, want.PromQL}, {got.Mean.Floor, want.Floor}, {got.Seeds[0], want.Pawl}, {got.Floors[0], want.Floor},
	} {
		if math.Abs(x.got-x.want) > 1e-12*x.want || x.got == 0 {
			t.Errorf("%v, want the mean of the plays, %v", x.got, x.want)
		}
	}
	if one := measure(7, 1); len(got.Traces) != len(one.Traces) || got.Traces[1].Name != one.Traces[1].Name || got.Mean.Pawl == one.Mean.Pawl {
		t.Errorf("%d settings for %d, and %v of three plays for %v of one", len(got.Traces), len(one.Traces), got.Mean.Pawl, one.Mean.Pawl)
	}
	if two := measure(7, 2).Traces[1].Mean.Pawl; math.Abs(two-(measure(7, 1).Traces[1].Mean.Pawl+measure(Settings{Seed: 7}.of(0, 1), 1).Traces[1].Mean.Pawl)/2) > 1e-12 {
		t.Errorf("a setting of two plays has %v, not their mean", two)
	}
}

// Rule: a draw is within if its mean is within the reach and no seed is off by more than 1.5 times it.
func TestADrawIsHeldToTheMeanAndToEachSeed(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		pool  []float64
		reach float64
		want  bool
	}{
		{[]float64{0.99}, 1, true},
		{[]float64{1.01}, 1, false}, // by its mean
		{slices.Concat(slices.Repeat([]float64{0.1}, 9), []float64{1.49}), 1, true},
		{slices.Concat([]float64{0.1}, []float64{1.51}), 1, false}, // by a seed: none of twenty is drawn but once in a million
	} {
		if got := drawn(c.pool, 1, c.reach, chance); got != c.want {
			t.Errorf("%v of %v: within %v", c.pool, c.reach, got)
		}
	}
	// Sixteen plays even out what one does not.
	pool := slices.Concat(slices.Repeat([]float64{0.2}, 9), []float64{2})
	one, many := 0, 0
	for range 1000 {
		if drawn(pool, 1, 1, chance) {
			one++
		}
		if drawn(pool, 16, 1, chance) {
			many++
		}
	}
	if one > 200 || many < 990 { // 0.9^20 is 0.12
		t.Errorf("%d of 1000 draws of one play are within, %d of sixteen", one, many)
	}
}

// Rule: only classes that luck decides about are drawn, and all of them together are within no more often than any.
func TestWhoKnowsEveryVerdictIsDrawnOfEveryClassThatHasAFloor(t *testing.T) {
	list, err := Draw(Settings{Seed: 3, Seeds: 2, Hours: 1, Plays: 2, AtOnce: 2}, 50, func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	all := list[len(list)-1]
	if len(list) != len(withFloor())+1 || len(list) < 12 {
		t.Errorf("%d classes", len(list)-1)
	}
	for _, l := range list[:len(list)-1] {
		for i := range Plays {
			if l.Floor <= l.Reach && l.Passed[i] < all.Passed[i] {
				t.Errorf("%s: within %d times with %d plays, all together %d times", l.Class, l.Passed[i], Plays[i], all.Passed[i])
			}
		}
	}
}
