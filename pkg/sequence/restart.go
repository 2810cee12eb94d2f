package sequence

import (
	"math"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"pawl/pkg/correct"
	"pawl/pkg/rewrite"
)

// votes is what a series of a target has to say: a counter, or the histogram of which it is the total.
type votes interface {
	Vote(prev, t int64) correct.Vote
	Step() (prev, t int64)
}

// voice is who speaks for a series; nil where another part speaks for its histogram, or nobody does.
func (w *writer) voice(s *series) votes {
	switch {
	case s.counter == 0 || s.flags&isFree != 0:
		return nil
	case s.flags&isPart == 0:
		return w.table.counters.at(s.counter - 1)
	}
	g := w.groups.all[s.counter-1]
	if total := g.histogram.Total(); total != int(s.part) {
		return nil
	}
	return &g.histogram
}

// fell is told that a series was corrected; where it fell as after a restart, its target may have restarted.
func (w *writer) fell(id uint32, v votes) {
	tg := w.targets.target(id)
	if tg == nil {
		return
	}
	prev, t := v.Step()
	r := &tg.restart
	if t < r.t || t == r.t && (prev != r.prev || r.told) || v.Vote(prev, t) != correct.VoteFell {
		return
	}
	w.targets.touch(tg)
	if t > r.t {
		*r = restart{prev: prev, t: t, need: restartFellStarted}
	}
	if r.fell++; r.fell >= r.need {
		w.survey(tg)
	}
}

// groupFell is fell for a histogram that was judged.
func (w *writer) groupFell(g *group) {
	if total := g.histogram.Total(); total >= 0 && total < len(g.members) {
		w.fell(g.members[total], &g.histogram)
	}
}

// survey looks through a target whether it restarted, and tells its series if it did.
func (w *writer) survey(tg *target) {
	w.targets.compact(tg)
	r := &tg.restart
	fell, of := 0, 0
	for _, id := range tg.members {
		if v := w.voice(w.table.series.at(id)); v != nil {
			switch v.Vote(r.prev, r.t) {
			case correct.VoteFell:
				fell++
				of++
			case correct.VoteStood:
				of++
			}
		}
	}
	share, least := restartShare, restartFell
	if st := tg.start; st.t == r.t && st.at > r.prev && st.at <= r.t {
		share, least = restartShareStarted, restartFellStarted
	}
	if need := max(least, int(math.Ceil(share*float64(of)))); fell < need || tg.start.several > r.t {
		r.need = max(need, r.fell+1)
		return
	}
	r.told = true
	w.metrics.targetRestarts.Inc()
	for _, id := range tg.members {
		w.tell(id, correct.Word{T: r.t, Fell: uint32(fell), Of: uint32(of)}, r.prev)
	}
}

// tell gives a series word of a restart. prev is the timestamp of the sample
// that it must have had before; noPrev: any.
func (w *writer) tell(id uint32, word correct.Word, prev int64) {
	s := w.table.series.at(id)
	v := w.voice(s)
	if v == nil {
		return
	}
	if before, t := v.Step(); prev != noPrev && t != prev && (t != word.T || before != prev) {
		return
	}
	if s.flags&isPart != 0 {
		gid := s.counter - 1
		w.touchGroup(gid)
		w.groups.all[gid].histogram.Tell(word)
		return
	}
	w.touch(id)
	tr := w.table.troubles[id]
	var rest *correct.Case
	if tr != nil {
		rest = tr.rest
	}
	if rest = w.table.counters.at(s.counter-1).Tell(rest, word); rest == nil {
		return
	}
	if tr == nil {
		tr = &trouble{}
		w.table.troubles[id] = tr
		s.flags |= isTroubled
	}
	tr.rest = rest
}

const noPrev = math.MinInt64

// sign looks at a gauge that says when something started.
func (w *writer) sign(b *rewrite.Batch, i int, id uint32, s *series) {
	c := w.table.counterOf(s)
	for j := b.Series[i].S0; j < b.Series[i].S1; j++ {
		t, v := b.Samples[j].T, b.Samples[j].V
		if seen := c.Seen(); seen && v == c.Raw || !(v > 0 && v < math.MaxInt64/1000) {
			continue // as ever
		}
		from, moved := c.Note(t, v)
		tg := w.targets.target(id)
		at := int64(v * 1000)
		switch {
		case tg != nil && tg.start.place == id+1:
			w.started(tg, t, at, from, moved)
		case moved && at <= t:
			w.created(b, i, correct.Word{T: t, Start: at})
		}
	}
}

// started is told that a process' start time is another one than before.
func (w *writer) started(tg *target, t, at int64, from float64, moved bool) {
	if from == 0 {
		return // the first
	}
	w.targets.touch(tg)
	if !moved {
		tg.start.several = t + severalMS
		return
	}
	tg.start.t, tg.start.at = t, at
	if r := &tg.restart; r.t == t && !r.told {
		w.survey(tg)
	}
}

// created gives word of a `_created` that moved to its counter, or its histogram.
func (w *writer) created(b *rewrite.Batch, i int, word correct.Word) {
	ls := b.Labels(i)
	base, _ := split([]byte(ls.Get(model.MetricNameLabel)))
	if gid, ok := w.groups.byKey[groupKey(b.Tenant, string(base), ls)]; ok {
		w.touchGroup(gid)
		w.groups.all[gid].histogram.Tell(word)
		return
	}
	lb := labels.NewBuilder(ls)
	lb.Set(model.MetricNameLabel, string(base)+"_total")
	if id, ok := w.table.find(rewrite.KeyOf(b.Tenant, lb.Labels())); ok && w.table.series.at(id).flags&isPart == 0 {
		w.tell(id, word, noPrev)
	}
}
