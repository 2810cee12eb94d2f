package correct_test

import (
	"testing"

	"pawl/pkg/correct"
)

// A lost state starts from 0, never from raw, and counts on from there.
func TestLostStateStartsFromZero(t *testing.T) {
	var c correct.Counter
	s := correct.Sample{T: 15_000, V: 500}
	cs, o := c.FromZero(nil, correct.Policy{}, correct.Sample{T: 1000, V: -1})
	if c.Seen() || cs != nil || o.V != -1 {
		t.Fatalf("%+v", o)
	}
	cs, o = c.FromZero(cs, correct.Policy{}, s)
	if o.V != 0 || len(o.Corrections) != 1 || o.Corrections[0].Kind != correct.KindLostState {
		t.Fatalf("%+v", o)
	}
	var again correct.Counter
	cs, err := again.Decode(c.Append(nil, cs))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{0, 10, 20, 20} {
		cs, o = again.Apply(cs, correct.Policy{}, s)
		if o.V != want {
			t.Errorf("sample %d went out as %v, want %v", i, o.V, want)
		}
		if s.T += 15_000; i < 2 {
			s.V += 10
		}
		if i == 0 {
			s.T = 30_000
		}
	}
}

func TestLostStateOfAHistogramStartsFromZeroWhole(t *testing.T) {
	s := newStory(t, correct.Policy{})
	for _, x := range pieces(0, 0, make([]float64, len(bounds))) {
		s.pl.h.FromZero(s.pl.h.Part(x.role, x.le))
	}
	h, err := correct.DecodeHistogram(s.pl.h.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	s.pl.h = *h
	s.scrape(5, 3, 2, 1, 1)
	s.want(0, 0, 0, 0, 0)
	for _, c := range s.pl.log {
		if c.Kind != correct.KindLostState {
			t.Errorf("%+v", c)
		}
	}
	s.scrape(6, 3, 4, 1, 2)
	s.want(1, 0, 2, 0, 1)
	s.scrape(0, 0, 0, 0, 0) // a restart goes on from what went out
	s.scrape(1, 0, 0, 0, 0)
	s.want(2, 0, 2, 0, 1)
}

// A part that comes later than its siblings finds its place between them.
func TestLostPartThatComesLater(t *testing.T) {
	s := newStory(t, correct.Policy{})
	parts := pieces(15000, 0, []float64{5, 3, 2, 1, 1})
	for _, x := range parts {
		s.pl.h.FromZero(s.pl.h.Part(x.role, x.le))
	}
	s.at = 15000
	s.pl.together(append(parts[:1:1], parts[2:]...)) // not le="0.5"
	for i := range 3 {
		n := float64(i + 1)
		s.scrape(5+n, 3, 2, 1, 1+n)
		below := 0.0
		for _, le := range bounds {
			v := s.bucket(le)
			if v < below {
				t.Errorf("bucket %v went out as %v, a lower one as %v", le, v, below)
			}
			below = v
		}
		if below != 2*n {
			t.Errorf("+Inf went out as %v, want %v", below, 2*n)
		}
	}
}

func TestLostStateOfANativeHistogramStartsFromZero(t *testing.T) {
	r := &nativeRun{t: t, at: 1_000_000}
	r.n.FromZero()
	r.next(flat(5, 3, 2)).want(flat(0, 0, 0), correct.KindLostState)
	n, err := correct.DecodeNative(r.n.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	r.n = *n
	r.next(flat(6, 3, 4)).want(flat(1, 0, 2))
	r.next(flat(6, 4, 4)).want(flat(1, 1, 2))
}
