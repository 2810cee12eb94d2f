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

// Rule: what a series costs in memory is bounded (docs/limits.md).
func TestSeriesIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(series{}); n > 48 {
		t.Errorf("a series takes %d bytes, 48 are planned", n)
	}
}
