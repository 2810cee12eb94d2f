package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/dgraph-io/ristretto/v2/z"
)

// Rule: a database that works leisurely, and one that is hurried while it does,
// holds what any other does, over tables that are written out and merged, and
// closing it does not wait for its rests to be over.
func TestALeisurelyDatabaseHoldsTheSame(t *testing.T) {
	s := mustOpenState(t, t.TempDir())
	s.Leisurely(true)
	defer s.Leisurely(false)
	before := s.Worked()
	rng := rand.New(rand.NewPCG(1, 2))
	want := map[string]string{}
	for seq := range uint64(6) {
		d := s.Begin(seq + 1)
		for k := range 600 {
			value := make([]byte, 5000+rng.IntN(200))
			for i := range value {
				value[i] = byte(rng.Uint32())
			}
			key := fmt.Sprintf("s%05d", (k*11+int(seq))%700)
			want[key] = string(value)
			d.Put([]byte(key), value)
			if d.Pending() > 256<<10 {
				if err := d.Flush(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := d.Write(); err != nil {
			t.Fatal(err)
		}
		if err := d.Declare(); err != nil {
			t.Fatal(err)
		}
		if seq == 3 {
			s.Leisurely(false)
		}
	}
	if s.Worked() == before {
		t.Error("tables were written and it counts no work")
	}
	if got := contents(t, s); !maps.Equal(got, want) {
		t.Errorf("%d keys, want %d, or another value", len(got), len(want))
	}
	s.Leisurely(true)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.Leisurely(false)
	if got := contents(t, mustOpenState(t, s.dir)); !maps.Equal(got, want) {
		t.Errorf("opened again: %d keys, want %d, or another value", len(got), len(want))
	}
}

// Rule: the buffers that tables are written from are no garbage of Go's, which
// would have the collector run for each: they are mapped, and unmapped at once.
func TestTheDatabasesBuffersAreNoGarbage(t *testing.T) {
	const size = 16 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 4 {
		b := z.Calloc(size, "test")
		if len(b) != size || b[0] != 0 || b[size-1] != 0 {
			t.Fatalf("%d bytes, want %d zeros", len(b), size)
		}
		b[0], b[size-1] = 1, 1
		z.Free(b)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got >= size {
		t.Errorf("%d bytes were taken from Go's heap for 4 buffers of %d", got, size)
	}
	z.Free(make([]byte, size)) // one of Go's is left alone
	z.Free(nil)
}
