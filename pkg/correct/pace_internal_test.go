package correct

import "testing"

// Rule: a counter that stood still, from its first sample on or for a day, has the pace of what it does since, be that rare or fast. A
// burst of what is usual otherwise does not become the pace.
func TestWhoStoodStillIsSeenToMove(t *testing.T) {
	for _, idle := range []int{0, 5, 10, 100, 6000} {
		for _, lead := range []int{0, 40} { // steps of its pace before that
			for _, every := range []int{1, 2, 5, 10} {
				for _, size := range []float64{0.01, 1, 1e6} {
					var c Counter
					now, v := int64(0), 0.0
					step := func(x float64) {
						now, v = now+15_000, v+x
						c, _ = applied(c, Sample{T: now, V: v})
					}
					step(0)
					for range lead {
						step(size)
					}
					for range idle {
						step(0)
					}
					for i := range 2 * paceWindow {
						if i%every == every-1 {
							step(size)
						} else {
							step(0)
						}
					}
					want := size / 15 / float64(every)
					if got := c.pace().rate; got < want/2 || got > 2*want {
						t.Errorf("idle for %d after %d steps, then %v every %d: the pace is %v/s, want %v/s", idle, lead, size, every, got, want)
					}
				}
			}
		}
	}
}

func applied(c Counter, s Sample) (Counter, Outcome) {
	_, out := c.Apply(nil, Policy{}, s)
	return c, out
}

// Rule: so a restart of such a counter is one: what it counted from 0 is added, as PromQL would, and not taken for what a loss left.
func TestWhoStoodStillMayRestart(t *testing.T) {
	for _, idle := range []int{1, 20, 6000} {
		var c Counter
		var cs *Case
		var out Outcome
		now := int64(0)
		scrape := func(v float64) {
			now += 15_000
			cs, out = c.Apply(cs, Policy{}, Sample{T: now, V: v})
		}
		for range idle {
			scrape(0)
		}
		for i := range 101 {
			scrape(float64(i / 10)) // an error now and then
		}
		now += 150_000
		for range 3 {
			scrape(1)
		}
		if want := 11.0; out.V != want {
			t.Errorf("idle for %d scrapes: %v went out, want %v", idle, out.V, want)
		}
	}
}
