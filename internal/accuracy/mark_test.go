package accuracy

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"pawl/pkg/correct"
)

// Prometheus' own increase() over what goes out with resets: mark is that over
// the raw values where restarts show in them, and the truth where they do not.
func TestPromQLSeesMarkedResets(t *testing.T) {
	const hours, step = 4, 15_000
	m := newMeter()
	for _, hidden := range []bool{false, true} {
		rng := rand.New(rand.NewPCG(11, 1))
		var raw, truth, out []Point
		var c correct.Counter
		var cs *correct.Case
		n, all, st, zeros := 5000.0, 0.0, int64(epochMS-1000), 0
		for k := range int64(hours*3600_000/step + 1) {
			at := epochMS + k*step
			grown := float64(10 + rng.IntN(20))
			if k > 30 && rng.IntN(80) == 0 {
				st = at - 5000
				if n = 0; hidden {
					grown += raw[len(raw)-1].V // a burst carries it past the last value
				}
			}
			n, all = n+grown, all+grown
			s := correct.Sample{T: at, V: n}
			if hidden {
				s.ST = st
			}
			raw, truth = append(raw, Point{T: at, V: n}), append(truth, Point{T: at, V: all})
			var o correct.Outcome
			cs, o = c.Apply(cs, correct.Policy{Resets: correct.MarkResets}, s)
			if o.Marked {
				out = append(out, Point{T: o.MarkT})
				zeros++
			}
			out = append(out, Point{T: at, V: o.V})
		}
		var views []map[int64]float64
		for _, points := range [][]Point{truth, raw, out} {
			inc, err := m.increases(context.Background(), points, hours)
			if err != nil || len(inc) != hours {
				t.Fatalf("%v: %v", inc, err)
			}
			views = append(views, inc)
		}
		off := 0.0
		for at, want := range views[0] {
			if got := views[2][at]; math.Abs(got-want) > rounding*want {
				t.Errorf("hidden %v: at %d increase() is %v, in truth %v", hidden, at, got, want)
			}
			off += math.Abs(views[1][at] - want)
		}
		if zeros == 0 || hidden != (off > 1000) {
			t.Errorf("hidden %v: %d resets, raw is off by %v: this shows nothing", hidden, zeros, off)
		}
	}
}
