package correct

import (
	"fmt"

	"github.com/prometheus/prometheus/model/histogram"
)

// nativeJudge decides about one sample of a native histogram: see whole.
type nativeJudge struct {
	whole[nativeOwed]
	n     *Native
	cs    *nativeCase // nil until there is something to enter
	t, st int64
	h     *histogram.FloatHistogram

	g         grid  // on which everything below is
	x0, x1    cells // raw before and now
	held      cells // what went out before, below which nothing goes
	heldCount float64
	sent      *histogram.FloatHistogram // what a reader compares with, where a full reset is passed
	off       cells                     // offset, as the judgement changes it
	noneFell  bool                      // fewer observations than before are in no bucket

	folded, passed, anew bool       // passed: a full reset goes out as it is; anew: an epoch with an offset begins
	turned               bool       // a drop before was decided at this sample to have been a full reset
	extra                []Evidence // from the layout and the hint, and the sum of their odds
	odds                 float64
}

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
		j.anew, j.lesson = true, lessonNone
		var why findings
		why.add(testNoise, 0, j.fell/j.s.prev, 0, 0)
		j.log = append(j.log, Correction{Kind: KindNoise, Evidence: why.words()})
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
	if j.cs = n.cs; j.cs != nil {
		j.book = &j.cs.book
	}
	j.s, j.c = n.c.stepTo(Sample{T: j.t, V: j.h.Count, ST: j.st}), &n.c
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
			regrid(&j.cs.debts[k], j.g)
		}
		regrid(&j.cs.fold, j.g)
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

func (j *nativeJudge) tell(test string, odds float64, text string) {
	j.extra = append(j.extra, Evidence{Test: test, LogOdds: odds, Text: text})
	j.odds += odds
}

func (j *nativeJudge) open() {
	j.cs = j.n.open()
	j.book = &j.cs.book
}

// noise: no bucket lost more than the last bits of a float sum.
func (j *nativeJudge) noise() bool {
	small := true
	each(j.x0, j.x1, func(_ int64, before, now float64) { small = small && lost(before, now) <= noiseShare*before })
	return small
}

func (j *nativeJudge) drop() {
	j.open()
	if j.s.raw >= j.s.prev && !j.restarted() && j.takeBack() {
		return
	}
	j.ageDebts()
	j.closeOpen()
	j.cs.fold = nativeDebt{}
	j.lesson = lessonNone
	j.enact(j.judgeFall())
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
		j.lesson = lessonNone
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
			j.lesson = lessonNone
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
		j.log = append(j.log, Correction{Kind: KindNoise, FalseIncrease: j.s.prev, Evidence: append(why.words(), Evidence{Test: "layout", Text: "a reader would see a reset in the other buckets; nothing fell on those that both have"})})
		j.anew = true
	case !j.g.same(j.cs.now().off.grid), j.noneFell:
		j.anew = true // the same offset, over what went out
	}
}

// judgeFall adds what hint and layout say.
func (j *nativeJudge) judgeFall() verdict {
	switch j.h.CounterResetHint {
	case histogram.CounterReset:
		j.tell("hint", hintOdds, "the sender's hint says that it was reset")
	case histogram.NotCounterReset:
		j.tell("hint", -hintOdds, "the sender's hint says that it was not reset")
	}
	return j.judgeDrop(findings{sum: j.odds}) // what was told is in words already
}
