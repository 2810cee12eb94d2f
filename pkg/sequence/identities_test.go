package sequence

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"pawl/pkg/rewrite"
)

// Rule: who a new series is comes out of memory as it came in, whatever the one before it has in common with it,
// however often its place went to another one, and in whichever of two sources, newest first, it is.
func TestNewSeriesAreWhoTheyWere(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
		older, newer := newIdentities(), newIdentities()
		type owner struct {
			key rewrite.Key
			id  identity
		}
		places := map[uint32]owner{}
		for n := range 2000 {
			x := older
			if n > 1200 {
				x = newer
			}
			lb := labels.NewScratchBuilder(8)
			lb.Add("__name__", pick("a", "b", "http_requests_total"))
			lb.Add("n", fmt.Sprint(n))
			for k := range pick("", "12", "123456", string(make([]byte, 90))) {
				lb.Add(fmt.Sprintf("l%02d", k), pick("x", "y", "zone", "z", "öffentlich"))
			}
			lb.Sort()
			tenant := pick("", "t", "tenant")
			b := decodeV1(t, tenant, nil, lb.Labels())
			place := uint32(n)
			if n%3 == 0 {
				place = uint32(rnd.IntN(n + 1)) // of one that was forgotten
			}
			var l labelsOf
			x.meet(place, b, 0, &l)
			places[place] = owner{b.Series[0].Key, identity{tenant, lb.Labels()}}
			if string(l.name) != lb.Labels().Get("__name__") {
				t.Fatalf("seed %d: the name of %v is %q", seed, lb.Labels(), l.name)
			}
		}
		_, state := openStore(t, t.TempDir())
		for page := range uint32(2000>>pageBits + 1) {
			var keys keysOf
			for slot := range uint32(pageLen) {
				if o, ok := places[page<<pageBits+slot]; ok {
					keys[slot].key, keys[slot].taken = o.key, true
				}
			}
			found, missing, err := identitiesOf(state, page, &keys, new([]byte), newer.pages[page], older.pages[page].snapshot())
			if err != nil || missing > 0 {
				t.Fatalf("seed %d: page %d: %d are missing, err %v", seed, page, missing, err)
			}
			for slot := range uint32(pageLen) {
				o, ok := places[page<<pageBits+slot]
				if !ok {
					if found[slot] != nil {
						t.Fatalf("seed %d: something is found at a place that nobody has", seed)
					}
					continue
				}
				got, err := decodeIdentity(found[slot][keyLen:])
				if err != nil || decodeKey(found[slot]) != o.key || got.Tenant != o.id.Tenant || !labels.Equal(got.Labels, o.id.Labels) {
					t.Fatalf("seed %d: %v of %q, want %v of %q, err %v", seed, got.Labels, got.Tenant, o.id.Labels, o.id.Tenant, err)
				}
			}
		}
	}
}

// Rule: damaged memory is an error, not a panic, and nothing is made of it that its length does not bound.
func FuzzMet(f *testing.F) {
	b := decodeV1(f, "t", nil, labels.FromStrings("__name__", "a", "b", "c"), labels.FromStrings("__name__", "a", "b", "d"))
	var x identityWriter
	var l labelsOf
	good := x.append(x.append(nil, 1, b, 0, &l), 2, b, 1, &l)
	f.Add(good)
	for cut := range good {
		f.Add(good[:cut])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = eachMet(b, func(m *met) {
			if m.slot >= pageLen || len(m.pairs) == 0 || len(m.pairs)%2 != 0 || len(m.pairs) > 2*(len(b)+samePairs) {
				t.Fatalf("slot %d, %d pairs of %d bytes", m.slot, len(m.pairs), len(b))
			}
			_ = m.appendIdentity(nil)
		})
	})
}
