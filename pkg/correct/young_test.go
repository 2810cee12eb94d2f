package correct_test

import (
	"testing"

	"pawl/pkg/correct"
)

// staleYoung is a counter of 150 a scrape from 0 that is read as it was four
// scrapes ago at these scrapes, from its third on.
func staleYoung(scrapes int, each func(i int, raw float64)) {
	stale := map[int]bool{2: true, 4: true, 8: true, 10: true, 14: true, 18: true, 26: true, 28: true}
	for i := range scrapes {
		at := i
		if stale[i] {
			at = max(0, i-4)
		}
		each(i, 150*float64(at))
	}
}

// The returns of a young counter that flips do not become its pace, by which
// the later ones would look usual. What may be wrong is what came before anything was known.
func TestReturnsOfAYoungCounterAreNotItsPace(t *testing.T) {
	const known, last = 6, 39
	var at5 float64
	check := func(i int, out float64) {
		switch off := out - 150*float64(i); {
		case i == known:
			at5 = off
		case i == last && off > at5:
			t.Errorf("is %v above the truth after %d scrapes, was %v after %d", off, i, at5, known)
		}
	}
	t.Run("counter", func(t *testing.T) {
		r := &run{t: t, at: 1_000_000}
		staleYoung(last+1, func(i int, raw float64) { check(i, r.next(raw).V) })
	})
	t.Run("native", func(t *testing.T) {
		r := nativeCounting(t, correct.Policy{}, 0, 0, 0)
		staleYoung(last+1, func(i int, raw float64) {
			if i > 0 {
				check(i, r.next(flat(raw/3, raw/3, raw/3)).out.Count)
			}
		})
	})
}

// A counter of rare events that has hardly counted more than what may come within a gap of some minutes: what
// is left after it is folded only if it is the likelier, for it is no matter of a single step.
func TestWhatAGapMayBringIsNotCheap(t *testing.T) {
	r := &run{t: t, at: 1_000_000}
	v := 0.0
	for i := range 40 {
		if i%3 == 2 {
			v++
		}
		r.next(v)
	}
	r.at += 300_000
	o := r.next(v - 1)
	sum := 0.0
	for _, e := range o.Corrections[0].Evidence {
		sum += e.LogOdds
	}
	if sum > -1 {
		t.Fatalf("evidence %+v is not for a loss", o.Corrections[0].Evidence)
	}
	r.next(v - 1)
	r.want(r.next(v), v+1, correct.KindLoss)
}
