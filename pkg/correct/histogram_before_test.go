package correct_test

import (
	"testing"

	"pawl/pkg/correct"
)

// Rule: a histogram of rare events that is after a gap to the bit of its _sum what it was before its last step has lost
// that step; with the same counts and another _sum it was restarted, as PromQL takes it. So it is in whatever order the parts come.
func TestWhatIsAsItWasBeforeWasNotRestarted(t *testing.T) {
	one, two := []float64{1, 0, 0, 0, 0}, []float64{1, 0, 0, 1, 0}
	for _, c := range []struct {
		factor float64
		want   float64 // _count
	}{{0.37, 2}, {0.38, 3}} {
		for first := range len(bounds) + 2 {
			s := newStory(t, correct.Policy{})
			send := func(density []float64, factor float64) {
				f := pieces(s.at, 0, density)
				for i := range f {
					if f[i].role == correct.RoleSum {
						f[i].s.V *= factor
					}
				}
				f[0], f[first] = f[first], f[0]
				s.pl.together(f)
				s.pl.settle(true)
			}
			for range 20 {
				s.at += 15_000
				send(one, 0.37)
			}
			s.at += 15_000
			send(two, 0.37)
			s.at += 120_000
			send(one, c.factor)
			if got := s.pl.out[pieceKey{correct.RoleCount, 0, s.at}]; got != c.want {
				t.Errorf("sum times %v, part %d first: _count went out as %v, want %v", c.factor, first, got, c.want)
			}
		}
	}
}

// summed sends a scrape of these densities and this _sum, 15 s after the last.
func (s *story) summed(sum float64, density ...float64) {
	s.at += 15_000
	f := pieces(s.at, 0, density)
	for i := range f {
		if f[i].role == correct.RoleSum {
			f[i].s.V = sum
		}
	}
	s.pl.together(f)
	s.pl.settle(true)
}

// Rule: when the only observation of a histogram that restarts again and again is another one, smaller than it was, it
// restarted, though no bucket fell. Of one that never restarted two replicas may answer: nothing is added, however often it changes.
func TestAnotherObservationIsAHiddenRestart(t *testing.T) {
	one := []float64{0, 1, 0, 0, 0}
	total := func(s *story) float64 { return s.pl.out[pieceKey{correct.RoleCount, 0, s.at}] }

	s := newStory(t, correct.Policy{})
	for range 3 {
		for range 20 {
			s.summed(0.6, one...)
		}
		s.summed(0, 0, 0, 0, 0, 0)
	}
	for range 20 {
		s.summed(0.6, one...)
	}
	s.summed(0.55, one...)
	if got := total(s); got != 5 {
		t.Errorf("_count went out as %v, want 5", got)
	}
	if last := s.pl.log[len(s.pl.log)-1]; last.Kind != correct.KindHiddenReset {
		t.Errorf("the log says %v, want a hidden reset", last.Kind)
	}

	s = newStory(t, correct.Policy{})
	for k := range 100 {
		s.summed([]float64{0.6, 0.55}[k/3%2], one...)
	}
	if got := total(s); got != 1 {
		t.Errorf("two replicas: _count went out as %v, want 1", got)
	}
}

// Rule: when the _sum of a histogram that restarts again and again, and of which nothing was ever lost, falls and its counts do not, everything in
// it was counted anew, also if that is more than one observation.
func TestAllObservationsOfARestartAreCounted(t *testing.T) {
	s := newStory(t, correct.Policy{})
	for range 3 {
		for i := range 60 {
			switch {
			case i < 20:
				s.summed(0, 0, 0, 0, 0, 0)
			case i < 40:
				s.summed(0.6, 0, 0, 1, 0, 0)
			default:
				s.summed(1.3, 0, 0, 1, 1, 0)
			}
		}
	}
	for range 20 {
		s.summed(0.9, 0, 0, 1, 1, 0)
	}
	if got, want := s.pl.out[pieceKey{correct.RoleCount, 0, s.at}], 8.; got != want {
		t.Errorf("_count went out as %v, want %v", got, want)
	}
	if last := s.pl.log[len(s.pl.log)-1]; last.Kind != correct.KindHiddenReset {
		t.Errorf("the log says %v, want a hidden reset", last.Kind)
	}
}
