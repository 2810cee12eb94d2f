package correct_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"pawl/pkg/correct"
)

// Rule (DESIGN.md, invariants 3, 5): a histogram that comes for the first time over four connections, eight scrapes of its parts in a
// request, and of which no parts are given up before all have come, gets the totals of joined delivery, and every timestamp is a histogram.
func TestFirstRequestsOfSeveralScrapesBreakNothing(t *testing.T) {
	const each = 8
	for seed := range uint64(60) {
		frames, bounds := lagFrames(seed + 1)
		together := playTogether(frames, correct.Policy{})
		r, pl := rand.New(rand.NewPCG(seed, 5)), newPlayer(correct.Policy{})
		pl.h.Expect(true)
		for next := [4]int{}; ; {
			slowest := min(next[0], next[1], next[2], next[3])
			if slowest == len(frames) {
				break
			}
			if slowest > 0 {
				pl.h.Known()
				pl.settle(false)
			}
			c := r.IntN(4)
			if next[c] == len(frames) || next[c] >= slowest+each {
				continue
			}
			end := min(next[c]+each, len(frames))
			for k := range frames[0] {
				for n := next[c]; n < end && k%4 == c; n++ {
					pl.send(frames[n][k])
				}
			}
			next[c] = end
			if r.IntN(3) == 0 { // saved and read back
				h, err := correct.DecodeHistogram(pl.h.Append(nil))
				if err != nil {
					t.Fatal(err)
				}
				pl.h = *h
			}
		}
		pl.settle(true)
		for _, x := range frames[len(frames)-1] {
			k := pieceKey{x.role, x.le, x.s.T}
			if a, b := pl.out[k], together.out[k]; math.Abs(a-b) > 1e-9*b {
				t.Errorf("seed %d: %v went out as %v, together as %v", seed+1, x, a, b)
			}
		}
		if n := pl.odd(frames, bounds); n > 0 {
			t.Errorf("seed %d: %d timestamps are no histogram", seed+1, n)
		}
	}
}

// Rule: a new histogram is waited for no longer than for three timestamps, or 63 where its sender brings several in a request,
// whatever befalls it: what comes over one connection faster than journal time goes out.
func TestANewHistogramIsNotWaitedForForever(t *testing.T) {
	for several, most := range map[bool]int{false: 3, true: 63} {
		for _, suspicious := range []bool{false, true} {
			pl := newPlayer(correct.Policy{})
			pl.h.Expect(several)
			for n := 1; n <= most; n++ {
				if n == most && !(pl.h.Waiting() && pl.h.Expecting()) {
					t.Fatalf("several %v: waits no more before there are %d", several, most)
				}
				v := float64(n)
				x := pieces(15_000*int64(n), 0, []float64{v, v, v, v, v})
				if suspicious && n == most-1 {
					x = pieces(15_000*int64(n), 0, []float64{v, v - 2, v, v, v})
				}
				pl.together(x)
			}
			v := float64(most + 1)
			pl.together(pieces(15_000*int64(most+1), 0, []float64{v, v, v, v, v}))
			if pl.settle(false); pl.h.Expecting() || pl.h.Waiting() && pl.h.Complete() || len(pl.out) != (most+1)*7 {
				t.Errorf("several %v, suspicious %v: %d of %d samples went out", several, suspicious, len(pl.out), (most+1)*7)
			}
		}
	}
}

// Rule: a sample that comes again while it is held goes out once, and takes no more room; so does a stale marker behind it.
func TestARepeatOfAHeldSampleIsNotHeldAgain(t *testing.T) {
	s := newStory(t, correct.Policy{})
	s.warm(40, 400, 200, 100, 80, 20)
	var held []piece
	for n := range int64(3) {
		f := pieces(s.at+15_000*(n+1), 0, []float64{300, 151, 76, 61, 16})
		held = append(held, f[1:]...) // the first part does not come
		held = append(held, piece{f[1].role, f[1].le, correct.Sample{T: s.at + 15_000*(n+1) + 1, V: math.Float64frombits(0x7ff0000000000002)}})
	}
	released := map[pieceKey]int{}
	for again := range 4 {
		before := len(s.pl.h.Append(nil))
		for _, x := range held {
			s.pl.tag++
			s.pl.key[s.pl.tag] = pieceKey{x.role, x.le, x.s.T}
			i := s.pl.h.Part(x.role, x.le)
			if s.pl.h.Healthy(i, x.s) {
				t.Fatalf("%v is healthy", x)
			}
			switch o, kept := s.pl.h.Offer(i, s.pl.p, x.s, s.pl.tag); {
			case again == 0 && !kept:
				t.Fatalf("%v was not held", x)
			case again > 0 && (kept || !o.Drop):
				t.Errorf("%v was held again", x)
			}
		}
		if after := len(s.pl.h.Append(nil)); again > 0 && after != before {
			t.Errorf("the record was %d bytes long, and is %d", before, after)
		}
	}
	for s.pl.h.Waiting() {
		for _, r := range s.pl.h.Decide(s.pl.p) {
			released[s.pl.key[r.Tag]]++
		}
	}
	for _, x := range held {
		if n := released[pieceKey{x.role, x.le, x.s.T}]; n != 1 {
			t.Errorf("%v went out %d times", x, n)
		}
	}
}

// Rule (DESIGN.md, invariant 3): while +Inf has not come, be it that its connection is slower or that it is never sent, the _count has
// its place above the highest bucket that has, in value and in growth, whether parts have run ahead or not.
func TestTheCountHasItsPlaceAboveTheBucketsWithoutInf(t *testing.T) {
	frame := func(n int, low, mid, all float64) map[pieceKey]piece {
		at, out := int64(15_000*n), map[pieceKey]piece{}
		for _, x := range []piece{{correct.RoleBucket, 1, correct.Sample{T: at, V: low}}, {correct.RoleBucket, 2, correct.Sample{T: at, V: mid}},
			{correct.RoleBucket, math.Inf(1), correct.Sample{T: at, V: all}}, {correct.RoleCount, 0, correct.Sample{T: at, V: all}}} {
			out[pieceKey{x.role, x.le, 0}] = x
		}
		return out
	}
	// A worker was replaced at the third: of what is above le=2 less is left than came below.
	frames := []map[pieceKey]piece{frame(1, 5, 20, 60), frame(2, 8, 30, 90), frame(3, 11, 42, 92), frame(4, 14, 52, 120)}
	low, mid := pieceKey{correct.RoleBucket, 1, 0}, pieceKey{correct.RoleBucket, 2, 0}
	inf, count := pieceKey{correct.RoleBucket, math.Inf(1), 0}, pieceKey{correct.RoleCount, 0, 0}
	for name, c := range map[string]struct {
		several bool
		order   []pieceKey // a connection each
		parts   []pieceKey
		each    int // scrapes in a request
	}{
		"new, the count's connection first": {true, []pieceKey{mid, count, low, inf}, []pieceKey{low, mid, inf, count}, 4},
		"new, the count comes first":        {true, []pieceKey{count, mid, low, inf}, []pieceKey{low, mid, inf, count}, 4},
		"never sent":                        {false, []pieceKey{low, mid, count}, []pieceKey{low, mid, count}, 1},
		"never sent, ahead":                 {false, []pieceKey{mid, count, low}, []pieceKey{low, mid, count}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			pl := newPlayer(correct.Policy{})
			if c.several {
				pl.h.Expect(true)
			}
			for at := 0; at < len(frames); at += c.each {
				for _, k := range c.order {
					for _, f := range frames[at : at+c.each] {
						pl.send(f[k])
					}
				}
			}
			pl.h.Known()
			pl.settle(true)
			for n := 1; n < len(frames); n++ {
				below, grew := 0.0, 0.0
				for _, k := range c.parts {
					k.t = int64(15_000 * (n + 1))
					v := pl.out[k]
					k.t -= 15_000
					if was := pl.out[k]; v < below || v-was < grew {
						t.Errorf("scrape %d: %v is %v after %v; below it %v, which grew by %v", n+1, k, v, was, below, grew)
					} else {
						below, grew = v, v-was
					}
				}
			}
		})
	}
}

// Rule (DESIGN.md, invariants 3, 5): a part whose first sample comes when its siblings have been judged without it is
// waited for from then on, as any other, however many scrapes behind it stays; it begins with the offset that was in force at its time, as
// what befell its siblings since is still to come for it. So every timestamp is a histogram, and totals are those of joined delivery, if
// nothing befell the histogram before all of it had come: what its siblings were judged by then was not the whole.
func TestAPartThatIsLateFromTheBeginningIsWaitedFor(t *testing.T) {
	tried := 0
	for seed := range uint64(40) {
		frames, bounds := lagFrames(seed + 1)
		behind := 4 + int(seed%8)
		if fell(frames[:behind+2], bounds) {
			continue
		}
		tried++
		together, pl := playTogether(frames, correct.Policy{}), newPlayer(correct.Policy{})
		pl.h.Expect(false)
		for n := 0; n < len(frames)+behind; n++ {
			for k := range frames[0] {
				if at := n - behind*(k%2); at >= 0 && at < len(frames) {
					pl.send(frames[at][k])
				}
			}
		}
		pl.settle(true)
		for _, x := range frames[len(frames)-1] {
			k := pieceKey{x.role, x.le, x.s.T}
			if a, b := pl.out[k], together.out[k]; math.Abs(a-b) > 1e-9*b {
				t.Errorf("seed %d: %v went out as %v, together as %v", seed+1, x, a, b)
			}
		}
		if n := pl.odd(frames, bounds); n > 0 {
			t.Errorf("seed %d: %d of %d timestamps are no histogram", seed+1, n, len(frames))
		}
	}
	if tried < 20 {
		t.Errorf("only %d of 40 pools were whole for so long", tried)
	}
}

// fell reports whether less was in any bucket, and in no lower one, than at the scrape before.
func fell(frames [][]piece, bounds []float64) bool {
	for n := 1; n < len(frames); n++ {
		below := 0.0
		for k := range bounds {
			grew := frames[n][k].s.V - frames[n-1][k].s.V
			if grew < below {
				return true
			}
			below = grew
		}
	}
	return false
}
