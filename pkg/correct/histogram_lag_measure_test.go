package correct_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"pawl/internal/accuracy"
	"pawl/pkg/correct"
)

// lagFrames are an hour of a pool whose workers recycle, and two scrapes at which nothing happens.
func lagFrames(seed uint64) (frames [][]piece, bounds []float64) {
	tr := accuracy.GunicornPool(seed, 1)[0]
	frame := func(at int64, f accuracy.Frame) (out []piece) {
		for k, le := range tr.Bounds {
			out = append(out, piece{correct.RoleBucket, le, correct.Sample{T: at, V: f.B[k]}})
		}
		return append(out, piece{correct.RoleSum, 0, correct.Sample{T: at, V: f.Sum}}, piece{correct.RoleCount, 0, correct.Sample{T: at, V: f.B[len(f.B)-1]}})
	}
	for _, f := range tr.Raw {
		frames = append(frames, frame(f.T, f))
	}
	last := tr.Raw[len(tr.Raw)-1]
	for k := range int64(2) {
		frames = append(frames, frame(last.T+15_000*(k+1), last))
	}
	return frames, tr.Bounds
}

// playLagging sends every part over a connection of its own, lag scrapes ahead
// of the slowest at most; with a lag, join_wait is over in one of a hundred turns.
func playLagging(r *rand.Rand, frames [][]piece, lag int) *player {
	pl, next := newPlayer(correct.Policy{}), make([]int, len(frames[0]))
	for {
		slowest := len(frames)
		for _, n := range next {
			slowest = min(slowest, n)
		}
		if slowest == len(frames) {
			pl.settle(true)
			return pl
		}
		k := r.IntN(len(next))
		if next[k] == len(frames) || next[k] > slowest+lag {
			continue
		}
		pl.send(frames[next[k]][k])
		next[k]++
		if lag > 0 && r.IntN(100) == 0 {
			pl.settle(true)
		}
	}
}

// odd counts the timestamps at which what went out is not cumulative in value or increase, or _count is not +Inf.
func (pl *player) odd(frames [][]piece, bounds []float64) (n int) {
	var last map[float64]float64
	for _, f := range frames {
		t, now, bent := f[0].s.T, map[float64]float64{}, false
		below, grew := 0.0, 0.0
		for _, le := range bounds {
			v := pl.out[pieceKey{correct.RoleBucket, le, t}]
			now[le] = v
			bent = bent || v < below || last != nil && v-last[le] < grew-1e-9
			below = v
			if last != nil {
				grew = v - last[le]
			}
		}
		if bent || below != pl.out[pieceKey{correct.RoleCount, 0, t}] {
			n++
		}
		last = now
	}
	return n
}

// Rule (DESIGN.md, invariant 1): however far apart the parts of a histogram come, each goes out once and moves
// forward only. While all parts of a scrape come before the next of any of them, totals do not depend on
// their order, and every timestamp is a histogram. What, further apart, totals and shape are off by is logged; docs/limits.md has the figures.
func TestLaggingPartsMoveForward(t *testing.T) {
	const seeds = 24
	for _, lag := range []int{0, 1, 2, 8, 20} {
		other, odd, all, worst, sum := 0, 0, 0, 0.0, 0.0
		for seed := range uint64(seeds) {
			frames, bounds := lagFrames(seed + 1)
			together := playTogether(frames, correct.Policy{})
			pl := playLagging(rand.New(rand.NewPCG(seed+1, uint64(lag))), frames, lag)
			for k := range frames[0] {
				last := math.Inf(-1)
				for _, f := range frames {
					v, ok := pl.out[pieceKey{f[k].role, f[k].le, f[k].s.T}]
					if !ok || v < last {
						t.Fatalf("seed %d, lag %d: %v went out as %v (%v), after %v", seed+1, lag, f[k], v, ok, last)
					}
					last = v
				}
			}
			end := pieceKey{correct.RoleCount, 0, frames[len(frames)-1][0].s.T}
			d := math.Abs(pl.out[end]-together.out[end]) / together.out[end]
			if d > 1e-9 {
				other++
			}
			sum += d
			worst = max(worst, d)
			odd += pl.odd(frames, bounds)
			all += len(frames)
		}
		if lag == 0 && (other > 0 || odd > 0) {
			t.Errorf("within a scrape: another total for %d of %d seeds, %d timestamps are no histogram", other, seeds, odd)
		}
		t.Logf("up to %d scrapes ahead, seeds 1 to %d: another total for %d of them, %.2g of it on average, %.2g at worst; %d of %d timestamps are no histogram",
			lag, seeds, other, sum/seeds, worst, odd, all)
	}
}
