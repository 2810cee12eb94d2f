package correct_test

import (
	"maps"
	"math/rand/v2"
	"reflect"
	"testing"

	"pawl/pkg/correct"
)

// Rule (docs/decisions/0016): rows are nothing but a shorter way to keep a queue of which nothing is suspicious. Where
// they are made a queue at any place, the same goes out, and the log says the same.
func TestRowsAreAQueueOfWhichNothingIsSuspicious(t *testing.T) {
	spilled := 0
	for seed := range uint64(10_000) {
		r := rand.New(rand.NewPCG(seed, 11))
		frames := smallFrames(r, r.IntN(2) == 0)
		p := correct.Policy{Losses: []correct.Losses{correct.Auto, correct.Restore, correct.Hold}[r.IntN(3)], Resets: []correct.Resets{correct.Fold, correct.PassResets, correct.MarkResets}[r.IntN(3)]}
		known := r.IntN(2)
		var order []piece
		for _, f := range frames[:known] {
			order = append(order, f...)
		}
		order = append(order, lagSmall(r, frames[known:], 1+r.IntN(6))...)
		rows, queue := newPlayer(p), newPlayer(p)
		if r.IntN(2) == 0 {
			rows.h.Expect(true)
			queue.h.Expect(true)
		}
		for _, x := range order {
			over := r.IntN(30) == 0
			for _, pl := range []*player{rows, queue} {
				pl.send(x)
				if over {
					pl.h.Known()
					pl.settle(true)
				}
			}
			if r.IntN(3) == 0 && queue.h.Spill() {
				spilled++
			}
			if r.IntN(8) == 0 { // a retry
				again := order[r.IntN(len(order))]
				if _, out := rows.out[pieceKey{again.role, again.le, again.s.T}]; out {
					rows.send(again)
					queue.send(again)
				}
			}
		}
		rows.settle(true)
		queue.settle(true)
		same := func(a, b map[pieceKey]float64) bool {
			return maps.EqualFunc(a, b, func(x, y float64) bool { return x == y || x != x && y != y })
		}
		if !same(rows.out, queue.out) || !maps.Equal(rows.st, queue.st) || !maps.Equal(rows.drop, queue.drop) {
			t.Fatalf("seed %d: rows let out\n%v %v, a queue\n%v %v", seed, rows.out, rows.st, queue.out, queue.st)
		}
		if !reflect.DeepEqual(kinds(rows.log), kinds(queue.log)) {
			t.Fatalf("seed %d: with rows the log is\n%v, with a queue\n%v", seed, rows.log, queue.log)
		}
	}
	if spilled < 1000 {
		t.Errorf("only %d times were there rows", spilled)
	}
}

// kinds is what was found at which timestamp, in order.
func kinds(log []correct.Correction) (out []correct.Correction) {
	for _, c := range log {
		out = append(out, correct.Correction{Kind: c.Kind, T: c.T, Pending: c.Pending})
	}
	return out
}
