package accuracy

import (
	"slices"
	"testing"
)

// Who knows the verdict misses what a fall hides, and nothing else.
func TestFloorIsWhatFallsHide(t *testing.T) {
	scrapes := func(raw, truth []float64) (list []shown) {
		for i := range raw {
			list = append(list, shown{n: []float64{raw[i]}, truth: []float64{truth[i]}})
		}
		return list
	}
	for _, x := range []struct {
		name       string
		right      Fate
		raw, truth []float64
		want       float64
	}{
		{"a loss hides what came meanwhile", Losses, []float64{0, 100, 90, 100}, []float64{0, 100, 102, 112}, 2.0 / 112},
		{"a restart shows all that came since", Restarts, []float64{0, 100, 7, 17}, []float64{0, 100, 107, 117}, 0},
		{"a hidden one hides what was there", Restarts, []float64{0, 5, 7, 17}, []float64{0, 5, 12, 22}, 5.0 / 22},
		{"a dip hides nothing once it is back", Dips, []float64{0, 100, 90, 120}, []float64{0, 100, 100, 120}, 0},
		{"nothing is known of what is put in", Unknown, []float64{0, 100, 90, 100}, []float64{0, 100, 102, 112}, 0},
	} {
		if got := floor(x.right, scrapes(x.raw, x.truth)); got != x.want {
			t.Errorf("%s: %v, want %v", x.name, got, x.want)
		}
	}
	// What a crash put back to before the last scrape but one has nothing since then: what it hides there is less.
	crash := []shown{
		{n: []float64{8, 8}, truth: []float64{8, 16}}, {n: []float64{10, 10}, truth: []float64{10, 20}},
		{n: []float64{7, 9}, truth: []float64{10, 21}}, {n: []float64{8, 9}, truth: []float64{11, 22}},
	}
	if got, want := floor(Losses, crash), 1.0/(3+6); got != want {
		t.Errorf("a loss: %v, want %v", got, want)
	}
	if got := floor(PutBack, crash); got != 0 {
		t.Errorf("a loss that is known to be put back: %v, want 0", got)
	}
	// One bucket hides a restart, the other shows it; of a native histogram only the total counts.
	both := []shown{{n: []float64{1, 3}, truth: []float64{1, 4}}, {n: []float64{2, 0}, truth: []float64{3, 6}}}
	if got := floor(Restarts, both); got != 0 {
		t.Errorf("a restart that one bucket shows: %v, want 0", got)
	}
	both[0].truth, both[1].truth = []float64{4}, []float64{7}
	if got, want := floor(Losses, both), 2.0/3; got != want {
		t.Errorf("of the total: %v, want %v", got, want)
	}
}

// A single seed is beyond only above OfSeed times the reach and AboveFloor times its floor, and is listed in any case.
func TestSeedsAreHeldToTheFloor(t *testing.T) {
	row := Row{Reach: 0.002, Seeds: []float64{0.003, 0.0031, 0.0031}, Floors: []float64{0, 0.0028, 0.0029}}
	want := []Far{{8, 0.0031, 0.0028, true}, {9, 0.0031, 0.0029, false}}
	if got := row.far(7); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	row.Far = want
	if row.withinReach(0, false) {
		t.Error("a row with a seed beyond is within")
	}
	row.Far = want[1:]
	if !row.withinReach(0, false) {
		t.Error("a seed at its floor is beyond")
	}
}
