package correct_test

import (
	"math"
	"testing"
)

// Rule: after a stale marker a restart has had no longer than an interval to count. What can have come from 0 only in all of the
// gap is what a loss left; what can have come at once is a restart.
func TestARestartAfterAMarkerHasHadNoTime(t *testing.T) {
	for name, c := range map[string]struct {
		marked bool
		v      float64
		want   float64
	}{
		"all of the gap would be needed, and it was not there":   {true, 5, 7},
		"all of the gap would be needed, and it may have been":   {false, 5, 12},
		"little would be needed, and it was not there":           {true, 1, 8},
		"little would be needed, and it may have been all along": {false, 1, 8},
	} {
		t.Run(name, func(t *testing.T) {
			r := &run{t: t, at: 1_000_000}
			for i := range 29 {
				r.next(float64(i / 4)) // one event a minute, seven in all
			}
			if c.marked {
				r.next(math.Float64frombits(staleMarker))
				r.at -= 15_000
			}
			r.at += 255_000
			for range 2 {
				r.next(c.v)
			}
			if o := r.next(c.v); o.V != c.want {
				t.Errorf("went out as %v, want %v", o.V, c.want)
			}
		})
	}
}
