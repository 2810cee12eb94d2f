package correct_test

import (
	"fmt"
	"strings"
	"testing"

	"pawl/pkg/correct"
)

// Rule: what a crash takes away is what came last. After a gap a fall that the last step before it can have brought is a loss where the
// same fall after a scrape that brought nothing is even, and so a restart.
func TestWhatIsLostCameLast(t *testing.T) {
	for name, c := range map[string]struct {
		scrapes int // one event in every fourth; seven in all
		want    float64
	}{
		"the last scrape brought it":      {29, 7},
		"the last scrape brought nothing": {31, 13},
	} {
		t.Run(name, func(t *testing.T) {
			r := &run{t: t, at: 1_000_000}
			for i := range c.scrapes {
				r.next(float64(i / 4))
			}
			r.at += 300_000
			for range 3 {
				r.next(6)
			}
			if o := r.next(6); o.V != c.want {
				t.Errorf("went out as %v, want %v", o.V, c.want)
			}
		})
	}
}

// Rule: of a histogram all that is gone may have come with the last step only if no density, and not its _sum, is less than it was
// before that. It is the same whichever part comes first.
func TestWhatIsLostCameLastInEveryDensity(t *testing.T) {
	before, last := []float64{200, 400, 400, 200, 100}, []float64{210, 420, 420, 210, 105}
	for name, c := range map[string]struct {
		after  []float64
		factor float64 // of the _sum
		want   string
	}{
		"of the last step":                {[]float64{205, 425, 410, 215, 104}, 1, "16 are gone, and the last step before the gap can have brought 65 of them"},
		"a density is below that":         {[]float64{195, 425, 410, 215, 104}, 1, "26 are gone, and the last step before the gap can have brought 0 of them"},
		"the _sum is below that":          {[]float64{205, 425, 410, 215, 104}, 0.5, "16 are gone, and the last step before the gap can have brought 0 of them"},
		"a density is what it was before": {[]float64{200, 425, 410, 215, 104}, 1, "21 are gone, and the last step before the gap can have brought 65 of them"},
	} {
		for first := range len(bounds) + 2 {
			t.Run(fmt.Sprintf("%s, part %d first", name, first), func(t *testing.T) {
				s := newStory(t, correct.Policy{})
				s.warm(20, before...)
				s.scrape(last...)
				s.at += 120_000
				f := pieces(s.at, 0, c.after)
				for i := range f {
					if f[i].role == correct.RoleSum {
						f[i].s.V *= c.factor
					}
				}
				f[0], f[first] = f[first], f[0]
				s.pl.together(f)
				s.pl.settle(true)
				if told := fmt.Sprint(s.pl.log); !strings.Contains(told, c.want) {
					t.Errorf("the log does not say %q: %v", c.want, told)
				}
			})
		}
	}
}
