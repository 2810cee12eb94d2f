package correct

import (
	"fmt"

	"github.com/prometheus/prometheus/model/histogram"
)

// nativeJudge decides about one sample of a native histogram. It follows the
// enactor of a scalar counter step by step, with the total count as the counter
// that is looked at, and with what the buckets add.
type nativeJudge struct {
	n     *Native
	cs    *nativeCase // nil until there is something to enter
	p     Policy
	t, st int64
	h     *histogram.FloatHistogram
	s     step // of the total

	g         grid  // on which everything below is
	x0, x1    cells // raw before and now
	held      cells // what went out before, below which nothing goes
	heldCount float64
	sent      *histogram.FloatHistogram // what a reader compares with, where a full reset is passed
	off       cells                     // offset, as the judgement changes it
	fell      float64
	noneFell  bool // fewer observations than before are in no bucket

	folded, passed, anew bool // passed: a full reset goes out as it is; anew: an epoch with an offset begins
	lesson               nativeLesson
	growth, since        float64 // what lessonReturned learns
	justFolded           bool
	extra                []Evidence // from the layout and the hint, and the sum of their odds
	odds                 float64
	log                  []Correction
}

// nativeLesson is what the total learns from the step.
type nativeLesson uint8

const (
	nativeOrdinary nativeLesson = iota
	nativeSuspect               // it says nothing about the usual growth
	nativeReturned              // growth since before the drop that was taken back
)

const (
	// layoutOdds: a histogram that shows more than before began anew; only a change of configuration does the same.
	layoutOdds = 3
	// hintOdds: on values that fall anyhow, a hint repeats what its sender saw in them.
	hintOdds = 0.5
)

func (j *nativeJudge) run() {
	j.prepare()
	told := j.h.CounterResetHint == histogram.CounterReset
	switch {
	case j.fell > 0 && j.noise() && !j.restarted() && !told:
		j.open()
		j.anew, j.lesson = true, nativeSuspect
		var why findings
		why.add(testNoise, 0, j.fell/j.s.prev, 0, 0)
		j.note(Correction{Kind: KindNoise, Evidence: why.words()})
	case j.fell > 0:
		j.drop()
	case told:
		j.open()
		j.tell("hint", startOdds, "the sender's hint says that it was reset")
		j.enact(verdict{action: actFold, kind: KindHiddenReset})
	default:
		j.rise()
		j.sumAlone()
	}
	j.settle()
}

// prepare puts all there is to compare on one grid.
func (j *nativeJudge) prepare() {
	n := j.n
	j.cs = n.cs
	j.s = n.c.stepTo(Sample{T: j.t, V: j.h.Count, ST: j.st})
	x0, x1 := cellsOf(&n.last), cellsOf(j.h)
	list := []*cells{&x0, &x1}
	var e *nativeEpoch
	if j.cs != nil && !j.cs.now().free {
		e = j.cs.now()
		list = append(list, &e.off, &e.floor)
	}
	j.g, _ = common(list...)
	j.x0, j.x1 = x0.on(j.g), x1.on(j.g)
	j.off = cells{grid: j.g}
	j.held, j.heldCount = j.x0, n.last.Count
	if e != nil {
		j.off = e.off.on(j.g)
		// On the grid it went out on: there the larger of two was taken bucket by bucket.
		j.held, j.heldCount = e.apply(x0, negative(&n.last))
		j.held = j.held.on(j.g)
		j.folded = e.folded
	}
	if j.cs != nil {
		for k := range j.cs.debts {
			j.cs.debts[k].on(j.g)
		}
		j.cs.fold.on(j.g)
	}
	each(j.x0, j.x1, func(at int64, before, now float64) {
		if at == cellNone {
			j.noneFell = now < before // no evidence of anything: it is known by rounding alone
			return
		}
		j.fell += lost(before, now)
	})
	if g := x1.grid; g.finer(x0.grid) {
		j.tell("layout", layoutOdds, fmt.Sprintf("has finer buckets than before: schema %d after %d, zero threshold %.3g after %.3g",
			g.schema, x0.grid.schema, g.zero, x0.grid.zero))
	}
}

// on keeps what a debt holds in step with the grid: it only ever gets coarser.
func (d *nativeDebt) on(g grid) {
	if d.age == 0 && len(d.amount.list)+len(d.before.list) == 0 {
		return
	}
	d.amount, d.before = d.amount.on(g), d.before.on(g)
}

func (j *nativeJudge) tell(test string, odds float64, text string) {
	j.extra = append(j.extra, Evidence{Test: test, LogOdds: odds, Text: text})
	j.odds += odds
}

func (j *nativeJudge) open() { j.cs = j.n.open() }

// noise: no bucket lost more than the last bits of a float sum.
func (j *nativeJudge) noise() bool {
	small := true
	each(j.x0, j.x1, func(_ int64, before, now float64) { small = small && lost(before, now) <= noiseShare*before })
	return small
}

// restarted: a start timestamp that no synthesis gives moved into the step.
func (j *nativeJudge) restarted() bool {
	s := &j.s
	return s.st != 0 && s.st != s.prevST && s.st > s.prevT && s.st <= s.t && s.st != s.t-1
}

func (j *nativeJudge) drop() {
	j.open()
	if j.s.raw >= j.s.prev && !j.restarted() && j.takeBack() {
		return
	}
	j.cs.fold = nativeDebt{}
	j.ageDebts()
	j.closeOpen()
	j.lesson = nativeSuspect
	j.enact(j.judgeDrop())
}

func (j *nativeJudge) rise() {
	var history *Case
	if j.cs != nil {
		history = &j.cs.history
	}
	v, ok := judgeRise(&j.s, history)
	if !ok && j.odds > 0 && j.h.CounterResetHint != histogram.NotCounterReset && (j.s.st == 0 || j.s.st != j.s.prevST) && plausible(&j.s, j.s.raw) {
		v, ok = verdict{action: actFold, kind: KindHiddenReset}, true
	}
	if ok {
		j.open()
		j.lesson = nativeSuspect
		j.enact(v)
		return
	}
	if j.cs != nil {
		j.justFolded = j.cs.fold.age == 1
		if j.revokeFold() || j.takeBack() {
			return
		}
		x, dt := j.s.raw-j.s.prev, j.s.dt
		suspect := j.suspect(x, dt)
		j.ageDebts()
		if j.askAgain(x, dt) || suspect {
			j.lesson = nativeSuspect
		}
	}
	j.layout()
}

// layout keeps the coarser buckets where a reader would take the finer ones, or
// a zero threshold that cuts a bucket, for a reset that there was not.
func (j *nativeJudge) layout() {
	switch {
	case j.cs == nil || j.cs.now().free:
		if !j.h.DetectReset(&j.n.last) {
			return
		}
		j.open()
		var why findings
		why.startTimestamp(&j.s)
		j.note(Correction{Kind: KindNoise, FalseIncrease: j.s.prev, Evidence: append(why.words(), Evidence{Test: "layout", Text: "a reader would see a reset in the other buckets; nothing fell on those that both have"})})
		j.anew = true
	case !j.g.same(j.cs.now().off.grid), j.noneFell:
		j.anew = true // the same offset, over what went out
	}
}

func (j *nativeJudge) suspect(x, dt float64) bool {
	c := &j.n.c
	if c.n < 2 || len(j.cs.debts) == 0 && !j.justFolded {
		return false
	}
	mean, sigma := j.s.pace.usual(dt)
	if median := float64(c.median) * dt; 2*median > mean {
		return x > suspectMedians*median
	}
	return x > mean+suspectSigma*sigma
}

// judgeDrop is the ladder of the scalar judgeDrop, on what the buckets lost in sum.
func (j *nativeJudge) judgeDrop() verdict {
	var v verdict
	s := j.s
	// Had nothing been lost, the total would be this much.
	s.prev = max(s.prev, s.raw+j.fell)
	v.found, v.base = weighDrop(&s, &j.cs.history)
	switch j.h.CounterResetHint {
	case histogram.CounterReset:
		j.tell("hint", hintOdds, "the sender's hint says that it was reset")
	case histogram.NotCounterReset:
		j.tell("hint", -hintOdds, "the sender's hint says that it was not reset")
	}
	v.found.sum += j.odds
	v.base += j.odds
	sum, fits := v.found.sum, false
	if s.pace.known {
		mean, sigma := s.pace.usual(s.dt)
		fits = s.raw <= mean+usualSigma*sigma
	}
	switch {
	case sum >= clearOdds || fits && (sum > usualOdds && j.n.c.n >= clipAfter || sum > newOdds):
		v.action, v.kind = actFold, KindReset
		return v
	case j.p.Losses == Hold:
		v.found.add(testPolicy, 0, 0, 0, 0)
		v.action, v.kind = actHold, KindJitter
		return v
	}
	v.jitter = weighDip(&s, &j.cs.history)
	v.kind = KindLoss
	switch {
	case sum > -clearOdds:
		v.action = actAsk
	case j.p.Losses == Restore || s.gap:
		v.action = actLoss
	default:
		v.action = actDebt
	}
	if v.action != actLoss && !s.gap && v.jitter > 0 {
		v.kind = KindJitter
	}
	return v
}
