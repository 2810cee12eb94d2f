package sequence

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"pawl/pkg/rewrite"
)

// Rule: the table finds exactly what was added and not forgotten since, also
// when keys crowd into one place.
func TestTableAgainstAMap(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 2))
		tb, model := newTable(), map[rewrite.Key]uint32{}
		var keys []rewrite.Key
		key := func() rewrite.Key {
			if len(keys) > 0 && rng.IntN(3) > 0 {
				return keys[rng.IntN(len(keys))]
			}
			// Few low bits: long runs of probing, around the end of the slots too.
			k := rewrite.Key{Hi: rng.Uint64(), Lo: rng.Uint64N(64) - 32}
			keys = append(keys, k)
			return k
		}
		for range 5000 {
			k := key()
			id, ok := tb.find(k)
			want, known := model[k]
			if ok != known || ok && id != want {
				t.Fatalf("seed %d: find gives %d %v, want %d %v", seed, id, ok, want, known)
			}
			switch {
			case !known:
				id = tb.add(k)
				for other, taken := range model {
					if taken == id {
						t.Fatalf("seed %d: %v and %v have one place", seed, other, k)
					}
				}
				model[k] = id
				if rng.IntN(2) == 0 {
					tb.counterOf(tb.series.at(id)).T = int64(k.Hi >> 1)
				}
			case rng.IntN(3) == 0:
				tb.forget(id)
				delete(model, k)
			default:
				s := tb.series.at(id)
				if s.key != k || s.counter != 0 && tb.counterOf(s).T != int64(k.Hi>>1) {
					t.Fatalf("seed %d: another series' state", seed)
				}
			}
			if tb.live != len(model) {
				t.Fatalf("seed %d: %d live, want %d", seed, tb.live, len(model))
			}
		}
	}
}

// Rule: half a batch's number says which batch that was, and never an older one.
func TestTheBatchThatLastHeldASeriesIsNeverTakenForAnOlderOne(t *testing.T) {
	for _, c := range []struct{ last, seq, want uint64 }{
		{1, 2, 1}, {7, 1 << 31, 7}, {0, 1<<32 - 1, 0}, {1<<32 - 1, 1 << 32, 1<<32 - 1},
		{5, 1<<32 + 4, 5}, {3 << 32, 3<<32 + 1, 3 << 32},
		{5, 1<<32 + 6, 1<<32 + 5}, // too far back: a later one
	} {
		if got := earlier(uint32(c.last), c.seq); got != c.want || got < c.last || got >= c.seq {
			t.Errorf("last batch %d at %d: %d, want %d", c.last, c.seq, got, c.want)
		}
	}
}

// Rule: series that follow one another from scrape to scrape are found, however far apart their places are.
func TestFollowFindsWhatItDidNotGuess(t *testing.T) {
	tb := newTable()
	const n = 1 << 16
	key := func(i uint32) rewrite.Key {
		return rewrite.Key{Hi: uint64(i) << 40, Lo: uint64(i) * 0x9e3779b97f4a7c15}
	}
	for i := range uint32(n) {
		tb.met(tb.add(key(i)))
	}
	for range 3 {
		for _, i := range []uint32{0, 1, n - 1, 2, n / 2, n/2 - 1, 0, 40_000, 3} {
			if id, known := tb.follow(key(i)); !known || id != i {
				t.Fatalf("series %d is found at %d, %v", i, id, known)
			}
		}
	}
	if _, known := tb.follow(rewrite.Key{Hi: 1, Lo: 2}); known {
		t.Error("a series that is not there is found")
	}
}

// Rule: what a series costs in memory is bounded (docs/limits.md).
func TestSeriesIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(series{}); n > 40 {
		t.Errorf("a series takes %d bytes, 40 are planned", n)
	}
}
