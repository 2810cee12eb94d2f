package correct

import (
	"math"
	"testing"
)

// Rule: what is there after a loss is what it left and what has come since, which is anything up to what may come.
func TestWhatCameSinceALossIsPartOfWhatIsThere(t *testing.T) {
	p := pace{rate: 0.2, unit: 1, shape: 10, interval: 15, known: true}
	for _, x := range []struct{ prev, d, dt float64 }{{100, 2, 15}, {100, 2, 300}, {100, 60, 300}, {40, 1, 3000}, {5, 1, 0}} {
		// Added up one by one, for each of many instants from which on it may have counted.
		const instants = 200_000
		sum := 0.0
		for i := range instants {
			lost := x.d + p.rate*x.dt*(float64(i)+0.5)/instants
			if lost <= x.prev {
				sum += anyShare/x.prev + (1-anyShare)*math.Exp(spread(lost, max(p.rate*p.interval, p.unit), x.prev))
			}
		}
		if got, want := math.Exp(p.left(x.prev, x.d, x.dt)), sum/instants; math.Abs(got-want) > 1e-4*want {
			t.Errorf("%+v: %v, want %v", x, got, want)
		}
	}
}

// Rule: of what the last step brought a crash may have taken any part, and on top of what that left anything came that may. A fall by more than
// the last step brought is none of these losses.
func TestAnyPartOfTheLastStepMayBeLost(t *testing.T) {
	p := pace{rate: 0.2, unit: 1, shape: 10, interval: 15, known: true}
	for _, x := range []struct{ prev, d, latest, dt float64 }{{100, 2, 3, 15}, {100, 2, 40, 300}, {100, 60, 61, 300}, {40, 1, 1, 600}, {40, 3, 2, 15}} {
		// Added up one by one, for each of many amounts that came.
		const amounts = 200_000
		most, sum := x.latest+p.unit, 0.0
		for i := range amounts {
			if lost := x.d + p.rate*x.dt*(float64(i)+0.5)/amounts; lost <= most && x.d <= x.latest {
				sum += 1 / most / amounts
			}
		}
		want := latestShare*sum + (1-latestShare)*math.Exp(p.left(x.prev, x.d, x.dt))
		if got := math.Exp(p.leftOfLatest(x.prev, x.d, x.latest, x.dt)); math.Abs(got-want) > 1e-4*want {
			t.Errorf("%+v: %v, want %v", x, got, want)
		}
	}
}
