package correct

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
)

// twin is a histogram that shares, and one to which the same happens alone.
type twin struct {
	shares, alone *Histogram
	lag           []int64 // scrapes that have come, of each part
}

func newTwin(sh *Shared, r *rand.Rand) *twin {
	x := &twin{shares: &Histogram{}, alone: &Histogram{}}
	sh.Histogram(x.shares)
	if r.IntN(2) == 0 {
		x.each(func(h *Histogram) { h.Expect(r.IntN(2) == 0) })
		x.alone.young = x.shares.young
	}
	for range 1 + r.IntN(20) {
		x.grow(r)
	}
	return x
}

func (x *twin) each(do func(*Histogram)) { do(x.shares); do(x.alone) }

// grow adds a part, with one of a few bounds that others have too.
func (x *twin) grow(r *rand.Rand) {
	role, le := Role(r.IntN(8)), [...]float64{-1, 0, 0.005, 0.1, 1, 2.5, 1e6, math.Inf(1)}[r.IntN(8)]*float64(1+r.IntN(4))
	if role > RoleSum {
		role = RoleBucket
	}
	if le != le {
		return
	}
	x.each(func(h *Histogram) { h.Part(role, le) })
	for len(x.lag) < len(x.shares.parts) {
		x.lag = append(x.lag, 0)
	}
}

// live gives a random part its next sample: most are healthy, some parts run ahead, now and then one falls.
func (x *twin) live(r *rand.Rand) {
	i := r.IntN(len(x.lag))
	v := float64(x.lag[i]+1) * 10
	if r.IntN(50) == 0 {
		v = 1
	}
	x.lag[i]++
	s := Sample{T: x.lag[i] * 15_000, V: v}
	judge := r.IntN(30) == 0
	x.each(func(h *Histogram) {
		if !h.Healthy(i, s) {
			h.Offer(i, Policy{}, s, 1)
		}
		for h.Waiting() && (judge || h.Complete()) {
			h.Decide(Policy{})
		}
	})
	x.shares.Rest()
}

// Rule: what histograms share changes nothing about any of them, whatever the others do: each has at all times the state that it has alone.
func TestSharingChangesNothing(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 5))
		sh := &Shared{Unused: func(words []uint64) {
			for k := range words {
				words[k] = 0xdeadbeefdeadbeef
			}
		}}
		var all []*twin
		for n := range 20_000 {
			switch {
			case len(all) == 0 || len(all) < 60 && r.IntN(20) == 0:
				all = append(all, newTwin(sh, r))
			case r.IntN(200) == 0:
				k := r.IntN(len(all))
				all[k].shares.Release()
				all[k] = newTwin(sh, r)
			case r.IntN(100) == 0:
				all[r.IntN(len(all))].grow(r)
			case r.IntN(2000) == 0:
				sh.Trim()
			default:
				all[r.IntN(len(all))].live(r)
			}
			if n%500 != 0 {
				continue
			}
			for k, x := range all {
				if !bytes.Equal(x.shares.Append(nil), x.alone.Append(nil)) {
					t.Fatalf("seed %d, step %d: histogram %d is not what it is alone", seed, n, k)
				}
				again, err := sh.DecodeHistogram(x.shares.Append(nil))
				if err != nil || !bytes.Equal(again.Append(nil), x.alone.Append(nil)) {
					t.Fatalf("seed %d, step %d: histogram %d is not what it was before it was read: %v", seed, n, k, err)
				}
				again.Release()
			}
		}
		for _, x := range all {
			x.shares.Release()
		}
		if n := len(sh.bounds.places); n != 0 {
			t.Errorf("seed %d: %d bounds of no bucket are left", seed, n)
		}
		sh.Trim()
		for size, open := range sh.rows.open {
			if len(open) > 0 {
				t.Errorf("seed %d: %d pieces for rows of no histogram, of size %d", seed, len(open), size)
			}
		}
	}
}

// fleet are new histograms of n parts that share, each with its first sample.
func fleet(sh *Shared, many, n int) (all []*Histogram) {
	for range many {
		h := &Histogram{}
		sh.Histogram(h)
		h.Expect(false)
		for i := range n {
			h.Offer(h.Part(RoleBucket, float64(i)), Policy{}, Sample{T: 15_000, V: 1}, 0)
		}
		all = append(all, h)
	}
	return all
}

// Rule: once the parts of a histogram are known, they take exactly their room, and what one gives up the next one has.
func TestPartsTakeTheirRoom(t *testing.T) {
	sh := &Shared{}
	all := fleet(sh, 10, 15)
	for _, h := range all {
		h.Known()
		h.Rest()
		if len(h.parts) != 15 || cap(h.parts) != 15 {
			t.Fatalf("%d parts have room for %d", len(h.parts), cap(h.parts))
		}
	}
	first := &all[3].parts[0]
	all[3].Release()
	h := &Histogram{}
	sh.Histogram(h)
	h.Room(15)
	if h.Part(RoleCount, 0); &h.parts[0] != first {
		t.Error("room that was given up is not used again")
	}
	for i := range 65 { // one that is known grows seldom
		all[0].Part(RoleBucket, 100+float64(i))
		all[0].Rest()
	}
	if n := len(all[0].parts); n != 80 || cap(all[0].parts) > n+n/16 {
		t.Errorf("%d parts have room for %d", n, cap(all[0].parts))
	}
}

// Rule: what a fleet of new histograms has for its rows is given up when they are known, all but a little, and not when enough garbage has gathered.
func TestRowsOfAFleetAreGivenUpAtOnce(t *testing.T) {
	given := 0
	sh := &Shared{Unused: func([]uint64) { given++ }}
	all := fleet(sh, 5000, 15)
	for scrape := range int64(4) {
		for _, h := range all {
			for i := range h.parts {
				s := Sample{T: (scrape + 2) * 15_000, V: 1 + float64(scrape+1)*10}
				if !h.Healthy(i, s) {
					h.Offer(i, Policy{}, s, 0)
				}
			}
		}
	}
	for _, h := range all {
		for h.Waiting() && h.Complete() {
			h.Decide(Policy{})
		}
		if h.Rest(); h.ahead != nil {
			t.Fatal("it has rows still")
		}
	}
	if blocks := rowPieceWords / ((rowWords(15, aheadFirst) + rowUnit - 1) / rowUnit * rowUnit); given < 5000/blocks-idlePieces {
		t.Errorf("%d pieces of %d blocks were given up, of 5000 histograms", given, blocks)
	}
	if sh.rows.idle > idlePieces {
		t.Errorf("%d pieces are kept", sh.rows.idle)
	}
}
