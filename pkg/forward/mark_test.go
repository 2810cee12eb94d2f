package forward

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
)

// Rule: the mark is the longest run of settled batches, in whatever order they settle.
func TestMarkFollowsTheLongestRun(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		const first, n = 7, 300
		m := NewMark(first - 1)
		settled := map[uint64]bool{}
		for _, i := range rng.Perm(n) {
			m.Done(first + uint64(i))
			settled[first+uint64(i)] = true
			want := uint64(first - 1)
			for settled[want+1] {
				want++
			}
			if got := m.Low(); got != want {
				t.Fatalf("seed %d: low is %d after %v, want %d", seed, got, settled, want)
			}
		}
	}
}

// Rule: a batch waits for the last one that it shares a series with, and not for later ones.
func TestWaitEndsWhenTheMarkIsReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMark(0)
		over := false
		go func() {
			if err := m.Wait(context.Background(), 2); err != nil {
				t.Error(err)
			}
			over = true
		}()
		m.Done(2)
		m.Done(4)
		synctest.Wait()
		if over {
			t.Fatal("went on before batch 1 was settled")
		}
		m.Done(1)
		synctest.Wait()
		if !over {
			t.Fatal("did not go on when batches 1 and 2 were settled")
		}
	})
}

// Rule: settling a batch twice is a broken promise of our own and says so.
func TestSettlingTwicePanics(t *testing.T) {
	for name, seq := range map[string]uint64{"below the mark": 1, "above the mark": 3} {
		t.Run(name, func(t *testing.T) {
			m := NewMark(0)
			m.Done(1)
			m.Done(3)
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			m.Done(seq)
		})
	}
}
