package correct

import "math"

// bucket is one density with its bounds and what happened there.
type bucket struct {
	lower, upper float64
	before       float64
	gone, inc    float64 // what it lost, and what came
	put          float64 // of what came, what was put in for what a loss hid
	mean         float64 // of its observations, by means
}

// sumStep is what a _sum grew by from before to now: what it shows, plus what
// was lost and put in, within what the buckets allow for what came. negative: there are negative observations.
func sumStep(list []bucket, before, now float64, negative bool) float64 {
	sure := means(list, before)
	shown, came, fell, least, most, guess := now-before, 0.0, 0.0, 0.0, 0.0, 0.0
	for _, b := range list {
		shown += (b.gone + b.put) * b.mean
		fell += b.gone
		if b.inc > 0 {
			came += b.inc
			least += b.inc * b.lower
			most += b.inc * b.upper
			guess += b.inc * b.mean
		}
	}
	switch {
	case came == 0:
		return 0
	case fell == 0:
		return guess
	case sure:
		// What is seen to have come is no less for what is not known of the bounds.
		shown = clip(shown, least, max(most, now-before))
	}
	if !negative {
		shown = max(shown, 0)
	}
	return shown
}

// means estimates the mean of the observations in each bucket, such that they
// add up to the sum there was: as far between its bounds in each. It reports false when
// the sum is not within the bounds, which then say nothing.
func means(list []bucket, sum float64) (sure bool) {
	least, most, at, width := 0.0, 0.0, 0.0, 0.0
	for _, b := range list {
		if b.before > 0 {
			least += b.before * b.lower
			most += b.before * b.upper
		}
		lo, hi := finite(b.lower, b.upper)
		at += b.before * lo
		width += b.before * (hi - lo)
	}
	share := 0.0
	if width > 0 {
		share = clip((sum-at)/width, 0, 1)
	}
	left := max(0, sum-at-share*width)
	for k := range list {
		b := &list[k]
		// An open bucket's mean is at its finite end, or takes what is left.
		lo, hi := finite(b.lower, b.upper)
		b.mean = lo + share*(hi-lo)
		if math.IsInf(b.upper, 1) && b.before > 0 {
			b.mean += left / b.before
		}
	}
	return sum >= least && sum <= most
}

// finite puts the finite bound in the place of an infinite one.
func finite(lower, upper float64) (float64, float64) {
	switch {
	case math.IsInf(lower, -1):
		return upper, upper
	case math.IsInf(upper, 1):
		return lower, lower
	}
	return lower, upper
}
