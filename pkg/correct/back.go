package correct

import "math"

// Who restarts after it was away is scraped within an interval: had it been there any earlier, so would it have been
// seen. It can have counted no more than an interval brings, then, however long the gap. That the target was away, and not
// who scrapes it or sends, a stale marker says: a scraper writes it at the first scrape that fails, and none when it stops itself.
const (
	// backMarked of the restarts after a stale marker are within the last interval. The others are of targets that were not
	// looked for, as after a change of the scraper's configuration. (The evaluator: anything from 0.8 to 0.95 gives the same figures.)
	backMarked = 0.9
	// backUnmarked: without a marker it was mostly who scrapes. But samples with timestamps of their own have no markers, and
	// a node that goes down takes its scraper with it. Both this and latestShare were chosen on seeds set aside for it: docs/decisions/0022-what-is-lost-came-last.md.
	backUnmarked = 0.4
	// latestShare of the losses after a gap took nothing but what the last step had brought: Linux writes a page back when it
	// is half a minute old, and scrapes come as often. The others took what they took.
	latestShare = 0.25
)

// back is how likely a reset in the step was within its last interval, if there was one.
func (s *step) back() float64 { return backAfter(s.gap, s.away) }

// backAfter is that after a gap; marked: a stale marker was seen. Without a gap nothing is known.
func backAfter(gap, marked bool) float64 {
	switch {
	case marked:
		return backMarked
	case gap:
		return backUnmarked
	}
	return 0
}

// restarted is the logarithm of the density of a value v that has grown from 0 since any instant of the last dt
// seconds, at the usual pace or in a burst.
func (p pace) restarted(v, dt float64) float64 {
	return logSum(math.Log(1-burstWeight)+p.regrowth(v, dt), math.Log(burstWeight)+spread(v, p.unit, burstReach*(p.rate*dt+p.unit)))
}

// left is the logarithm of the density of a value d below prev after a loss: what was lost, less what came since
// it was there again, from any instant of the last dt seconds; 0: nothing came.
func (p pace) left(prev, d, dt float64) float64 {
	scale := max(p.rate*p.interval, p.unit)
	m := p.rate * dt
	if m <= scale*unitMin {
		return logSum(math.Log(anyShare)-math.Log(prev), math.Log(1-anyShare)+spread(d, scale, prev))
	}
	// The mean over what came, from 0 to m, but no more than there is, for no more than everything was lost.
	n := min(m, prev-d)
	share := anyShare * n / m / prev
	few := (1 - anyShare) * math.Log1p(n/(d+scale)) / m / math.Log1p(prev/scale)
	return math.Log(share + few)
}

// leftOfLatest is left after a gap, before which the last step had brought latest: of latestShare of the losses what was lost is any
// part of that, each as likely as any other. latest is 0 if it was not so, or is not known.
func (p pace) leftOfLatest(prev, d, latest, dt float64) float64 {
	other := math.Log(1-latestShare) + p.left(prev, d, dt)
	if latest < d {
		return other
	}
	// Anything up to latest was lost, and anything up to m came: both as likely as any other.
	m, most := p.rate*dt, latest+p.unit
	return logSum(other, math.Log(latestShare*min(1, (most-d)/m)/most))
}

// latest is what the counter's last step brought; 0: it is not known.
func (c *Counter) latest() float64 {
	if c.lastMS == 0 || c.n < 2 {
		return 0
	}
	return max(0, c.Raw-c.before)
}
