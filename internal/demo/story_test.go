package demo

import (
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/common/model"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestTheSameSeedTellsTheSameStoriesAtAnyTime(t *testing.T) {
	const later = 26*time.Hour + 7*time.Minute // stories end at a whole minute
	a, b := storiesEndingAt(noon, 1), storiesEndingAt(noon.Add(later), 1)
	for i := range a {
		for s, se := range b[i].series {
			for k := range se.samples {
				se.samples[k].t -= later.Milliseconds()
			}
			if !reflect.DeepEqual(a[i].series[s].samples, se.samples) {
				t.Errorf("%s: %s differs", a[i].title, se.name())
			}
		}
		if a[i].truth != b[i].truth {
			t.Errorf("%s: truth %v and %v", a[i].title, a[i].truth, b[i].truth)
		}
	}
}

func TestStoriesLieInThePastInOrder(t *testing.T) {
	for _, st := range storiesEndingAt(noon, seed) {
		for _, se := range st.series {
			if len(se.samples) != len(st.series[0].samples) {
				t.Errorf("%s: %s is not scraped together with the others", st.title, se.name())
			}
			for k := 1; k < len(se.samples); k++ {
				if se.samples[k].t <= se.samples[k-1].t {
					t.Fatalf("%s: sample %d is not after the one before", st.title, k)
				}
			}
		}
		if _, end := st.span(); end > noon.UnixMilli() || end < noon.Add(-time.Minute).UnixMilli() {
			t.Errorf("%s ends at %d, not in the last minute", st.title, end)
		}
	}
}

func TestKernelPanicIsThePostMortemsTable(t *testing.T) {
	st := kernelPanic(noon)
	values := []float64{72929, 72929, 72930, 72930, 72932, 72932, 72933, 72932, 72932, 72932, 72932}
	spacing := []int64{0, 30_000, 30_000, 30_001, 30_000, 29_999, 30_000, 174_117, 30_009, 30_004, 29_989}
	got := st.series[0].samples
	for k := range values {
		if got[k].v != values[k] {
			t.Errorf("point %d is %v, want %v", k, got[k].v, values[k])
		}
		if k > 0 && got[k].t-got[k-1].t != spacing[k] {
			t.Errorf("point %d comes %d ms after the one before, want %d", k, got[k].t-got[k-1].t, spacing[k])
		}
	}
	if st.truth != 4 {
		t.Errorf("truth is %v: 72929 to 72933 is 4 requests", st.truth)
	}
}

// promQL and holding are two readings of a counter, written down apart from the
// engine: every drop is a restart, and every drop is nothing.
func promQL(s []sample) (sum float64) {
	for k := 1; k < len(s); k++ {
		if s[k].v < s[k-1].v {
			sum += s[k].v
		} else {
			sum += s[k].v - s[k-1].v
		}
	}
	return sum
}

func holding(s []sample) (sum float64) {
	for k := 1; k < len(s); k++ {
		sum += max(0, s[k].v-s[k-1].v)
	}
	return sum
}

func TestARecyclingHidesItsOwnStepAndNothingElse(t *testing.T) {
	for seed := range uint64(8) {
		st := recycledWorkers(noon, seed)
		got := st.series[0].samples
		if seen := holding(got); seen != st.truth-st.below {
			t.Errorf("seed %d: growth between recyclings is %v, the stated least is %v", seed, seen, st.truth-st.below)
		}
		if st.below <= 0 || st.below > 0.05*st.truth {
			t.Errorf("seed %d: %v of %v hidden: a pool like this recycles now and then, not never or always", seed, st.below, st.truth)
		}
		if raw := promQL(got); raw < 1.5*st.truth {
			t.Errorf("seed %d: PromQL sees %v of %v: nothing is broken here", seed, raw, st.truth)
		}
	}
}

func TestIOWaitComesBackFromEveryDip(t *testing.T) {
	for seed := range uint64(8) {
		st := dippingIOWait(noon, seed)
		s := st.series[0].samples
		top, dips := s[0].v, 0
		for k := 1; k < len(s); k++ {
			if s[k].v < s[k-1].v {
				dips++
			}
			top = max(top, s[k].v)
		}
		if top != s[len(s)-1].v {
			t.Errorf("seed %d: ends at %v, below its top %v", seed, s[len(s)-1].v, top)
		}
		if dips == 0 {
			t.Errorf("seed %d: no dip", seed)
		}
		// Each dip taken for a loss: the growth without the falls.
		if most := holding(s); most-(st.truth+st.above) > 1e-6 || (st.truth+st.above)-most > 1e-6 {
			t.Errorf("seed %d: with every dip taken for a loss it grew %v, the stated most is %v", seed, most, st.truth+st.above)
		}
		if got := s[len(s)-1].v - s[0].v; got-st.truth > 1e-6 || st.truth-got > 1e-6 {
			t.Errorf("seed %d: grew %v, truth says %v", seed, got, st.truth)
		}
	}
}

func TestPromQLIsRightAboutARealRestart(t *testing.T) {
	for seed := range uint64(8) {
		st := plainRestart(noon, seed)
		if got := promQL(st.series[0].samples); got != st.truth {
			t.Errorf("seed %d: PromQL counts %v, truth is %v", seed, got, st.truth)
		}
		if holding(st.series[0].samples) == st.truth {
			t.Errorf("seed %d: nothing restarted", seed)
		}
	}
}

func TestTheHealthyCounterIsHealthyAndTheGaugeIsNone(t *testing.T) {
	for _, se := range healthy(noon, seed).series {
		falls := promQL(se.samples) != holding(se.samples)
		if wantFalls := se.typ == model.MetricTypeGauge; falls != wantFalls {
			t.Errorf("%s falls: %v, want %v", se.name(), falls, wantFalls)
		}
	}
}
