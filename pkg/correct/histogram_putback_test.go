package correct_test

import (
	"fmt"
	"strings"
	"testing"

	"pawl/pkg/correct"
)

// Rule: a histogram that a crash put back to before its last scrape but one has kept nothing of what the last one brought, in
// no bucket: all that is there beyond the scrape before it has come since. So it is after a gap, where some density shows how far
// back it went, by no more than a scrape brings; a fall that could be a worker's, or that shows only against the last scrape, tells nothing of the
// others. It is the same whichever part comes first.
func TestWhatComesAfterACrashIsCountedFromTheStateThatItLeft(t *testing.T) {
	before, last := []float64{200, 400, 400, 200, 100}, []float64{210, 420, 420, 210, 105}
	for name, c := range map[string]struct {
		after []float64
		away  int64 // ms
		want  float64
	}{
		"below the scrape before the last":                   {[]float64{195, 410, 390, 215, 100}, 120_000, 1365 + 10 + 15},
		"the same, and none is above the last":               {[]float64{195, 410, 390, 205, 100}, 120_000, 1365 + 10 + 5},
		"below the last scrape only":                         {[]float64{205, 425, 410, 215, 104}, 120_000, 1365 + 5 + 5},
		"without a gap":                                      {[]float64{195, 410, 390, 215, 100}, 15_000, 1365 + 5},
		"by more than a scrape brings, so one of a worker's": {[]float64{100, 410, 300, 215, 100}, 120_000, 1365 + 5},
	} {
		for first := range len(bounds) + 2 {
			t.Run(fmt.Sprintf("%s, part %d first", name, first), func(t *testing.T) {
				s := newStory(t, correct.Policy{})
				s.warm(20, before...)
				s.scrape(last...)
				s.at += c.away
				f := pieces(s.at, 0, c.after)
				f[0], f[first] = f[first], f[0]
				s.pl.together(f)
				s.pl.settle(true)
				if got := s.pl.out[pieceKey{correct.RoleCount, 0, s.at}]; got != c.want {
					t.Errorf("_count went out as %v, want %v", got, c.want)
				}
				told := strings.Contains(fmt.Sprint(s.pl.log), "nothing since then was kept")
				if want := c.want > 1375; told != want {
					t.Errorf("the log tells it: %v, want %v: %v", told, want, s.pl.log)
				}
			})
		}
	}
}
