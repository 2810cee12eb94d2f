package correct

import "math"

// action is what a verdict does to a counter.
type action uint8

const (
	actHold     action = iota // hold the last value until raw passes it, offset unchanged
	actFold                   // full reset: offset += prev
	actLoss                   // offset += drop, for good
	actDebt                   // the same, and may be revoked
	actAsk                    // the same, but whether it is not a full reset is open: look at the next sample
	actWrap                   // offset += 2^width
	actReanchor               // offset -= jump: the sender re-anchored
)

// verdict is the one type of decision, about a scalar counter now and about
// all parts of a histogram later.
type verdict struct {
	action action
	kind   Kind
	amount float64 // actWrap: 2^width
	base   float64 // log odds of a full reset, without the pace
	jitter float64 // log odds that it comes back
	found  findings
}

const (
	// clear: at odds of about twelve to one (the evaluator prefers it to more: every open drop holds its value over a scrape) a drop is decided at once.
	clearOdds = 2.5
	// usualOdds: a value within the usual growth from 0 costs at most one step when
	// judged wrongly, so it is folded on weaker evidence.
	usualOdds = -2
	// newOdds is the same while few steps are known.
	newOdds = 1
	// evenOdds: what is still this even after all is folded, as PromQL would.
	evenOdds = -1
	// noiseShare of its value may be lost by a float sum that is added up in another order.
	noiseShare = 1e-9
	// askSamples is how many samples an open drop is looked at before it is decided anyhow.
	askSamples = 2
)

// judgeDrop decides about a decrease.
func judgeDrop(s *step, c *Counter, cs *Case, p Policy) verdict {
	d := s.prev - s.raw
	var v verdict
	if d <= noiseShare*s.prev && !(s.st > s.prevT && s.st != s.t-1) {
		v.found.add(testNoise, 0, d/s.prev, 0, 0)
		v.action, v.kind = actHold, KindNoise
		return v
	}
	if width, ok := judgeWrap(s, p, &v.found); ok {
		v.action, v.kind, v.amount = actWrap, KindWrap, width
		return v
	}
	v.found, v.base = weighDrop(s, cs)
	fits := false
	if s.pace.known {
		mean, sigma := s.pace.usual(s.dt)
		fits = s.raw <= mean+usualSigma*sigma
	}
	v.decide(s, s, fits, c, cs, p)
	return v
}

// decide goes by the odds of a full reset that were found. fits: the value is within the usual growth from 0. came is the step as it
// came in; s is what the odds are of, which for a histogram's total has what its parts lost.
func (v *verdict) decide(s, came *step, fits bool, c *Counter, cs *Case, p Policy) {
	sum := v.found.sum
	switch {
	case sum >= clearOdds || fits && (sum > s.usualOdds() && c.n >= clipAfter || sum > newOdds):
		v.action, v.kind = actFold, KindReset
		return
	case p.Losses == Hold:
		v.found.add(testPolicy, 0, 0, 0, 0)
		v.action, v.kind = actHold, KindJitter
		return
	case p.Losses == Auto && !s.gap && !cs.bursting(s) && overRead(came, c, &v.found):
		v.action, v.kind = actHold, KindJitter
		return
	}
	v.jitter = weighDip(s, cs)
	v.kind = KindLoss
	switch {
	case sum > -clearOdds:
		v.action = actAsk
	case p.Losses == Restore || s.gap:
		v.action = actLoss
	default:
		v.action = actDebt
	}
	if v.action != actLoss && !s.gap && v.jitter > 0 {
		v.kind = KindJitter
	}
}

// judgeWrap tries the widths at which the counter may overflow.
func judgeWrap(s *step, p Policy, f *findings) (float64, bool) {
	for _, bits := range [...]int{32, int(p.Wrap)} {
		width := math.Ldexp(1, bits)
		if bits < 32 || s.prev > width || s.prev < width/2 || s.raw >= width/2 {
			continue
		}
		x := width - s.prev + s.raw
		mean, sigma := s.pace.usual(s.dt)
		// At an unknown pace only what is very near the edge.
		limit := width / 1024
		if s.pace.known {
			limit = min(mean+2*usualSigma*sigma, width/2)
		}
		if x <= limit && s.st == s.prevST {
			f.add(testWrap, 0, x, float64(bits), mean)
			return width, true
		}
	}
	return 0, false
}

const (
	// overReadSigma: the step before must have been this unusual to be an over-read.
	overReadSigma = 4
	// overReadOdds: both steps together must be this much likelier than each alone.
	overReadOdds = 2
)

// overRead reports whether the drop takes back what the step before had too
// much, so that raw is on the trend from before that step.
func overRead(s *step, c *Counter, f *findings) bool {
	x := s.prev - c.before
	back := s.raw - c.before
	if c.n < 4 || c.lastMS == 0 || back < 0 {
		return false
	}
	dt := float64(c.lastMS) / 1000
	without, ok := c.unlearned(x, dt)
	p := without.pace()
	mean, sigma := p.usual(dt)
	if !ok || !p.known || x < mean+overReadSigma*sigma {
		return false
	}
	if mean, sigma := p.usual(dt + s.dt); back > mean+usualSigma*sigma {
		return false // not on the trend either
	}
	odds := p.plain(back, dt+s.dt) - (p.step(x, dt) - math.Log(max(mean, p.unit)))
	if odds < overReadOdds {
		return false
	}
	c.sumDt, c.sumX, c.sumSq, c.n = without.sumDt, without.sumX, without.sumSq, without.n
	f.add(testOverRead, 0, x, s.raw-s.prev, dt+s.dt)
	return true
}

const (
	// spikeReach usual steps from 0 are no re-anchored spike but a burst.
	spikeReach = burstReach
)

// judgeRise decides whether a rise hides something: ok is false for an ordinary one.
func judgeRise(s *step, cs *Case) (v verdict, ok bool) {
	if s.st != 0 && s.st != s.prevST && s.prevST != 0 && s.st > s.prevT && s.st <= s.t {
		v.found.startTimestamp(s)
		if s.st != s.t-1 || plausible(s, s.raw) {
			v.action, v.kind = actFold, KindHiddenReset
			return v, true
		}
		if !plausible(s, s.raw-s.prev) {
			v.found.add(testRegrowth, 0, s.raw/s.dt, s.pace.rate, s.peak)
			v.action, v.kind = actReanchor, KindSpike
			return v, true
		}
		return v, false
	}
	if cs == nil || cs.resets < hiddenResets || !s.pace.known || s.st != 0 && s.st == s.prevST {
		return v, false
	}
	mean, sigma := s.pace.usual(s.dt)
	if s.raw > mean+sigma {
		return v, false
	}
	often := float64(cs.resets) / (float64(cs.seen) + 50)
	odds := math.Log(often) + s.pace.regrowth(s.raw, s.dt) - s.pace.step(s.raw-s.prev, s.dt)
	if odds < hiddenOdds {
		return v, false
	}
	v.found.add(testRegrowth, odds, s.raw/s.dt, s.pace.rate, s.peak)
	v.action, v.kind = actFold, KindHiddenReset
	return v, true
}

const (
	// hiddenResets: only a counter that restarts again and again is suspected of hidden ones.
	hiddenResets = 2
	// hiddenOdds that a short step of a young counter was a hidden reset.
	hiddenOdds = 1
)

// plausible: x may be a growth within the step, bursts allowed.
func plausible(s *step, x float64) bool {
	p := s.pace
	if !p.known {
		if s.prevST == 0 || s.prevST >= s.prevT {
			return true
		}
		// What it counted since it started is a pace, too.
		return x <= spikeReach*(s.prev/elapsed(s.prevST, s.prevT)*s.dt+1)
	}
	return x <= spikeReach*(p.rate*s.dt+p.unit)
}
