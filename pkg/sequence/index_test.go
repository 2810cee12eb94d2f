package sequence

import (
	"math/rand/v2"
	"testing"

	"pawl/pkg/rewrite"
)

// Rule: the index finds what is there and nothing else, through growth, through forgetting, and where places begin far up.
func TestTheIndexFindsWhatIsThere(t *testing.T) {
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		tab := newTable()
		where := map[rewrite.Key]uint32{}
		var keys []rewrite.Key
		if seed%2 == 1 { // places that nobody has: more than there are slots
			k := rewrite.Key{Hi: rnd.Uint64(), Lo: rnd.Uint64()}
			where[k] = 9000
			tab.addAt(k, 9000)
			keys = append(keys, k)
		}
		for range 20_000 {
			switch {
			case len(keys) == 0 || rnd.IntN(3) > 0:
				// Few different low and high bits, so that probes are long and what stands above the places is often the same.
				k := rewrite.Key{Hi: rnd.Uint64N(4)<<62 | rnd.Uint64N(1<<20), Lo: rnd.Uint64N(1<<12)<<3 | rnd.Uint64N(1<<20)<<40}
				if _, ok := where[k]; !ok {
					where[k] = tab.add(k)
					keys = append(keys, k)
				}
			default:
				n := rnd.IntN(len(keys))
				tab.forget(where[keys[n]])
				delete(where, keys[n])
				keys[n] = keys[len(keys)-1]
				keys = keys[:len(keys)-1]
			}
		}
		for k, id := range where {
			if got, ok := tab.find(k); !ok || got != id {
				t.Fatalf("seed %d: a series at %d is found at %d, %t", seed, id, got, ok)
			}
			k.Lo ^= 1 << 63
			if got, ok := tab.find(k); ok {
				t.Fatalf("seed %d: a series that is not there is found at %d", seed, got)
			}
		}
	}
}
