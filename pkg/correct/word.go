package correct

// Word is what is heard of a counter's source from outside the counter's own
// samples: that it started again, which showed at timestamp T. It comes from
// `_created` or from the rest of the target, in whatever order, so nothing that has gone
// out or is about to depends on when it comes: the sample at T is judged by itself,
// and Tell only takes effect with the sample after it. Told before or after T, the values are the
// same bits; told when the counter has moved on from T, nothing comes of it.
type Word struct {
	T     int64 // ms
	Start int64 // ms: when the source says that it started; 0: the rest of the target gave it away
	Fell  uint32
	Of    uint32 // so many series of the target that had to fall, of which Fell did
}

const (
	// targetOdds is what the rest of the target may say about a fall, all together.
	targetOdds = 3
	// wordMS (ms) is how long a histogram keeps a word while its total does not come.
	wordMS = 600_000
)

func (w Word) findings() (f findings) {
	if w.Start != 0 {
		f.add(testCreated, startOdds, float64(w.Start), 0, 0)
	} else {
		f.add(testTarget, targetOdds, float64(w.Fell), float64(w.Of), 0)
	}
	return f
}

// words are those that are not taken yet: one about the last sample, and one about one that is still to come.
type words [2]Word

// keep keeps a word; last is the timestamp of the last sample. What the series'
// own `_created` says counts more than the rest of the target.
func (ws *words) keep(w Word, last int64) {
	ws.advance(last)
	at := &ws[0]
	if w.T > last {
		at = &ws[1]
	}
	if at.T == 0 || w.T == at.T && at.Start == 0 {
		*at = w
	}
}

// advance: what was still to come may have come.
func (ws *words) advance(last int64) {
	if w := ws[1]; w.T != 0 && w.T <= last {
		ws[0], ws[1] = w, Word{}
	}
}

// take takes the word about the last sample; its T is 0 when there is none.
func (ws *words) take(last int64) Word {
	ws.advance(last)
	w := ws[0]
	ws[0] = Word{}
	return w
}

func (ws *words) any() bool { return ws[0].T != 0 || ws[1].T != 0 }

// before reports whether there is a word about a timestamp before t.
func (ws *words) before(t int64) bool {
	return ws[0].T != 0 && ws[0].T < t || ws[1].T != 0 && ws[1].T < t
}

// spans: the step of c to its last sample is the one that w is about. A start
// before that step is none that it can show, what has start timestamps of its own needs nobody's
// word, and the target says nothing of what has hardly been seen.
func (w Word) spans(c *Counter) bool {
	prev := c.T - int64(c.lastMS)
	if w.Start == 0 && c.n < clipAfter {
		return false
	}
	return c.ST == 0 && c.T >= w.T && prev < w.T && (w.Start == 0 || w.Start > prev)
}

// about reports whether w can say anything about c: what has moved on no longer
// knows what it was, and the target says nothing of what has hardly been seen.
func (w Word) about(c *Counter) bool { return c.Seen() && c.T <= w.T && (c.n > 0 || w.Start != 0) }

// hides: the last step of c, in which nothing fell, may be a restart that did not show.
func (w Word) hides(c *Counter, prev, raw float64) bool {
	return prev > 0 && raw >= prev && (w.Start != 0 || fits(c.pace(), raw, float64(c.lastMS)/1000))
}

// Tell keeps w for the next sample. What comes back is to be kept with c, as by Apply.
func (c *Counter) Tell(cs *Case, w Word) *Case {
	if !w.about(c) || cs == nil && c.T == w.T && !(w.spans(c) && w.hides(c, c.before, c.Raw)) {
		return cs
	}
	if cs == nil {
		cs = newCase(c)
	}
	cs.words.keep(w, c.T)
	return cs
}

// heed takes the word that a Case was told, once the step that it is about is the last one.
func (e *enactor) heed() {
	c, cs := e.c, e.cs
	w := cs.words.take(c.T)
	if w.T == 0 || !w.spans(c) {
		return
	}
	if c.Raw < c.before {
		cs.doubt(w)
		return
	}
	now := *cs.now()
	if now.from == c.T && now.prev < now.from || !w.hides(c, c.before, c.Raw) {
		return // it was judged for what it is, or is none
	}
	prevT := c.T - int64(c.lastMS)
	found, held := w.findings(), now.out(c.Raw)
	for i := range cs.debts {
		if cs.debts[i].back {
			continue
		}
		e.log = append(e.log, Correction{Kind: KindLoss, T: c.T, PrevT: prevT, Prev: c.before, Raw: c.Raw, Settles: cs.debts[i].t})
	}
	cs.debts, cs.fold.set = cs.debts[:0], false
	cs.begin(epoch{from: c.T + 1, prev: c.T, offset: now.offset + c.before, floor: held, folded: true})
	e.log = append(e.log, Correction{Kind: KindHiddenReset, T: c.T, PrevT: prevT, Prev: c.before, Raw: c.Raw,
		Out: held, Amount: c.before, FalseIncrease: -c.before, Evidence: found.words()})
}

// doubt adds the word to the odds of a drop that is still open or owed.
func (cs *Case) doubt(w Word) {
	for i := range cs.debts {
		cs.debts[i].doubt(w)
	}
}

// doubt: a drop that was taken for a loss may be asked about again.
func (d *debt) doubt(w Word) {
	if d.t < w.T || d.prev >= w.T || d.back {
		return
	}
	found := w.findings()
	d.sum += found.sum
	d.base += found.sum
	d.open = d.open || d.sum > -clearOdds
}

// Tell keeps w until the timestamp after the one that it is about is judged.
// Then all parts are there that will come in time.
func (h *Histogram) Tell(w Word) {
	i := h.Total()
	if i < 0 || !w.about(&h.parts[i].c) {
		return
	}
	c := &h.parts[i].c
	if h.cs == nil && c.T == w.T && !(w.spans(c) && w.hides(c, c.before, c.Raw)) {
		return
	}
	if h.cs == nil {
		h.newCase()
	}
	h.cs.words.keep(w, c.T)
}

// Total is the part that counts everything, -1 if there is none.
func (h *Histogram) Total() int {
	if h.inf != 0 {
		return int(h.inf) - 1
	}
	return int(h.count) - 1
}

// heed takes the word that a histogram was told, before timestamp t is judged.
func (h *Histogram) heed(p Policy, t int64) []Correction {
	cs, i := h.cs, h.Total()
	if i < 0 || !cs.words.before(t) {
		return nil
	}
	c := &h.parts[i].c
	w := cs.words.take(c.T)
	if cs.words.before(t - wordMS) {
		cs.words[1] = Word{}
	}
	if w.T == 0 || !w.spans(c) {
		return nil
	}
	for k := range cs.debts {
		cs.debts[k].doubt(w)
	}
	f := h.frame(c.T)
	last := len(f.chain) - 1
	if last < 0 || f.total() != i || cs.acted == c.T || f.fell > 0 || !w.hides(c, f.prev[last], f.cur[last]) {
		return nil
	}
	e := &histJudge{h: h, cs: cs, f: f, whole: whole[[]histOwed]{book: &cs.book, p: p, c: c}}
	e.body = e
	e.noteOffsets()
	e.s = e.totalStep()
	e.enact(verdict{action: actFold, kind: KindHiddenReset, found: w.findings()})
	e.owes = nil // its very next timestamp is no evidence against what others saw
	e.commit()
	return e.corrections(i)
}

// Vote is what a counter shows about whether its source started again between two timestamps.
type Vote uint8

const (
	VoteNone  Vote = iota // it would look the same either way
	VoteStood             // it had to fall, and has not
	VoteFell              // it fell to what it can have counted since
)

// Vote looks at the step from prev to t (ms), or, when t has not come yet, at what would have to come.
func (c *Counter) Vote(prev, t int64) Vote {
	dt := elapsed(prev, t)
	switch last := c.T - int64(c.lastMS); {
	case !c.Seen():
		return VoteNone
	case c.T == t && last == prev && c.hadToFall(c.before, dt):
		if p := c.pace(); c.Raw < c.before && c.Raw <= spikeReach*(p.rate*dt+p.unit) {
			return VoteFell
		}
		return VoteStood
	case c.T == prev && c.hadToFall(c.Raw, dt):
		return VoteStood
	}
	return VoteNone
}

// hadToFall: no counter of this pace is at v within dt seconds of its start.
func (c *Counter) hadToFall(v, dt float64) bool {
	p := c.pace()
	return p.known && !fits(p, v, dt)
}

// Step is the last step, from prev to t (ms).
func (c *Counter) Step() (prev, t int64) { return c.T - int64(c.lastMS), c.T }

// Vote is that of the total.
func (h *Histogram) Vote(prev, t int64) Vote {
	if i := h.Total(); i >= 0 {
		return h.parts[i].c.Vote(prev, t)
	}
	return VoteNone
}

// Step is the last step of the total.
func (h *Histogram) Step() (prev, t int64) {
	if i := h.Total(); i >= 0 {
		return h.parts[i].c.Step()
	}
	return 0, 0
}

// Note keeps in c a value v, seen at t (ms), of a gauge that says when something
// started, and reports whether it moved, and from which value. What came back to the value before
// is told by several processes in turn: that is no move.
func (c *Counter) Note(t int64, v float64) (from float64, moved bool) {
	switch {
	case !c.Seen():
		*c = Counter{T: t, Raw: v, flags: flagSeen}
		return 0, false
	case v == c.Raw || t <= c.T:
		return 0, false
	}
	from, moved = c.Raw, v > c.Raw && v != c.before
	c.T, c.before, c.Raw = t, c.Raw, v
	return from, moved
}
