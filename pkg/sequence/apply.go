package sequence

import (
	"github.com/prometheus/prometheus/model/labels"

	"pawl/pkg/correct"
	"pawl/pkg/rewrite"
)

// apply corrects one batch in place and returns the last earlier batch that
// it shares a series with. The loop is the healthy sample's whole way: find
// its series, let pkg/correct see that it grew, next.
func (w *writer) apply(r *Request) (after uint64) {
	b := &r.Batch
	w.batch = b
	now := uint32(w.clock / 1000)
	w.class.learn(b.Tenant, b.Metadata)
	w.pairs.begin(b)
	members := b.Members()
	w.labels.last.forget()
	var l labelsOf // of the last series that is new
	for i := range b.Series {
		var e *election
		if members > 0 {
			var ok bool
			if e, ok = w.admit(b, i); !ok {
				continue
			}
		}
		sr := &b.Series[i]
		id, known := w.table.follow(sr.Key)
		if !known {
			id = w.meet(b, i, &l)
			w.table.met(id)
			after = max(after, w.forgotten)
		}
		w.touch(id)
		s := w.table.series.at(id)
		if known && int64(now-s.seen)*1000 > w.forgetMS && s.seen != 0 {
			w.outlived(id, s)
		}
		again := s.last == uint32(r.seq) // the same series twice in one request
		if !again {
			after = max(after, earlier(s.last, r.seq))
		}
		turn := e != nil && known && int64(s.seen) < e.since/1000 // the replica is another one since
		s.last, s.seen = uint32(r.seq), now
		if s.gen != w.class.gen || sr.Type != typeUnknown && sr.Type != s.told {
			if known {
				w.decideAnew(b, i, id, s)
			} else {
				w.decide(b, i, id, s, &l)
			}
		}
		if sr.H1 > sr.H0 && s.flags&isGauge == 0 {
			w.applyNative(b, i, id, s, e)
		}
		if s.flags&isCounter == 0 {
			if s.flags&isSign != 0 {
				w.sign(b, i, id, s)
			}
			continue
		}
		if s.flags&isPart != 0 {
			w.applyPart(b, i, s, e, again)
			continue
		}
		c := w.table.counterOf(s)
		if turn && c.Seen() {
			w.takeOver(b, i, id, s, c, e)
			continue
		}
		for j := sr.S0; j < sr.S1; j++ {
			sample := correct.Sample{T: b.Samples[j].T, V: b.Samples[j].V, ST: b.Samples[j].ST}
			if s.flags&isTroubled == 0 && c.Healthy(sample) {
				continue
			}
			w.correct(b, i, int(j), id, s, c, sample, (*correct.Counter).Apply)
		}
	}
	w.park(b)
	w.batch = nil
	w.metrics.applied(b)
	return after
}

// applyPart does the same for a series that is part of a histogram.
func (w *writer) applyPart(b *rewrite.Batch, i int, s *series, e *election, again bool) {
	gid := s.counter - 1
	g := w.groups.all[gid]
	w.touchGroup(gid)
	for j := b.Series[i].S0; j < b.Series[i].S1; j++ {
		sample := correct.Sample{T: b.Samples[j].T, V: b.Samples[j].V, ST: b.Samples[j].ST}
		if e != nil && !g.turn.passes(e, g.histogram.Newest, sample) {
			w.skip(b, int(j))
			continue
		}
		if (again || j > b.Series[i].S0) && g.histogram.Expecting() {
			g.histogram.Expect(true)
		}
		if !g.histogram.Healthy(int(s.part), sample) {
			w.offer(b, i, int(j), s, g, sample)
		} else if g.deadline != 0 && g.histogram.Complete() {
			w.judge(gid, g)
		}
	}
}

// meet makes the acquaintance of a series. Its labels are walked once, and l, which was given with the series before, is then its own.
func (w *writer) meet(b *rewrite.Batch, i int, l *labelsOf) (id uint32) {
	if l.ahead == 0 {
		if i > 0 && w.labels.last.before == i { // the one before was new too
			l.ahead = w.table.index.touch(b.Series[i+1:])
		}
	} else {
		l.ahead--
	}
	id = w.table.vacant()
	w.table.pages.reach(id >> pageBits)
	w.touch(id)
	w.labels.meet(id, b, i, l)
	w.class.notice(b.Tenant, l)
	return w.table.add(b.Series[i].Key)
}

// decideAnew is decide for a series that is not new.
func (w *writer) decideAnew(b *rewrite.Batch, i int, id uint32, s *series) {
	l := look(b, i)
	w.decide(b, i, id, s, &l)
}

// decide settles whether a series is a counter, by all that is known now.
func (w *writer) decide(b *rewrite.Batch, i int, id uint32, s *series, l *labelsOf) {
	d := w.class.decide(b, i, l)
	kin := l.kin && l.part // the series before is part of the same histogram
	l.part = false
	s.gen, s.told, s.policy = w.class.gen, b.Series[i].Type, d.policy
	s.flags &^= isCounter | isGauge | isSign
	if d.gauge {
		s.flags |= isGauge
	}
	switch {
	case d.counter:
		s.flags |= isCounter
	case d.sign:
		s.flags |= isSign
	}
	w.belong(b.Tenant, id, s, l)
	if !d.counter {
		return
	}
	if d.part && s.flags&(isPart|isTroubled) == 0 {
		if !kin {
			l.parts = partsKey(b.Tenant, s.key, l, d.base)
		}
		l.part = true
		w.join(id, s, d, l.parts)
	}
}

// application is how pkg/correct is given a sample of a counter.
type application func(*correct.Counter, *correct.Case, correct.Policy, correct.Sample) (*correct.Case, correct.Outcome)

// correct is the way of a sample that is not plainly healthy.
func (w *writer) correct(b *rewrite.Batch, i, j int, id uint32, s *series, c *correct.Counter, sample correct.Sample, apply application) {
	var tr *trouble
	var rest *correct.Case
	if s.flags&isTroubled != 0 {
		if tr = w.table.troubles[id]; tr != nil {
			rest = tr.rest
		}
	}
	lost := !c.Seen() && w.startsFromZero(s.key)
	if lost {
		apply = (*correct.Counter).FromZero
	}
	rest, out := apply(c, rest, w.class.policies[s.policy], sample)
	if lost && c.Seen() {
		w.began(s.key)
	}
	if tr == nil && (rest != nil || len(out.Corrections) > 0) {
		tr = &trouble{}
		w.table.troubles[id] = tr
		s.flags |= isTroubled
	}
	if tr != nil {
		tr.rest = rest
	}
	var counts *[kindSlots]uint32
	if tr != nil {
		counts = &tr.counts
	}
	w.outcome(b, i, j, sample, out, counts)
	if len(out.Corrections) > 0 {
		w.fell(id, c)
	}
}

// outcome does with a sample of the batch at hand what was decided.
func (w *writer) outcome(b *rewrite.Batch, i, j int, sample correct.Sample, out correct.Outcome, counts *[kindSlots]uint32) {
	switch {
	case w.observe: // decided and recorded, forwarded as it came
	case out.Drop:
		b.Drop(j)
		w.account.Repeated++
	default:
		// What was recalled may have been set before.
		b.SetValue(j, out.V)
		b.SetStart(j, out.ST)
		if !sameBits(out.V, sample.V) {
			w.metrics.changed.Inc()
		}
		if out.Marked {
			b.InsertZero(j, out.MarkT)
			w.account.Zeros++
		}
	}
	if len(out.Corrections) > 0 {
		w.record(b.Tenant, b.Labels(i), out.Corrections, counts)
	}
}

// record writes corrections into the log.
func (w *writer) record(tenant string, ls labels.Labels, corrections []correct.Correction, counts *[kindSlots]uint32) {
	for _, c := range corrections {
		counts[c.Kind]++
		w.metrics.correction(c)
		w.history = append(w.history, newEntry(Place{w.next - 1, w.nth}, tenant, ls, w.clock, c))
		w.nth++
	}
}
