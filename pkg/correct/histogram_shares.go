package correct

import "math"

const (
	// composeOdds bounds what the shares of the densities say about a reset or a loss.
	composeOdds = 3
	// shareEvents of every density are assumed before any was seen.
	shareEvents = 0.5
)

// compose compares the densities that are there now with the shares in which
// they come (a reset) and with those in which they were there (a loss).
func (e *histJudge) compose(found *findings) {
	f := e.f
	last := len(f.chain) - 1
	if last < 1 || !e.s.pace.known {
		return
	}
	odds, fell := 0.0, 0.0
	share := e.shares()
	for k := range f.chain {
		now, before := density(f.cur, k), density(f.prev, k)
		if now < before {
			fell++
		}
		left := (before + shareEvents) / (f.prev[last] + shareEvents*float64(last+1))
		odds += now * math.Log(share[k]/left)
	}
	odds /= max(1, e.s.pace.unit)
	found.add(testVotes, clip(odds, -composeOdds, composeOdds), fell, float64(last+1), 0)
}

const (
	// likeOdds bounds what the densities' likeness to those before says against a reset.
	likeOdds = 8
	// likeEvents in sum are too few to be alike by more than chance.
	likeEvents = 10
)

// liken compares the densities that are there now with those before. After a
// reset both are counts of other observations in the same shares, and differ
// as such do: their chi-square has one degree of freedom less than there are
// densities. What is left after a loss are the same observations, and alike.
func (e *histJudge) liken(found *findings) {
	f := e.f
	last := len(f.chain) - 1
	if last < 1 || f.cur[last] < likeEvents || f.prev[last] < likeEvents || e.restarted() {
		return
	}
	ratio := math.Sqrt(f.cur[last] / f.prev[last])
	square, free := 0.0, -1.0
	for k := range f.chain {
		now, before := density(f.cur, k), density(f.prev, k)
		if now+before <= 0 {
			continue
		}
		d := now/ratio - before*ratio
		square += d * d / (now + before)
		free++
	}
	if free < 1 {
		return
	}
	// Wilson and Hilferty: the cube root is nearly normal. The usual chi-square is to say nothing.
	v := 2 / (9 * free)
	z := (math.Cbrt(square/free) - (1 - v)) / math.Sqrt(v)
	found.add(testLike, clip(math.Log(math.Erfc(-z/math.Sqrt2)), -likeOdds, 0), square, free, 0)
}

// shares are those in which the densities come: those of everything that has
// been counted, through all resets. Within the first life of a histogram they
// are those before the drop, and tell nothing.
func (e *histJudge) shares() []float64 {
	f := e.f
	out := make([]float64, len(f.chain))
	sum := f.tgt[len(f.chain)-1] + shareEvents*float64(len(f.chain))
	for k := range f.chain {
		out[k] = (density(f.tgt, k) + shareEvents) / sum
	}
	return out
}
