package correct_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"pawl/internal/accuracy"
	"pawl/pkg/correct"
)

// crashFrames are a trace of crashes, stale markers included, and two scrapes at which nothing happens; whole are those without markers.
func crashFrames(tr accuracy.HistTrace) (frames, whole [][]piece) {
	add := func(at int64, f accuracy.Frame) {
		v := func(x float64) correct.Sample {
			if f.Stale {
				x = math.Float64frombits(staleMarker)
			}
			return correct.Sample{T: at, V: x}
		}
		var out []piece
		for k, le := range tr.Bounds {
			out = append(out, piece{correct.RoleBucket, le, v(f.B[k])})
		}
		out = append(out, piece{correct.RoleSum, 0, v(f.Sum)}, piece{correct.RoleCount, 0, v(f.B[len(f.B)-1])})
		if frames = append(frames, out); !f.Stale {
			whole = append(whole, out)
		}
	}
	var last accuracy.Frame
	for _, f := range tr.Raw {
		if add(f.T, f); !f.Stale {
			last = f
		}
	}
	end := tr.Raw[len(tr.Raw)-1].T
	add(end+15_000, last)
	add(end+30_000, last)
	return frames, whole
}

// Rule (DESIGN.md, invariants 3, 5; docs/decisions/0016, 0020): a histogram that loses increments in crashes, whose parts come several scrapes apart,
// gets the totals of joined delivery, and every timestamp is a histogram: also where parts had gone out before a
// sibling gave away that what was lost goes back further than to the last scrape.
func TestCrashesOfLaggingPartsBreakNothing(t *testing.T) {
	for _, seed := range []uint64{2, 3, 7, 11, 15, 17} {
		for _, tr := range accuracy.HistClasses()[0].Traces(seed, 10)[1:4] {
			frames, whole := crashFrames(tr)
			together := playTogether(frames, correct.Policy{})
			for _, lag := range []int{0, 4} {
				pl := playLagging(rand.New(rand.NewPCG(seed, uint64(lag))), frames, lag, 0)
				for _, x := range frames[len(frames)-1] {
					k := pieceKey{x.role, x.le, x.s.T}
					if a, b := pl.out[k], together.out[k]; math.Abs(a-b) > 1e-9*b {
						t.Errorf("seed %d, %s, up to %d scrapes ahead: %v went out as %v, together as %v", seed, tr.Name, lag, x, a, b)
					}
				}
				if n := pl.odd(whole, tr.Bounds); n > 0 {
					t.Errorf("seed %d, %s, up to %d scrapes ahead: %d of %d timestamps are no histogram", seed, tr.Name, lag, n, len(whole))
				}
			}
		}
	}
}
