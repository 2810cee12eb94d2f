package correct_test

import (
	"testing"

	"pawl/pkg/correct"
)

// bursting feeds a counter of one unit a second, up to 2000, a fall to first and then the rest, saved and read
// back after each, and gives what went out last.
func bursting(t *testing.T, first float64, rest ...float64) (out float64) {
	t.Helper()
	r := counting(t, correct.Policy{}, 2000, 15, 130)
	for _, v := range append([]float64{first}, rest...) {
		out = r.next(v).V
		r.c, r.cs = saved(t, r)
	}
	return out
}

// What is far too much to have come since a restart is what a loss left. When as much comes again
// and again, it was a restart with a burst after all.
func TestABurstThatGoesOnWasARestart(t *testing.T) {
	if out, want := bursting(t, 800, 1550, 2350, 3150), 2000.+3150; out != want {
		t.Errorf("a burst that goes on: %v, want %v", out, want)
	}
	if out, want := bursting(t, 800, 815, 830, 845), 2000.+45; out != want {
		t.Errorf("the usual growth: %v, want %v", out, want)
	}
	if out, want := bursting(t, 800, 1100, 1115, 1130), 2000.+330; out != want {
		t.Errorf("one step that is unusual, but no burst of the size there was first: %v, want %v", out, want)
	}
}

// A burst that passes the value before the restart within one scrape looks like the
// return from a dip, until it goes on.
func TestABurstPastTheOldValueWasARestart(t *testing.T) {
	if out, want := bursting(t, 1010, 2060, 3070, 4080), 2000.+4080; out != want {
		t.Errorf("a burst that goes on: %v, want %v", out, want)
	}
	if out, want := bursting(t, 1010, 2030, 2045, 2060), 2060.; out != want {
		t.Errorf("a return: %v, want %v", out, want)
	}
	if out, want := bursting(t, 1000, 1990, 2980, 3970), 2000.+3970; out != want {
		t.Errorf("a burst that goes on, and first ended just below the value before: %v, want %v", out, want)
	}
	if out, want := bursting(t, 1000, 1990, 2005, 2020), 2020.; out != want {
		t.Errorf("a return to just below the value before: %v, want %v", out, want)
	}
	native := func(after ...float64) float64 {
		r := nativeCounting(t, correct.Policy{}, 2000, 15, 130)
		for _, v := range after {
			r.next(flat(v, v, v))
		}
		return r.out.Count
	}
	if out, want := native(1010, 2060, 3070, 4080), 3*(2000.+4080); out != want {
		t.Errorf("a native histogram's: %v, want %v", out, want)
	}
	if out, want := native(1010, 2030, 2045, 2060), 3*2060.; out != want {
		t.Errorf("a native histogram's return: %v, want %v", out, want)
	}
}

// A step that was too large and a fall after it are an over-read only if the value is on the
// trend from before both. A second restart within a burst is none.
func TestAnOverReadEndsOnTheTrend(t *testing.T) {
	r, v := &run{t: t, at: 1_000_000}, 20000.
	for range 65 { // usually 30 or 270
		r.next(v + 30)
		v += 300
		r.next(v)
	}
	r.next(v + 3000)
	o := r.next(v + 1500)
	for _, c := range o.Corrections {
		for _, e := range c.Evidence {
			if e.Test == "over-read" {
				t.Errorf("%+v is taken for an over-read", c)
			}
		}
	}
}

// sums are what the log says of a trace, added up.
type sums struct{ amount, falsely float64 }

func (s *sums) add(cs []correct.Correction) {
	for _, c := range cs {
		s.amount += c.Amount
		s.falsely += c.FalseIncrease
	}
}

// Rule (DESIGN.md, invariant 6): however often a drop is revised - to a return, from that to a restart - what the log says of it adds up: the
// amounts to the offset, the false increases to what PromQL shows over raw more than over what went out.
func TestWhatTheLogSaysOfARevisedDropAddsUp(t *testing.T) {
	const scale = 3 // densities of a native histogram
	for name, after := range map[string][]float64{
		"a return":                            {1010, 2030, 2045, 2060},
		"a return that was a restart":         {1010, 2060, 3070, 4080},
		"a loss that was a restart":           {800, 1550, 2350, 3150},
		"a loss":                              {800, 815, 830, 845, 860, 875, 890, 905, 920, 935, 950, 965},
		"two drops, one return":               {1010, 1005, 2030, 2045, 2060},
		"two drops, and a restart":            {1010, 1005, 2060, 3070, 4080},
		"a restart within a burst":            {150, 140, 450, 750, 1050},
		"a shallow return that was a restart": {1000, 1990, 2980, 3970},
	} {
		shown, last := 0.0, 2000.0 // what PromQL shows over raw
		r, n, pl := counting(t, correct.Policy{}, 2000, 15, 130), nativeCounting(t, correct.Policy{}, 2000, 15, 130), newPlayer(correct.Policy{})
		at := int64(0)
		summary := func(v float64) {
			at += 15_000
			pl.together([]piece{{correct.RoleCount, 0, correct.Sample{T: at, V: v}}, {correct.RoleSum, 0, correct.Sample{T: at, V: v / 7}}})
			pl.settle(true)
		}
		for i := 130; i >= 0; i-- {
			summary(2000 - 15*float64(i))
		}
		var one, native, count sums
		var out float64
		for _, v := range after {
			if shown += v; v >= last {
				shown -= last
			}
			last = v
			o := r.next(v)
			out = o.V
			one.add(o.Corrections)
			n.next(flat(v, v, v))
			native.add(n.cs)
			summary(v)
		}
		count.add(pl.log)
		check := func(what string, got sums, out, raw, shown float64) {
			if want := (sums{out - raw, shown - (out - 2000*raw/last)}); got != want {
				t.Errorf("%s, %s: the log adds up to %v, want %v", name, what, got, want)
			}
		}
		check("counter", one, out, last, shown)
		check("native", native, n.out.Count, scale*last, scale*shown)
		check("summary", count, pl.out[pieceKey{correct.RoleCount, 0, at}], last, shown)
		if got := pl.out[pieceKey{correct.RoleCount, 0, at}]; got != out {
			t.Errorf("%s: a summary's _count went out as %v, a counter as %v", name, got, out)
		}
	}
}

// Shortly after a restart an unusual step and a fall after it are the burst and another restart, and no over-read: of histograms, too.
func TestABurstIsNoOverRead(t *testing.T) {
	n, s := nativeCounting(t, correct.Policy{}, 20_000, 150, 130), newStory(t, correct.Policy{})
	s.warm(130, 20_000, 20_000, 20_000, 20_000, 20_000)
	var log []correct.Correction
	for _, v := range []float64{100, 3100, 240, 3240, 6240} {
		n.next(flat(v, v, v))
		s.scrape(v+10, v-8, v+5, v-15, v+8) // as chance has it
		log = append(log, n.cs...)
	}
	for _, c := range append(log, s.pl.log...) {
		for _, e := range c.Evidence {
			if e.Test == "over-read" {
				t.Errorf("%+v is taken for an over-read", c)
			}
		}
	}
}

// saved is the state of r, saved and read back.
func saved(t *testing.T, r *run) (c correct.Counter, cs *correct.Case) {
	t.Helper()
	cs, err := c.Decode(r.c.Append(nil, r.cs))
	if err != nil {
		t.Fatal(err)
	}
	return c, cs
}
