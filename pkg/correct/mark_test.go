package correct_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"

	"pawl/pkg/correct"

	"pgregory.net/rapid"
)

var marking = correct.Policy{Resets: correct.MarkResets}

// markVector is one series of testdata/vectors/mark.json; its "about" explains the keys.
type markVector struct {
	vector
	Out   []any
	Zeros []*int64
}

func TestMarkVectors(t *testing.T) {
	text, err := os.ReadFile("../../testdata/vectors/mark.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []markVector }
	if err := json.Unmarshal(text, &file); err != nil || len(file.Vectors) == 0 {
		t.Fatalf("%d vectors, %v", len(file.Vectors), err)
	}
	for _, v := range file.Vectors {
		t.Run(v.ID, func(t *testing.T) {
			var c correct.Counter
			var cs *correct.Case
			warm, raw := v.samples(t)
			for _, s := range warm {
				cs, _ = feed(&c, cs, marking, s)
			}
			for i, s := range raw {
				var o correct.Outcome
				cs, o = feed(&c, cs, marking, s)
				want := v.value(t, v.Out[i])
				if o.V != want && math.Float64bits(o.V) != math.Float64bits(want) && (o.V == o.V || want == want) {
					t.Errorf("sample %d went out as %v, want %v; %+v", i, o.V, want, o.Corrections)
				}
				if z := v.Zeros[i]; o.Marked != (z != nil) || o.Marked && o.MarkT != *z {
					t.Errorf("sample %d: a 0 at %d: %v, want %v", i, o.MarkT, o.Marked, z)
				}
				if o.ST != s.ST && v.ID != "no-room-hidden" {
					t.Errorf("sample %d: start timestamp %d went out as %d", i, s.ST, o.ST)
				}
			}
		})
	}
}

// promIncrease is increase() without its extrapolation: every fall is a restart from 0.
type promIncrease struct {
	last, sum float64
	seen      bool
}

func (p *promIncrease) add(v float64) {
	switch {
	case v != v || math.IsInf(v, 0):
		return
	case p.seen && v >= p.last:
		p.sum += v - p.last
	case p.seen:
		p.sum += v
	}
	p.last, p.seen = v, true
}

// take is what an upstream does with a sample of a counter; it takes nothing that is out of order.
func (p *promIncrease) take(t rapid.TB, at *int64, o correct.Outcome, s correct.Sample) {
	if o.Drop || s.T <= *at { // a duplicate, or late
		return
	}
	if o.Marked {
		if o.MarkT <= *at || o.MarkT >= s.T {
			t.Fatalf("a 0 at %d, between %d and %d", o.MarkT, *at, s.T)
		}
		p.add(0)
	}
	p.add(o.V)
	*at = s.T
}

// Whatever becomes of resets, readers count the same: marked, through the falls that are
// seen, as folded, where there are none. (Only a fold can be revoked as a glitch; there is none in these traces.)
func TestMarkedAndFoldedCountTheSame(t *testing.T) {
	everyTrace(t, func(t rapid.TB, seed uint64) {
		var incs [2]promIncrease
		for i, p := range []correct.Policy{{}, marking} {
			var c correct.Counter
			var cs *correct.Case
			at := int64(math.MinInt64)
			for _, s := range obvious(seed) {
				var o correct.Outcome
				cs, o = feed(&c, cs, p, s)
				incs[i].take(t, &at, o, s)
				for _, x := range o.Corrections {
					if x.Kind == correct.KindGlitch {
						t.Fatalf("a glitch: %+v", x)
					}
				}
			}
		}
		if d := incs[0].sum - incs[1].sum; math.Abs(d) > 1e-9*incs[0].sum {
			t.Fatalf("folded %v, marked %v", incs[0].sum, incs[1].sum)
		}
	})
}

// playMarked sends frames, each as one request, and gives the zeros that go out before its parts.
func playMarked(frames [][]piece, p correct.Policy) (*player, map[pieceKey]int64) {
	pl := newPlayer(p)
	pl.zeros = map[pieceKey]int64{}
	for _, f := range frames {
		pl.together(f)
		pl.settle(true)
	}
	return pl, pl.zeros
}

// Invariant 2 by PromQL: with the falls that it sees, what every bucket counts
// between two timestamps is in order along le, and +Inf counts what _count does; all of it is what fold counts.
func TestMarkedHistogramsStayHistograms(t *testing.T) {
	marked, compared := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		f := faults{restart: true, recycle: true, marker: true, starts: rapid.Bool().Draw(t, "starts")}
		frames := closing(drawFrames(t, f))
		pl, zeros := playMarked(frames, marking)
		folded := playTogether(frames, correct.Policy{})
		marked += len(zeros)
		incs := map[pieceKey]*promIncrease{}
		last := map[pieceKey]int64{}
		for _, frame := range frames {
			before := map[pieceKey]float64{}
			for _, x := range frame {
				k := pieceKey{x.role, x.le, 0}
				if incs[k] == nil {
					incs[k] = &promIncrease{}
				}
				before[k] = incs[k].sum
				at := pieceKey{x.role, x.le, x.s.T}
				if z, ok := zeros[at]; ok {
					if z <= last[k] || z >= x.s.T {
						t.Fatalf("%v: a 0 at %d after %d", at, z, last[k])
					}
					incs[k].add(0)
				}
				incs[k].add(pl.out[at])
				last[k] = x.s.T
			}
			below := 0.0
			for _, le := range bounds {
				k := pieceKey{correct.RoleBucket, le, 0}
				grew := incs[k].sum - before[k]
				if grew < below {
					t.Fatalf("at %v: bucket %v counts %v, a lower one %v", frame[0].s.T, le, grew, below)
				}
				below = grew
			}
			if count := (pieceKey{correct.RoleCount, 0, 0}); incs[count].sum-before[count] != below {
				t.Fatalf("at %v: +Inf counts %v, _count %v", frame[0].s.T, below, incs[count].sum-before[count])
			}
		}
		if !sameVerdicts(pl.log, folded.log) {
			return
		}
		compared++
		first, end := frames[0], frames[len(frames)-1]
		for i, x := range end {
			if x.role == correct.RoleSum || math.IsNaN(first[i].s.V) {
				continue
			}
			k := pieceKey{x.role, x.le, 0}
			want := folded.out[pieceKey{x.role, x.le, x.s.T}] - folded.out[pieceKey{x.role, x.le, first[i].s.T}]
			if incs[k].sum != want {
				t.Fatalf("%v counts %v marked, %v folded", k, incs[k].sum, want)
			}
		}
	})
	if marked == 0 || compared < 10 {
		t.Errorf("%d parts were marked, %d traces compared", marked, compared)
	}
}

// sameVerdicts: what is counted of a histogram's buckets is evidence later on, and after a mark that is
// less; and only a fold can be revoked as a glitch. Totals are compared where the same was decided.
func sameVerdicts(a, b []correct.Correction) bool {
	return slices.EqualFunc(a, b, func(x, y correct.Correction) bool { return x.Kind == y.Kind && x.T == y.T && x.Settles == y.Settles })
}

func TestAHistogramsRestartMarksEveryPart(t *testing.T) {
	s := newStory(t, marking)
	s.pl.zeros = map[pieceKey]int64{}
	s.warm(30, 3000, 1500, 300, 30, 3)
	prev := s.at
	s.scrape(90, 50, 10, 1, 4) // the last density hides it
	s.want(90, 50, 10, 1, 4)
	if len(s.pl.zeros) != len(bounds)+2 {
		t.Errorf("zeros before %v, want one for each of %d parts", s.pl.zeros, len(bounds)+2)
	}
	for k, at := range s.pl.zeros {
		if at != prev+1 || k.t != s.at {
			t.Errorf("%v: a 0 at %d, want %d", k, at, prev+1)
		}
	}
	s.scrape(190, 100, 20, 2, 4)
	s.want(190, 100, 20, 2, 4) // no offset is left
}

// A part that had gone out before its siblings gave the restart away cannot be marked any more: the whole is folded.
func TestAHistogramOfWhichAPartIsGoneIsFolded(t *testing.T) {
	s := newStory(t, marking)
	s.pl.zeros = map[pieceKey]int64{}
	s.st = 1
	s.warm(30, 30, 20, 10, 5, 5)
	s.at += 15000
	parts := pieces(s.at, s.at-7000, []float64{1, 1, 1, 0, 80})
	parts[4].s.ST = 1 // +Inf has grown and says nothing of a restart: it goes out
	s.pl.send(parts[4])
	for i, x := range parts {
		if i != 4 {
			s.pl.send(x)
		}
	}
	s.pl.settle(true)
	if len(s.pl.zeros) != 0 {
		t.Errorf("some parts are marked and +Inf is not: %v", s.pl.zeros)
	}
	s.st = s.at - 7000
	s.scrape(2, 2, 2, 1, 81)
	s.want(32, 22, 12, 6, 86)
}

// A native histogram needs no 0: its hint says what its buckets do not show, on that sample alone.
func TestNativeResetsAreMarkedByTheirHint(t *testing.T) {
	r := nativeCounting(t, marking, 1000, 10, 30)
	r.next(flat(6, 0, 2)).want(flat(6, 0, 2), correct.KindReset)
	if r.chg {
		t.Error("a reset that every reader sees was changed")
	}
	r = &nativeRun{t: t, p: marking, at: 1_000_000, st: 900_000}
	for i := range 10 {
		r.next(flat(float64(i), 0, float64(i)))
	}
	before := r.out.Copy()
	r.st = r.at + 4000
	r.next(flat(9, 0, 12)).want(flat(9, 0, 12), correct.KindHiddenReset)
	if r.out.CounterResetHint != histogram.CounterReset || !r.out.DetectReset(before) || r.oST != r.st {
		t.Errorf("hint %v, start timestamp %d", r.out.CounterResetHint, r.oST)
	}
	if r.next(flat(10, 0, 13)).want(flat(10, 0, 13)); r.chg {
		t.Error("the sample after the reset was changed")
	}
}

// State saved and read back in the middle changes nothing: a 0 that must not go before a stale marker either.
func TestMarkedStateIsKept(t *testing.T) {
	for _, v := range []float64{math.Float64frombits(staleMarker), math.NaN()} {
		r := counting(t, marking, 1000, 10, 30)
		r.next(v)
		b := r.c.Append(nil, r.cs)
		var err error
		if r.cs, err = r.c.Decode(b); err != nil {
			t.Fatal(err)
		}
		if o := r.next(6); !o.Marked || o.MarkT != r.at-1 || o.V != 6 {
			t.Errorf("after %v: %+v", v, o)
		}
	}
}
