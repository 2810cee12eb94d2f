package correct_test

import (
	"strings"
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

// readings sends the same values to a counter, which is saved and read back after each, a native and a classic histogram, all buckets
// alike, and a summary, and says what went out last for one of them.
func readings(t *testing.T, values ...float64) map[string]float64 {
	t.Helper()
	r, n := &run{t: t, at: 1_000_000}, nativeCounting(t, correct.Policy{}, 0, 0, 0)
	s, pl, at := newStory(t, correct.Policy{}), newPlayer(correct.Policy{}), int64(0)
	var out float64
	for _, v := range values {
		out = r.next(v).V
		r.c, r.cs = saved(t, r)
		n.next(flat(v, v, v))
		s.scrape(v, v, v, v, v)
		at += 15_000
		pl.together([]piece{{correct.RoleCount, 0, correct.Sample{T: at, V: v}}, {correct.RoleSum, 0, correct.Sample{T: at, V: v / 7}}})
		pl.settle(true)
	}
	return map[string]float64{"counter": out, "native histogram": n.out.Count / 3, "classic histogram": s.bucket(bounds[0]),
		"summary": pl.out[pieceKey{correct.RoleCount, 0, at}]}
}

// Rule: what a young counter is folded for is not final until something has come: a read that is behind may
// be behind for several scrapes, and its return fits the trend from before it.
func TestAYoungCounterComesBackFromAFold(t *testing.T) {
	for name, values := range map[string][]float64{
		"read at 0, where it began":           {0, 750, 1490, 0, 3740, 4480, 5250},
		"and still, a scrape later":           {0, 750, 1490, 0, 0, 3740, 4480, 5250},
		"read at 0, and then it goes on":      {0, 750, 1490, 0, 0, 0, 4480, 5250},
		"folded on even odds, then it's back": {0, 100, 310, 450, 650, 230, 390, 550, 1300, 1450, 1600, 1750},
	} {
		for kind, out := range readings(t, values...) {
			if want := values[len(values)-1]; out != want {
				t.Errorf("%s, %s: %v, want %v", name, kind, out, want)
			}
		}
	}
}

// What goes on as it came after a fold that was revoked was a restart with a burst after all.
func TestAFoldThatWasRevokedMayTurn(t *testing.T) {
	for kind, out := range readings(t, 0, 750, 1500, 2250, 3000, 3750, 4500, 0, 5900, 11800, 17700, 23600) {
		if want := 4500. + 23600; out != want {
			t.Errorf("%s: %v, want %v", kind, out, want)
		}
	}
}

// A fold that was revoked is no reset: neither is it counted as one, nor is what follows the burst after one.
func TestAFoldThatWasRevokedWasNoReset(t *testing.T) {
	r := &run{t: t, at: 1_000_000}
	for _, v := range []float64{0, 750, 1490, 0, 3740, 4480} {
		r.next(v)
	}
	o := r.next(3010)
	r.want(o, 4480, correct.KindJitter)
	for _, e := range o.Corrections[0].Evidence {
		if e.Test == "history" && !strings.Contains(e.Text, "reset 0 times") {
			t.Error(e.Text)
		}
	}
}
