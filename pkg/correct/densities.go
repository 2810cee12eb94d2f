package correct

import "math"

// place is one density of a histogram: what is in one bucket and in no lower one.
type place struct {
	top         float64 // before the drop that is asked about, if one is
	before, now float64
	share       float64 // of all growth that usually falls here
}

const (
	// composeOdds bounds what the shares of the densities say about a reset or a loss.
	composeOdds = 3
	// shareEvents of every density are assumed before any was seen.
	shareEvents = 0.5
	// likeOdds bounds what the densities' likeness to those before says against a reset.
	likeOdds = 8
	// likeEvents in sum are too few to be alike by more than chance.
	likeEvents = 10
	// likePool: neighbouring densities of which fewer events are expected on either side are counted together,
	// as for any chi-square: single events are alike or not by chance.
	likePool = 2
	// shareClip bounds what the shares of the densities say about a return.
	shareClip = 3
	// fallOdds: that a density falls once more, by chance at the very place of an old top, is unlikely.
	fallOdds = 4
)

func sums(list []place) (before, now float64) {
	for _, x := range list {
		before += x.before
		now += x.now
	}
	return before, now
}

// least is how many of its events are expected now or before, whichever are
// fewer, if both are in the same shares.
func (x place) least(now, before float64) float64 {
	all := x.now + x.before
	return all * min(now, before) / (now + before)
}

// compose compares the densities that are there now with the shares in which
// they come (a reset) and with those in which they were there (a loss).
func (w *whole[V]) compose(found *findings, list []place) {
	if len(list) < 2 || !w.s.pace.known {
		return
	}
	odds, fell := 0.0, 0.0
	before, _ := sums(list)
	for _, x := range list {
		if x.now < x.before {
			fell++
		}
		left := (x.before + shareEvents) / (before + shareEvents*float64(len(list)))
		odds += x.now * math.Log(x.share/left)
	}
	odds /= max(1, w.s.pace.unit)
	found.add(testVotes, clip(odds, -composeOdds, composeOdds), fell, float64(len(list)), 0)
}

// liken compares the densities that are there now with those before. After a
// reset both are counts of other observations in the same shares, and differ
// as such do: their chi-square has one degree of freedom less than there are
// densities. What is left after a loss are the same observations, and alike.
func (w *whole[V]) liken(found *findings, list []place) {
	before, now := sums(list)
	if len(list) < 2 || now < likeEvents || before < likeEvents || w.restarted() {
		return
	}
	ratio := math.Sqrt(now / before)
	square, free := 0.0, -1.0
	var pool place
	for k, x := range list {
		pool.now += x.now
		pool.before += x.before
		// Of what is left over too little for a pool of its own, nothing is known.
		if pool.least(now, before) < likePool || k == len(list)-1 && free < 0 {
			continue
		}
		d := pool.now/ratio - pool.before*ratio
		square += d * d / (pool.now + pool.before)
		free++
		pool = place{}
	}
	if free < 1 {
		return
	}
	// Wilson and Hilferty: the cube root is nearly normal. The usual chi-square is to say nothing.
	v := 2 / (9 * free)
	z := (math.Cbrt(square/free) - (1 - v)) / math.Sqrt(v)
	found.add(testLike, clip(math.Log(math.Erfc(-z/math.Sqrt2)), -likeOdds, 0), square, free, 0)
}

// composeReturn is what the densities add to the odds of a return: whether
// their growth since before the drop, or since the last sample, is in the
// usual shares, and in none negative.
func (w *whole[V]) composeReturn(d *wholeDebt[V]) float64 {
	list := w.places(d)
	if len(list) < 2 {
		return 0
	}
	var since, step multi
	low, falls := 0.0, 0.0
	for _, x := range list {
		since.add(max(0, x.now-x.top), x.share)
		step.add(max(0, x.now-x.before), x.share)
		low += max(0, x.top-x.now)
		falls += max(0, x.before-x.now)
	}
	odds := clip((since.log()-step.log())/max(1, w.s.pace.unit), -shareClip, shareClip)
	if falls > 0 {
		odds += fallOdds
	}
	if low > 0 && w.s.raw >= d.top {
		odds -= fallOdds // everything came back but for some density: no return
	}
	return odds
}

// multi adds up the logarithm of how likely events fall as they did, given the shares.
type multi struct{ l, n float64 }

func (m *multi) add(x, share float64) {
	m.n += x
	m.l += x*math.Log(share) - lgamma(x+1)
}

func (m *multi) log() float64 { return m.l + lgamma(m.n+1) }
