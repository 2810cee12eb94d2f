package correct

import (
	"fmt"
	"math"
)

// step is one sample against the one before it: what every test looks at.
type step struct {
	prev, raw  float64
	prevT, t   int64
	prevST, st int64
	dt         float64 // s
	gap        bool    // scrapes were missed in between, or a stale marker was seen
	away       bool    // a stale marker was seen
	pace       pace
	peak       float64 // 1/s
	densities  bool    // there are densities beside the total
	latest     float64 // what the step before brought, if all that is gone may be of it; else 0
}

func (c *Counter) stepTo(s Sample) step {
	st := step{prev: c.Raw, raw: s.V, prevT: c.T, t: s.T, prevST: c.ST, st: s.ST, dt: elapsed(c.T, s.T), pace: c.pace(), peak: float64(c.peak), latest: c.latest()}
	st.away = c.flags&flagAway != 0
	st.gap = st.away || (c.n > 1 && st.dt > gapFactor*st.pace.interval)
	return st
}

// usualOdds: after a gap the usual growth is more than a step. For a counter of rare events it is much of
// what it ever counted, so there what is the likelier decides.
func (s *step) usualOdds() float64 {
	if s.gap {
		return evenOdds
	}
	return usualOdds
}

// The tests, in the order in which the log shows them.
type test uint8

const (
	testStart test = iota
	testRegrowth
	testRatio
	testGap
	testZero
	testHistory
	testPrior
	testAfter
	testReturn
	testOverRead
	testNoise
	testWrap
	testPolicy
	testVotes  // of the siblings in a histogram or target; handed in from outside
	testLike   // of the densities of a histogram; handed in from outside
	testBefore // of a whole histogram
	testOne    // of its one observation
	testPutBack
	testReplica
	testCreated // of its own `_created`; handed in from outside
	testTarget  // of the rest of the target; handed in from outside
	testLatest
)

var testNames = [...]string{"start timestamp", "regrowth", "ratio", "gap", "zero", "history", "prior", "growth after", "return", "over-read", "noise", "wrap", "policy", "siblings", "likeness", "as before", "one observation", "put back", "failover", "created", "target", "latest"}

// finding is one test's evidence before it is put into words; x, y and z are its numbers.
type finding struct {
	test    test
	odds    float64
	x, y, z float64
}

// findings are what the tests found, without allocating.
type findings struct {
	list [11]finding
	n    int
	sum  float64
}

func (f *findings) add(t test, odds, x, y, z float64) {
	if f.n < len(f.list) {
		f.list[f.n] = finding{t, odds, x, y, z}
		f.n++
	}
	f.sum += odds
}

// join adds what others found.
func (f *findings) join(o *findings) {
	f.n += copy(f.list[f.n:], o.list[:o.n])
	f.sum += o.sum
}

func (f *findings) words() []Evidence {
	out := make([]Evidence, f.n)
	for i, w := range f.list[:f.n] {
		out[i] = Evidence{Test: testNames[w.test], LogOdds: w.odds, Text: w.text()}
	}
	return out
}

func (w finding) text() string {
	switch w.test {
	case testStart:
		return fmt.Sprintf("start timestamp was %.0f, is %.0f", w.x, w.y)
	case testRegrowth:
		return fmt.Sprintf("would need %.4g/s from zero, its usual pace is %.4g/s, its peak %.4g/s", w.x, w.y, w.z)
	case testRatio:
		return fmt.Sprintf("fell by %.3g %%, and its pace is not known yet", 100*w.x)
	case testGap:
		text := fmt.Sprintf("came %.4g s after the last sample, usually %.4g s", w.x, w.y)
		if w.z != 0 {
			text += ", and was gone in between"
		}
		return text
	case testZero:
		return "is exactly 0"
	case testHistory:
		return fmt.Sprintf("was reset %.3g times, lost or dipped %.3g times lately", w.x, w.y)
	case testPrior:
		return "what PromQL would do"
	case testAfter:
		return fmt.Sprintf("grew %.4g in %.4g s after the drop, usually %.4g", w.x, w.y, w.z)
	case testReturn:
		return fmt.Sprintf("jumped by %.4g, which is %.4g over the value before the drop, %.4g s ago", w.x, w.y, w.z)
	case testOverRead:
		return fmt.Sprintf("the step before was %.4g, this one %.4g, together %.4g s at the usual pace", w.x, w.y, w.z)
	case testNoise:
		return fmt.Sprintf("fell by %.3g of its value", w.x)
	case testWrap:
		return fmt.Sprintf("grew %.4g over 2^%.0f, usually %.4g", w.x, w.y, w.z)
	case testPolicy:
		return "the rule says so"
	case testLike:
		return fmt.Sprintf("the densities differ from those before by a chi-square of %.3g, usually by %.0f after a restart", w.x, w.y)
	case testBefore:
		return fmt.Sprintf("every part, the _sum of %v too, is to the bit what it was a scrape before the last", w.x)
	case testOne:
		return fmt.Sprintf("its observations added up to %v, and all there is adds up to %v", w.x, w.y)
	case testPutBack:
		return fmt.Sprintf("its densities are %.4g below what they were a scrape before the last, which usually brings %.4g in %.4g s: nothing since then was kept", w.x, w.y, w.z)
	case testReplica:
		return fmt.Sprintf("another replica was elected, and its first sample is %.4g behind, its usual step is %.4g", w.x, w.y)
	case testCreated:
		return fmt.Sprintf("its _created says that it began at %.0f ms", w.x)
	case testTarget:
		return fmt.Sprintf("of its target's series %.0f of %.0f fell that had to if it restarted", w.x, w.y)
	case testLatest:
		return fmt.Sprintf("%.4g are gone, and the last step before the gap can have brought %.4g of them", w.x, w.y)
	case testVotes:
		return fmt.Sprintf("%.0f of %.0f siblings fell", w.x, w.y)
	}
	return ""
}

const (
	// startOdds: the source itself says that it restarted, or that it did not. That decides, whatever the rate test and its history (regrowthMin and historyOdds) have against it.
	startOdds = 18
	// synthesisOdds: Prometheus' synthesis sets the start to t-1ms on any drop, so it says little.
	synthesisOdds = 0.5
	// zeroOdds: a restarted counter is often 0, what is left of a loss rarely.
	zeroOdds = 3
	// priorOdds favours what PromQL would do, so that nobody is worse off.
	priorOdds = 0.5
	// historyOdds bounds what the series did before.
	historyOdds = 3
	// burstWeight of all restarts are followed by a burst of up to burstReach times the usual pace.
	burstWeight = 0.25
	burstReach  = 30
	// anyShare of the losses take any share of the value, the rest a few steps.
	anyShare = 0.5
	// regrowthMax and regrowthMin bound the rate test: models end somewhere.
	regrowthMax, regrowthMin = 8, -12
	// ratioFold is MetricsQL's rule for a series without history: a drop by more than an eighth is a reset.
	ratioFold, ratioOdds = 1.0 / 8, 3
	// usualSigma: up to this many standard deviations over the usual growth a value needs no burst.
	usualSigma = 3
)

// weighDrop gathers the evidence for a full reset against a loss at a drop.
// base is the part that does not depend on the pace.
func weighDrop(s *step, cs *Case) (f findings, base float64) {
	f.startTimestamp(s)
	if s.gap {
		// To be away is as usual of what restarts as of a node that panics. What it says of the time to regrow is in regrowth.
		told := 0.0
		if s.away {
			told = 1
		}
		f.add(testGap, 0, s.dt, s.pace.interval, told)
	}
	if s.raw == 0 {
		f.add(testZero, zeroOdds, 0, 0, 0)
	}
	if cs != nil {
		bad := float64(cs.losses + cs.returns)
		odds := clip(math.Log((float64(cs.resets)+1)/(bad+1)), -historyOdds, historyOdds)
		f.add(testHistory, odds, float64(cs.resets), bad, 0)
	}
	f.add(testPrior, priorOdds, 0, 0, 0)
	base = f.sum
	f.regrowth(s.pace, s.back(), s.prev, s.raw, s.dt, s.peak, s.latest)
	return f, base
}

func (f *findings) startTimestamp(s *step) {
	if s.st == 0 {
		return
	}
	odds := 0.0
	switch {
	case s.st == s.prevST:
		odds = -startOdds
	case s.st == s.t-1:
		odds = synthesisOdds
	case s.st > s.prevT && s.st <= s.t && s.prevST != 0:
		odds = startOdds
	case s.st > s.prevT && s.st <= s.t:
		odds = startOdds / 2
	default:
		return
	}
	f.add(testStart, odds, float64(s.prevST), float64(s.st), 0)
}

// regrowth is the rate test: v from 0 against v left over from prev. back is how likely it is, if it was
// reset within the dt seconds, that this was within the last interval of them; latest is that of a step.
func (f *findings) regrowth(p pace, back, prev, v, dt, peak, latest float64) {
	d := prev - v
	if !p.known {
		f.add(testRatio, clip(2*math.Log(d/prev/ratioFold), -ratioOdds, ratioOdds), d/prev, 0, 0)
		return
	}
	reset := p.restarted(v, dt)
	if back <= 0 {
		f.add(testRegrowth, clip(reset-p.left(prev, d, 0), regrowthMin, regrowthMax), v/dt, p.rate, peak)
		return
	}
	up := min(p.interval, dt)
	either := func(all, last float64) float64 { return logSum(math.Log(1-back)+all, math.Log(back)+last) }
	reset = either(reset, p.restarted(v, up))
	odds := clip(reset-either(p.left(prev, d, dt), p.left(prev, d, up)), regrowthMin, regrowthMax)
	f.add(testRegrowth, odds, v/dt, p.rate, peak)
	loss := either(p.leftOfLatest(prev, d, latest, dt), p.leftOfLatest(prev, d, latest, up))
	f.add(testLatest, clip(reset-loss, regrowthMin, regrowthMax)-odds, d, latest, 0)
}

const (
	// burstLasts is how likely a burst after a restart still shows in the next step.
	burstLasts = 0.7
)

// weighAfter is the evidence of a growth x within dt after an undecided drop
// to v within dt0: a burst goes on, what is left after a loss grows as usual.
func weighAfter(p pace, v, dt0, x, dt float64) float64 {
	if x < 0 || v <= 0 {
		return 0
	}
	mean, sigma := p.usual(dt0)
	if v <= mean+usualSigma*sigma {
		return 0 // no burst was needed
	}
	burst := v / dt0 * dt
	usual := p.step(x, dt)
	after := -math.Log(x+p.unit) - math.Log(30) // a third to ten times the first pace
	if x < burst/3 {
		after += math.Log((3*x + p.unit) / (burst + p.unit))
	} else if x > burst*10 {
		after -= 3 * math.Log(x/burst/10)
	}
	return clip(logSum(math.Log(burstLasts)+after, math.Log(1-burstLasts)+usual)-usual, regrowthMin, regrowthMax)
}

const (
	// dipSteps: a dip that comes back was a few usual steps deep.
	dipSteps = 3
	// burstDipOdds: shortly after a restart another one is likelier than a dip. Where there are densities they tell a burst from a return
	// better (the evaluator: with this, flips of classic histograms at 1/s and less are 0.0025 off instead of 0.0019).
	burstDipOdds = 3
	// depthOdds bounds what the depth says about coming back.
	depthOdds = 3
	// returnPrior: whether a first drop comes back is as likely as not; a mild prior.
	returnPrior = 1
	lossPrior   = 0.5
	// returnHazard is how likely a dip ends with the next sample; interleaving sources stay longer.
	returnHazard, returnHazardInterleaved = 0.4, 0.25
	// shallowWeight of all returns land on another, shallower dip, once a counter is known to dip.
	shallowWeight, shallowFirst = 0.1, 0.01
)

// weighDip is the log odds that a drop comes back.
func weighDip(s *step, cs *Case) float64 {
	odds := 0.0
	if cs != nil {
		odds = math.Log((float64(cs.returns) + returnPrior) / (float64(cs.losses) + lossPrior))
	}
	if cs.bursting(s) && !s.densities {
		odds -= burstDipOdds
	}
	if !s.pace.known {
		return odds
	}
	d := s.prev - s.raw
	scale := max(s.pace.rate*s.pace.interval, s.pace.unit)
	dip := -math.Log(dipSteps*scale) - d/(dipSteps*scale)
	loss := logSum(math.Log(anyShare)-math.Log(s.prev), math.Log(1-anyShare)+spread(d, scale, s.prev))
	return odds + clip(dip-loss, -depthOdds, depthOdds)
}

// weighReturn is the log odds that the rise to s.raw takes the debt back: raw
// is on its old trend again, against an ordinary step from the lower level.
func weighReturn(s *step, d *debt, hazard float64, dips bool) float64 {
	p := s.pace
	shallow := shallowFirst
	if dips {
		shallow = shallowWeight
	}
	if !p.known {
		if s.raw >= d.top {
			return 1
		}
		return -1
	}
	since := elapsed(d.prev, s.t)
	g := s.raw - d.top
	scale := max(p.rate*p.interval, p.unit)
	back := math.Inf(-1)
	if g >= 0 {
		back = math.Log(1-shallow) + p.plain(g, since)
	}
	if mean := p.rate * since; g < mean && g > mean-dipSteps*scale {
		back = logSum(back, math.Log(shallow/(dipSteps*scale)))
	}
	back = logSum(back, math.Log(tailWeight)+p.tail(max(g, 0), since)+min(g, 0)/scale)
	now := logistic(d.jitter) * hazard
	return math.Log(now) + back - math.Log(1-now) - p.step(s.raw-s.prev, s.dt)
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func clip(x, lo, hi float64) float64 { return min(max(x, lo), hi) }
