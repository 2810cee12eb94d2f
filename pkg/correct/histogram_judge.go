package correct

import "math"

// histJudge decides about one frame of a histogram. It follows the enactor of
// a scalar counter step by step, with the total (+Inf or _count) as the counter
// that is looked at, and with what the densities add.
type histJudge struct {
	h *Histogram
	f *frame
	s step // of the total

	cs     *histCase
	p      Policy
	before []float64 // offsets before, by part
	change change
	free   bool // a visible full reset that goes out as it is
	lesson lesson
	taken  *histDebt // what lessonReturn is learned against
	owes   *debt     // what the change is entered as, nil if it is final
	log    []Correction
	hold   bool // the policy or the evidence holds what fell

	justFolded bool
}

// lesson is what the parts learn from the step.
type lesson uint8

const (
	lessonStep   lesson = iota // an ordinary step
	lessonNone                 // it says nothing about the usual growth
	lessonReturn               // growth since before the drop that was taken back
)

// histDebt is a drop of the whole that may still be taken back.
type histDebt struct {
	debt             // of the total
	parts []histOwed // by part
}

type histOwed struct {
	amount float64 // what it added to the offset
	top    float64 // raw before the drop
}

func (e *histJudge) run() {
	e.before = make([]float64, len(e.cs.parts))
	for i := range e.before {
		e.before[i] = e.cs.parts[i].off
	}
	if e.f.total() < 0 {
		return
	}
	e.s = e.totalStep()
	if e.cs.history.seen < math.MaxUint32 {
		e.cs.history.seen++
	}
	e.reanchor()
	switch {
	case e.f.noise && !e.restarted():
		var why findings
		why.add(testNoise, 0, e.f.fell/e.s.prev, 0, 0)
		e.log = append(e.log, Correction{Kind: KindNoise, Evidence: why.words()})
		e.hold = true
	case e.f.fell > 0:
		e.drop()
	default:
		e.rise()
	}
}

// totalStep is the step of the total, with the most telling start timestamp of all parts.
func (e *histJudge) totalStep() step {
	f := e.f
	i := f.total()
	p, seat, last := &e.h.parts[i], &f.seats[i], len(f.chain)-1
	s := step{prev: f.prev[last], raw: f.cur[last], prevT: seat.prevT, t: f.t, prevST: p.c.ST, st: seat.st, pace: p.c.pace(), peak: float64(p.c.peak)}
	s.dt = elapsed(s.prevT, s.t)
	away := p.c.flags&flagAway != 0
	if seat.gone {
		away = p.flags&partAway != 0
	}
	s.gap = away || p.c.n > 1 && s.dt > gapFactor*s.pace.interval
	for j := range f.seats {
		q := &f.seats[j]
		if !q.has || q.gone || q.st == 0 || q.fresh {
			continue
		}
		// One that moved says more than one that did not; a true one more than a synthesised one.
		if was := e.h.parts[j].c.ST; q.st != was && (s.st == s.prevST || s.st == f.t-1) && q.st > s.prevT && q.st <= f.t {
			s.prevST, s.st = was, q.st
		}
	}
	return s
}

// restarted: a start timestamp that no synthesis gives moved into the step.
func (e *histJudge) restarted() bool {
	return e.s.st != 0 && e.s.st != e.s.prevST && e.s.st > e.s.prevT && e.s.st < e.s.t-1
}

// reanchor takes parts that the sender re-anchored (Prometheus' synthesis of
// start timestamps: a lost increment arrives as a jump with a start at t-1ms)
// as if they had always been where they are now.
func (e *histJudge) reanchor() {
	f := e.f
	if e.restarted() {
		return
	}
	changed := false
	for k, i := range f.chain {
		q := &f.seats[i]
		p := &e.h.parts[i]
		if q.gone || q.st == 0 || q.st != f.t-1 || q.st == p.c.ST || q.cur <= q.prev {
			continue
		}
		s := step{prev: q.prev, raw: q.cur, prevT: q.prevT, t: q.held.T, prevST: p.c.ST, dt: elapsed(q.prevT, f.t), pace: p.c.pace()}
		if plausible(&s, q.cur-q.prev) || plausible(&s, q.cur) {
			continue
		}
		jump := q.cur - q.prev
		e.cs.parts[i].off -= jump
		f.off[k] -= jump
		q.prev, f.prev[k] = q.cur, q.cur
		changed = true
	}
	if !changed {
		return
	}
	for k := 1; k < len(f.prev); k++ {
		f.prev[k] = max(f.prev[k], f.prev[k-1])
	}
	f.fell, f.up, f.noise = 0, 0, false
	f.compare()
	var why findings
	why.startTimestamp(&e.s)
	e.log = append(e.log, Correction{Kind: KindSpike, Evidence: why.words()})
	e.s.prev = f.prev[len(f.prev)-1]
	e.s.st = e.s.prevST
	e.lesson, e.cs.folded = lessonNone, true
}

func (e *histJudge) drop() {
	if e.s.raw >= e.s.prev && !e.restarted() && e.takeBack() {
		return
	}
	e.cs.fold.age = 0
	e.ageDebts()
	e.closeOpen()
	e.enact(e.judgeDrop())
}

func (e *histJudge) rise() {
	if v, ok := judgeRise(&e.s, nil); ok && v.action == actFold && e.s.prev > 0 {
		e.enact(v)
		return
	}
	x, dt := e.s.raw-e.s.prev, e.s.dt
	e.justFolded = e.cs.fold.age == 1
	if e.revokeFold() || e.takeBack() {
		return
	}
	suspect := e.suspect(x, dt)
	e.ageDebts()
	if e.askAgain(x, dt) || suspect {
		e.lesson = lessonNone
	}
}

func (e *histJudge) suspect(x, dt float64) bool {
	c := &e.h.parts[e.f.total()].c
	if c.n < 2 || len(e.cs.debts) == 0 && !e.justFolded {
		return false
	}
	mean, sigma := e.s.pace.usual(dt)
	if median := float64(c.median) * dt; 2*median > mean {
		return x > suspectMedians*median
	}
	return x > mean+suspectSigma*sigma
}

// count is how many steps of the total are known.
func (e *histJudge) count() uint16 { return e.h.parts[e.f.total()].c.n }

// judgeDrop is the ladder of the scalar judgeDrop, on what the densities lost in sum.
func (e *histJudge) judgeDrop() verdict {
	var v verdict
	s := e.s
	// Had nothing been lost, the total would be this much.
	s.prev = max(s.prev, s.raw+e.f.fell)
	v.found, v.base = weighDrop(&s, &e.cs.history)
	e.compose(&v.found)
	e.liken(&v.found)
	sum, fits := v.found.sum, fits(s.pace, s.raw, s.dt)
	switch {
	case sum >= clearOdds || fits && (sum > usualOdds && e.count() >= clipAfter || sum > newOdds):
		v.action, v.kind = actFold, KindReset
		if e.s.raw >= e.s.prev {
			v.kind = KindHiddenReset
		}
		return v
	case e.p.Losses == Hold:
		v.found.add(testPolicy, 0, 0, 0, 0)
		v.action, v.kind = actHold, KindJitter
		return v
	}
	v.jitter = weighDip(&s, &e.cs.history)
	v.kind = KindLoss
	switch {
	case sum > -clearOdds:
		v.action = actAsk
	case e.p.Losses == Restore || s.gap:
		v.action = actLoss
	default:
		v.action = actDebt
	}
	if v.action != actLoss && !s.gap && v.jitter > 0 {
		v.kind = KindJitter
	}
	return v
}

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

// shares are those in which the densities come, learned.
func (e *histJudge) shares() []float64 {
	f := e.f
	out := make([]float64, len(f.chain))
	below, sum := 0.0, 0.0
	for k, i := range f.chain {
		c := &e.h.parts[i].c
		x := max(float64(c.sumX), below)
		out[k] = x - below + shareEvents
		sum += out[k]
		below = x
	}
	for k := range out {
		out[k] /= sum
	}
	return out
}

// enact turns a verdict into the change of the frame.
func (e *histJudge) enact(v verdict) {
	cs := e.cs
	c := Correction{Kind: v.kind, Evidence: v.found.words()}
	e.lesson = lessonNone
	switch v.action {
	case actHold:
		e.hold = true
	case actFold:
		e.settleAll()
		cs.history.remember(&cs.history.resets)
		if e.p.Resets == PassResets && e.visible() {
			e.free, cs.folded = true, false
			break
		}
		e.change.fold, cs.folded = true, true
		if !e.restarted() {
			e.owes = &debt{t: e.f.t, prev: e.s.prevT, top: e.s.prev, value: e.s.raw, age: 1}
		}
	case actLoss:
		cs.history.remember(&cs.history.losses)
		e.change.lose = true
		e.impute()
	case actDebt, actAsk:
		e.change.lose = true
		if v.action == actDebt {
			e.impute()
		}
		e.owes = &debt{t: e.f.t, prev: e.s.prevT, top: e.s.prev, value: e.s.raw, jitter: v.jitter, open: v.action == actAsk, gap: e.s.gap, base: v.base, sum: v.found.sum}
		c.Pending = true
	}
	e.log = append(e.log, c)
}

// visible: every part that held anything fell, and none is missing or gone, so
// that PromQL sees the reset in each of them. One hidden part would have to be
// folded alone and rise above the others: then the whole histogram is folded.
func (e *histJudge) visible() bool {
	for i := range e.f.seats {
		s := &e.f.seats[i]
		if p := &e.h.parts[i]; p.c.Seen() && p.c.Raw > 0 && (!s.has || s.gone || s.cur >= s.prev) {
			return false
		}
	}
	return true
}

// impute puts the usual growth in the place of what a loss hides.
func (e *histJudge) impute() {
	if !e.p.Impute || !e.s.pace.known {
		return
	}
	f, share := e.f, e.shares()
	last := len(f.chain) - 1
	// The share of everything that was lost is that of the workers that went, on
	// average; who came in their place counted through half of the step.
	gone := min(1, f.fell/max(f.prev[last], 1))
	sum := 0.0
	f.usual = make([]float64, last+1)
	for k := range f.chain {
		usual := (1 - gone/2) * share[k] * e.s.pace.rate * e.s.dt
		if now, before := density(f.cur, k), density(f.prev, k); now >= before {
			// It may hide a loss, too: as much as the others lost is put back.
			usual = min(max(0, usual-(now-before)), gone*before)
		}
		sum += usual
		f.usual[k] = sum
	}
	e.change.imput = f.usual
}

// imputeLate does so for a drop that turned out to be a loss only later.
func (e *histJudge) imputeLate(d *histDebt) {
	if !e.p.Impute || !e.s.pace.known {
		return
	}
	share, sum := e.shares(), 0.0
	gone := min(1, d.amount/max(d.top, 1))
	add := make([]histOwed, len(d.parts))
	for k, i := range e.f.chain {
		sum += (1 - gone/2) * share[k] * e.s.pace.rate * elapsed(d.prev, d.t)
		if i < len(add) {
			add[i].amount = sum
			d.parts[i].amount += sum
		}
	}
	if i := e.f.count; i >= 0 && i < len(add) {
		add[i].amount = sum
		d.parts[i].amount += sum
	}
	d.amount += sum
	e.shift(&histDebt{parts: add}, func(o histOwed) float64 { return o.amount })
}
