package correct

import "math"

// Counter is what is remembered of every counter: fixed size, no pointers.
// The zero value has never seen a sample.
type Counter struct {
	T   int64   // ms, of the last sample
	Raw float64 // its value
	ST  int64   // its start timestamp, 0 none

	before float64 // raw before the last step, against which an over-read is tried
	lastMS uint32  // length of the last step, ms, saturating

	// What steps are like, as sums over about the last paceWindow steps. They
	// serve odds, not values, so seven digits are plenty.
	sumDt  float32 // s
	sumX   float32 // growth
	sumSq  float32 // squared distance of the growth from the expected
	peak   float32 // highest pace, 1/s, fading
	median float32 // of the pace, 1/s, roughly
	n      uint8   // steps in the sums, at most paceWindow
	flags  uint8
	kin    kin // of a histogram's part
}

// kin is what only a part of a histogram has to remember and fits into the bytes that a Counter has anyway: with it a part is
// 80 bytes (see part). It stays when a part begins anew; nothing of a Counter reads it.
type kin struct {
	lower, upper uint16 // neighbours along le, an index plus 1, 0 none
	role         Role
	flags        uint8 // partPending and the others
}

const (
	flagSeen  = 1 << iota // a sample has been seen
	flagAway              // a stale marker came after the last sample
	flagCase              // a Case belongs to this counter
	flagOdd               // a value that no counter has came after the last sample
	knownFlag = flagSeen | flagAway | flagCase | flagOdd
)

const (
	// paceWindow is how many steps the pace looks back: at 15 s half an hour, long
	// enough that a counter of one event a minute has a pace, short enough to follow the day.
	paceWindow = 128
	// clipMedians: a step of more than so many medians is learned as if it were just that. Where
	// every fifth step is a jump back from a stale read, the spread would else hide them all.
	clipMedians = 3
	// medianShare is the share by which the median follows every step up or down.
	medianShare = 1.0 / 16
	// clipAfter steps the spread is known well enough to tell an outlier.
	clipAfter = 8
	// clipSigma: a step this many standard deviations above the expected is learned
	// as if it were just that, so that a burst or an over-read does not become the usual.
	clipSigma = 6
	// standstill: a step of so many times the expected is not clipped. Whoever stood still has no usual
	// step that it could be held against, and would never be seen to move.
	standstill = 1e4
	// gapFactor: a step longer than this many usual intervals means missed scrapes.
	gapFactor = 2.5
	// learnMax bounds what is learned, so that its square stays within float32.
	learnMax = 1e17
	// peakFade lets the peak fade to a third within an hour at 15 s.
	peakFade = 1 - 1.0/240
)

// Seen reports whether the counter has had a sample.
func (c *Counter) Seen() bool { return c.flags&flagSeen != 0 }

// Healthy applies s if it is an ordinary next sample of a counter without a
// Case: it grew or stood still, in order, and its start timestamp did not move.
// Then it goes out untouched. Otherwise nothing has changed and Apply decides.
func (c *Counter) Healthy(s Sample) bool {
	// NaN fails the first comparison, a negative value too since Raw is never negative.
	if !(s.V >= c.Raw) || s.T <= c.T || s.ST != c.ST || s.V > math.MaxFloat64 || c.flags&(flagSeen|flagCase) != flagSeen {
		return false
	}
	c.step(s.T, s.V, s.V-c.Raw, elapsed(c.T, s.T))
	return true
}

// step moves the counter on to (t, v) and learns x, its growth within dt seconds.
func (c *Counter) step(t int64, v, x, dt float64) {
	c.learn(x, dt)
	c.move(t, v)
}

// move makes (t, v) the last sample without learning from the way there.
func (c *Counter) move(t int64, v float64) {
	c.before = c.Raw
	c.lastMS = uint32(min(uint64(t)-uint64(c.T), math.MaxUint32))
	c.T, c.Raw = t, v
	c.flags &^= flagAway | flagOdd
}

// learn adds one step to what steps are like.
func (c *Counter) learn(growth, seconds float64) {
	x, dt := float32(min(growth, learnMax)), float32(min(seconds, learnMax))
	n := float32(c.n)
	if c.n >= 4 && dt*n > 3*c.sumDt {
		// Missed scrapes: keep the pace, but let neither count for more than three
		// intervals, so that one long silence does not become the usual interval.
		limit := 3 * c.sumDt / n
		x, dt = x*(limit/dt), limit
	}
	p := x / dt
	if p > c.peak {
		c.peak = p
	} else {
		c.peak *= peakFade
	}
	if c.n > 0 {
		m := c.sumX / c.sumDt * dt
		moved := x < standstill*m
		// Only where the median says something about the mean: rare events have a median of 0.
		if limit := clipMedians * c.median * dt; moved && x > limit && c.n > 1 && clipMedians*m < 2*limit {
			x = limit
		}
		e := x - m
		sq := e * e
		if moved && c.n >= clipAfter && e > 0 && sq*n > clipSigma*clipSigma*(c.sumSq+m*m) {
			sq = clipSigma * clipSigma * (c.sumSq + m*m) / n
			x = m + float32(math.Sqrt(float64(sq)))
		}
		c.sumSq += sq
	}
	switch {
	case c.n == 0 || c.median == 0:
		c.median = p
	case p > c.median:
		c.median += c.median * medianShare
	case p < c.median:
		c.median -= c.median * medianShare
	}
	if c.n >= paceWindow {
		const keep = 1 - 1.0/paceWindow
		c.sumDt *= keep
		c.sumX *= keep
		c.sumSq *= keep
	} else {
		c.n++
	}
	c.sumDt += dt
	c.sumX += x
}

// unlearned is the counter as if its last step, a growth by x within dt seconds, had not been learned.
// ok is false where nothing of what was learned before can be told apart from it.
func (c *Counter) unlearned(x, dt float64) (u Counter, ok bool) {
	u = *c
	u.n--
	n := float32(u.n)
	grown, took := float32(min(x, learnMax)), float32(min(dt, learnMax))
	u.sumDt = c.sumDt - took
	if n >= 4 && took*n > 3*u.sumDt {
		// A gap was learned as three intervals: what was there before times 1 + 3/n is there now.
		u.sumDt = c.sumDt / (1 + 3/n)
		limit := c.sumDt - u.sumDt
		grown, took = grown*(limit/took), limit
	}
	if !(u.sumDt > 0) {
		return u, false
	}
	// What was learned of it was clipped, at the most, to clipSigma of what is left.
	learned := min(grown, c.sumX)
	for range 2 {
		m := (c.sumX - learned) / u.sumDt * took
		e := learned - m
		left := max(c.sumSq-e*e, 0)
		if limit := clipSigma * clipSigma * (left + m*m) / n; e*e > limit {
			learned = min(m+float32(math.Sqrt(float64(limit))), c.sumX)
			e = learned - m
			left = max(c.sumSq-e*e, 0)
		}
		u.sumX, u.sumSq = c.sumX-learned, left
	}
	return u, true
}

// elapsed is the time between two timestamps in ms, in seconds. a < b.
func elapsed(a, b int64) float64 { return float64(uint64(b)-uint64(a)) / 1000 }
