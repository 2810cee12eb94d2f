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
		b := r.c.Append(nil, r.cs)
		var c correct.Counter
		cs, err := c.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		r.c, r.cs = c, cs
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
