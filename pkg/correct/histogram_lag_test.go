package correct_test

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"pawl/pkg/correct"
)

// lagging puts the parts' samples into an order that keeps each part's own,
// where a part may run ahead of the slowest by up to lag timestamps: a sender
// that catches up over several connections.
func lagging(t *rapid.T, frames [][]piece, lag int) (order []piece) {
	queue := map[pieceKey][]piece{}
	var parts []pieceKey
	for _, f := range frames {
		for _, x := range f {
			k := pieceKey{x.role, x.le, 0}
			if queue[k] == nil {
				parts = append(parts, k)
			}
			queue[k] = append(queue[k], x)
		}
	}
	for {
		slowest := int64(math.MaxInt64)
		var left []pieceKey
		for _, k := range parts {
			if len(queue[k]) > 0 {
				left = append(left, k)
				slowest = min(slowest, queue[k][0].s.T)
			}
		}
		if len(left) == 0 {
			return order
		}
		k := left[rapid.IntRange(0, len(left)-1).Draw(t, "part")]
		for n := rapid.IntRange(1, lag).Draw(t, "scrapes"); n > 0 && len(queue[k]) > 0; n-- {
			if queue[k][0].s.T > slowest+int64(lag)*15_000 {
				break
			}
			order = append(order, queue[k][0])
			queue[k] = queue[k][1:]
		}
	}
}

// Rule (DESIGN.md, RELIABILITY.md 6): however far apart the parts of a histogram come, a
// sample that comes again goes out with the same bits, for as many of its
// part's samples as are remembered at the worst.
func TestCopiesOfALaggingPartHaveTheSameBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := allFaults
		f.starts = rapid.Bool().Draw(t, "starts")
		p := drawPolicy(t)
		p.Resets = rapid.SampledFrom([]correct.Resets{correct.Fold, correct.PassResets, correct.MarkResets}).Draw(t, "resets")
		order := lagging(t, drawFrames(t, f), rapid.IntRange(1, 20).Draw(t, "lag"))
		pl, came := newPlayer(p), map[pieceKey][]piece{}
		check := func(x piece) {
			k := pieceKey{x.role, x.le, x.s.T}
			before, out := pl.out[k]
			st := pl.st[k]
			pl.send(x)
			if after := pl.out[k]; out && math.Float64bits(after) != math.Float64bits(before) {
				t.Fatalf("%v went out as %v, again as %v", x, before, after)
			}
			if out && pl.st[k] != st {
				t.Fatalf("%v went out with the start %v, again with %v", x, st, pl.st[k])
			}
		}
		for i, x := range order {
			k := pieceKey{x.role, x.le, 0}
			came[k] = append(came[k], x)
			pl.send(x)
			if rapid.IntRange(0, 2).Draw(t, "retry") == 0 {
				y := order[rapid.IntRange(0, i).Draw(t, "of")]
				again := came[pieceKey{y.role, y.le, 0}]
				again = again[max(0, len(again)-32):]
				check(again[rapid.IntRange(0, len(again)-1).Draw(t, "which")])
			}
			if rapid.IntRange(0, 9).Draw(t, "over") == 0 {
				pl.settle(true) // join_wait is over
			}
		}
		pl.settle(true)
		for _, some := range came {
			for _, x := range some[max(0, len(some)-32):] {
				check(x)
			}
		}
	})
}

// Rule (DESIGN.md, invariant 5): any interleaving of connections that keeps each part's own
// order gives the totals of joined delivery, however far apart the parts come
// within the time to wait, whatever befalls the histogram, by every policy for losses, and saved and read back at
// any place. Its parts are known: it has come whole once (docs/decisions/0016). Resets are folded:
// with mark and pass a restart goes out as it is only where no part had gone out before.
func TestTotalsDoNotDependOnHowFarApartPartsCome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := allFaults
		f.starts = rapid.Bool().Draw(t, "starts")
		p := drawPolicy(t)
		frames := drawFrames(t, f)
		known, order := firstWhole(frames)
		if known < len(frames) {
			order = append(order, lagging(t, frames[known:], rapid.IntRange(1, 20).Draw(t, "lag"))...)
		}
		all := closing(frames)
		for _, f := range all[len(frames):] {
			order = append(order, f...)
		}
		pl := newPlayer(p)
		for _, x := range order {
			pl.send(x)
			if rapid.IntRange(0, 9).Draw(t, "save") == 0 {
				h, err := correct.DecodeHistogram(pl.h.Append(nil))
				if err != nil {
					t.Fatal(err)
				}
				pl.h = *h
			}
		}
		pl.settle(true)
		if err := sameTotals(all, len(frames), order, pl, playTogether(all, p)); err != nil {
			t.Fatal(err)
		}
	})
}

// firstWhole are the frames up to the first that is whole: from then on all parts are known.
func firstWhole(frames [][]piece) (known int, order []piece) {
	for whole := false; !whole && known < len(frames); known++ {
		whole = len(frames[known]) == len(bounds)+2 && !math.IsNaN(frames[known][0].s.V)
		order = append(order, frames[known]...)
	}
	return known, order
}

// sameTotals compares what went out for the last frame; those from closed on are quiet. What a part let
// out before all had come up to its timestamp is not taken back by what they give away: where that was more
// than together, it stands at exactly that until its corrected value, whose offset must be that of joined delivery, has reached it.
func sameTotals(all [][]piece, closed int, order []piece, pl, together *player) error {
	came, most := map[int64]int{}, map[pieceKey]float64{} // the last to come for a timestamp; what went out early
	for n, x := range order {
		came[x.s.T] = n + 1
	}
	upTo := 0
	for _, f := range all[:closed] {
		upTo = max(upTo, came[f[0].s.T])
		for _, x := range f {
			k := pieceKey{x.role, x.le, x.s.T}
			if v, ok := pl.out[k]; ok && pl.when[k] < upTo {
				k.t = 0
				most[k] = max(most[k], v)
			}
		}
	}
	for _, x := range all[len(all)-1] {
		k := pieceKey{x.role, x.le, x.s.T}
		a, b := pl.out[k], together.out[k]
		if math.Abs(a-b) <= 1e-9*math.Abs(b) || math.IsNaN(x.s.V) {
			continue // a histogram that never came whole has stale markers at last
		}
		_, _, _, off, _ := pl.h.Last(pl.h.Part(x.role, x.le))
		_, _, _, want, _ := together.h.Last(together.h.Part(x.role, x.le))
		if k.t = 0; a != most[k] || a < b || math.Abs(off-want) > 1e-9*math.Abs(b) {
			return fmt.Errorf("%v: apart %v (offset %v, early %v), together %v (offset %v)", k, a, off, most[k], b, want)
		}
	}
	return nil
}
