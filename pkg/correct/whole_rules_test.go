package correct_test

import (
	"testing"

	"pawl/pkg/correct"
)

// What a scrape read too much and the next one takes back is no loss: nothing
// is put back for it, and raw catches up with what went out.
func TestOverReadOfAHistogramIsHeld(t *testing.T) {
	s := newStory(t, correct.Policy{})
	s.warm(40, 400, 200, 120, 80, 40)
	s.scrape(490, 245, 147, 98, 49)
	s.scrape(420, 210, 126, 84, 42)
	s.want(490, 245, 147, 98, 49)
	for _, c := range s.pl.log {
		if c.Kind != correct.KindJitter || c.Amount != 0 || c.Pending {
			t.Errorf("correction %+v, want a dip that changes no offset", c)
		}
	}
	s.scrape(500, 250, 150, 100, 50)
	s.want(500, 250, 150, 100, 50)
}

func TestOverReadOfANativeHistogramIsHeld(t *testing.T) {
	r := nativeCounting(t, correct.Policy{}, 400, 10, 40)
	r.next(flat(490, 490, 490)).want(flat(490, 490, 490))
	r.next(flat(420, 420, 420)).want(flat(490, 490, 490), correct.KindJitter)
	if r.cs[0].Pending || r.cs[0].Amount != 0 {
		t.Errorf("correction %+v, want one that changes no offset", r.cs[0])
	}
	r.next(flat(500, 500, 500)).want(flat(500, 500, 500))
}

// The densities of both kinds speak: a total that fell to what a burst could
// have made, in the very shares and with the very counts there were before, is what is left after a loss.
func TestDensitiesOfANativeHistogramSpeak(t *testing.T) {
	r := nativeCounting(t, correct.Policy{}, 4000, 10, 400)
	r.next(flat(3000, 3000, 3000))
	for _, e := range r.cs[0].Evidence {
		if e.Test == "likeness" || e.Test == "siblings" {
			return
		}
	}
	t.Errorf("evidence %+v says nothing of the buckets", r.cs[0].Evidence)
}
