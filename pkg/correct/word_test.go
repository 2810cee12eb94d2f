package correct_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"pawl/pkg/correct"
)

// idle is a counter that stood at 1 for a long time.
func idle(t *testing.T) *run { return counting(t, correct.Policy{}, 1, 0, 40) }

func (r *run) tell(w correct.Word) { r.cs = r.c.Tell(r.cs, w) }

// A small counter that did not fall when its target restarted began again, too;
// told before its sample or after it, the values are the same.
func TestTheTargetsRestartShowsAHiddenReset(t *testing.T) {
	for _, before := range []bool{false, true} {
		r := idle(t)
		w := correct.Word{T: r.at + 15000, Fell: 9, Of: 10}
		if before {
			r.tell(w)
		}
		r.want(r.next(1), 1)
		if !before {
			r.tell(w)
		}
		at := r.at
		o := r.next(1)
		r.want(o, 2, correct.KindHiddenReset)
		if c := o.Corrections[0]; c.T != at || c.Amount != 1 || c.FalseIncrease != -1 || c.Evidence[0].Test != "target" {
			t.Errorf("correction %+v", c)
		}
		r.want(r.next(2), 3)
		r.want(r.feed(correct.Sample{T: at, V: 1}), 1) // once more, the same bits
	}
}

func TestTheTargetsRestartSaysNothingOfWhatCannotHaveBegunAgain(t *testing.T) {
	r := counting(t, correct.Policy{}, 1000, 10, 40)
	r.next(1010)
	r.tell(correct.Word{T: r.at, Fell: 9, Of: 10})
	r.want(r.next(1020), 1020)
}

func TestTheCountersOwnStartSaysMoreThanItsTarget(t *testing.T) {
	r := idle(t)
	r.st = 900_000
	r.next(1)
	r.next(1)
	r.tell(correct.Word{T: r.at, Fell: 9, Of: 10})
	r.want(r.next(1), 1)
}

func TestAWordThatComesTooLateIsNotHeard(t *testing.T) {
	r := idle(t)
	r.next(1)
	w := correct.Word{T: r.at, Fell: 9, Of: 10}
	r.next(1)
	r.tell(w)
	r.want(r.next(1), 1)
}

// Its own _created is believed of any counter, but not if it lies before the last sample.
func TestCreatedThatMovedShowsAHiddenReset(t *testing.T) {
	r := counting(t, correct.Policy{}, 1000, 10, 40)
	r.next(1600)
	r.tell(correct.Word{T: r.at, Start: r.at - 3000})
	r.want(r.next(1610), 2610, correct.KindHiddenReset)
	r = counting(t, correct.Policy{}, 1000, 10, 40)
	r.next(1600)
	r.tell(correct.Word{T: r.at, Start: r.at - 16000})
	r.want(r.next(1610), 1610)
}

// A fall to what looked like what is left after a loss was a restart with a burst.
func TestAWordTurnsALossIntoAReset(t *testing.T) {
	r := counting(t, correct.Policy{}, 1000, 10, 40)
	o := r.next(700)
	if !o.Corrections[0].Pending || o.V != 1000 {
		t.Fatalf("%+v", o)
	}
	r.tell(correct.Word{T: r.at, Start: r.at - 3000})
	o = r.next(710)
	if o.V != 1710 || o.Corrections[0].Kind != correct.KindReset {
		t.Errorf("%+v, want a reset", o)
	}
}

func TestTheTargetsRestartShowsAHistogramsHiddenReset(t *testing.T) {
	for _, before := range []bool{false, true} {
		s := newStory(t, correct.Policy{})
		for range 40 {
			s.scrape(0, 0, 0, 1, 0)
		}
		w := correct.Word{T: s.at + 15000, Fell: 9, Of: 10}
		if before {
			s.pl.h.Tell(w)
		}
		s.scrape(0, 0, 0, 1, 0)
		s.want(0, 0, 0, 1, 0)
		if !before {
			s.pl.h.Tell(w)
		}
		s.scrape(0, 0, 0, 1, 0)
		s.want(0, 0, 0, 2, 0)
		if k := s.kinds(); len(k) != 1 || k[0] != correct.KindHiddenReset {
			t.Errorf("corrections %+v", s.pl.log)
		}
		s.scrape(1, 0, 0, 1, 0)
		s.want(1, 0, 0, 2, 0)
		if s.pl.h.Waiting() {
			t.Error("still waits")
		}
	}
}

// Whether a word comes before the sample that it is about or after it changes
// no bit of what goes out, nor does saving and reading back with the word in the state;
// and values still only move forward.
func TestWordsMayComeInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		trace := wild(seed)
		play := func(order *rand.Rand) (out []uint64) {
			var c correct.Counter
			var cs *correct.Case
			which, highest, top := rand.New(rand.NewPCG(seed, 8)), int64(math.MinInt64), 0.0
			for _, s := range trace {
				var w correct.Word
				if which.IntN(10) == 0 {
					w = correct.Word{T: s.T, Fell: 3, Of: 4}
				}
				if which.IntN(20) == 0 {
					w = correct.Word{T: s.T, Start: s.T - which.Int64N(20000)}
				}
				newer := s.T > highest && s.V >= 0 && s.V <= math.MaxFloat64
				tell := func() {
					if w.T != 0 && newer {
						cs = c.Tell(cs, w)
					}
				}
				early := order.IntN(2) == 0
				if early {
					tell()
				}
				var o correct.Outcome
				if !c.Healthy(s) {
					cs, o = c.Apply(cs, correct.Policy{}, s)
				} else {
					o.V = s.V
				}
				if !early {
					tell()
				}
				if order.IntN(5) == 0 {
					b := c.Append(nil, cs)
					var err error
					if cs, err = c.Decode(b); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(b, c.Append(nil, cs)) {
						t.Fatal("another record")
					}
				}
				if newer && !o.Drop {
					if o.V < top {
						t.Fatalf("%v went out after %v", o.V, top)
					}
					highest, top = s.T, o.V
				}
				out = append(out, math.Float64bits(o.V))
			}
			return out
		}
		a := play(rand.New(rand.NewPCG(seed, 9)))
		for n := range uint64(3) {
			b := play(rand.New(rand.NewPCG(seed, 10+n)))
			for i := range a {
				if a[i] != b[i] {
					t.Fatalf("sample %d went out as %v and as %v", i, math.Float64frombits(a[i]), math.Float64frombits(b[i]))
				}
			}
		}
	})
}

// A histogram stays one when words come, early or late, and the values are the same.
func TestWordsToHistogramsMayComeInAnyOrder(t *testing.T) {
	f := allFaults
	f.missing, f.torn = false, false
	rapid.Check(t, func(t *rapid.T) {
		frames := drawFrames(t, f)
		told := map[int]correct.Word{}
		for i := range frames {
			at := frames[i][0].s.T
			switch rapid.IntRange(0, 12).Draw(t, "word") {
			case 0:
				told[i] = correct.Word{T: at, Fell: 3, Of: 4}
			case 1:
				told[i] = correct.Word{T: at, Start: at - 5000}
			}
		}
		play := func(early func(i int) bool) *player {
			pl := newPlayer(correct.Policy{})
			for i, f := range frames {
				if w := told[i]; w.T != 0 && early(i) {
					pl.h.Tell(w)
				}
				pl.together(f)
				pl.settle(true)
				if w := told[i]; w.T != 0 && !early(i) {
					pl.h.Tell(w)
				}
			}
			return pl
		}
		a := play(func(int) bool { return false })
		checkInvariants(t, frames, a)
		for k, v := range play(func(i int) bool { return i%2 == 0 }).out {
			if a.out[k] != v && v == v {
				t.Fatalf("%v went out as %v and as %v", k, a.out[k], v)
			}
		}
	})
}
