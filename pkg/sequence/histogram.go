package sequence

import (
	"hash/maphash"
	"slices"
	"sync/atomic"

	"github.com/golang/snappy"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"pawl/internal/footprint"
	"pawl/pkg/correct"
	"pawl/pkg/rewrite"
)

// group is one classic histogram, or one summary's _count and _sum: series
// that are judged as one.
type group struct {
	histogram correct.Histogram
	key       rewrite.Key        // of the labels that its parts share
	members   []uint32           // places of the series, by part
	counts    *[kindSlots]uint32 // nil: none
	policy    uint16
	foreseen  uint16 // so many parts, when it was new
	turn      turn
	deadline  int64 // journal time, ms, until which it waits for missing parts; 0: it does not wait
	young     int64 // journal time, ms, until which it may have parts that have not come yet; 0: all are known
	listed    int64 // the deadline that it stands under in groups.waiting, its own or an earlier one; 0: it does not
}

// groups are all of them. Places of dissolved ones are used again.
type groups struct {
	all   []*group // nil: free
	byKey map[rewrite.Key]uint32
	spare []uint32
	last  uint32 // the one that was joined last: parts come side by side
	pages pages

	waiting waiting
	waits   atomic.Int64 // their number, for whoever writes the ticks
	held    []uint32     // groups that hold samples of the batch at hand
	shared  correct.Shared
	usual   [usualPlaces]usual
	hash    maphash.Seed
}

func newGroups() *groups {
	gs := &groups{byKey: map[rewrite.Key]uint32{}, hash: maphash.MakeSeed()}
	gs.shared.Unused = footprint.Unused
	return gs
}

// late is a sample that was held until its histogram was judged, and whose
// own batch has gone meanwhile.
type late struct {
	place  uint32
	id     identity
	sample correct.Sample
	marked bool  // a 0 goes out before it
	markT  int64 // at this time, ms
}

// inBatch is the tag of sample j of the batch at hand; lateTag that of a
// sample whose batch has gone.
func inBatch(j int) uint64 { return uint64(j) + 1 }

const lateTag = 0

// groupKey is the identity that the parts of one histogram share.
func groupKey(tenant, base string, ls labels.Labels) rewrite.Key {
	lb := labels.NewBuilder(ls)
	lb.Del(labels.BucketLabel)
	lb.Set(model.MetricNameLabel, base+"\x00parts") // no metric is called so
	return rewrite.KeyOf(tenant, lb.Labels())
}

// partsKey is groupKey of a series whose key is k, without a list of its labels.
func partsKey(tenant string, k rewrite.Key, l *labelsOf, base []byte) rewrite.Key {
	var scratch [128]byte
	name := append(append(scratch[:0], base...), "\x00parts"...)
	return k.Exchange(tenant, rewrite.Label{Name: model.MetricNameLabel, Value: name},
		rewrite.Label{Name: labels.BucketLabel, Value: l.le}, rewrite.Label{Name: model.MetricNameLabel, Value: l.name})
}

// join makes a series a part of its histogram. A counter that was corrected
// on its own already stays alone: its offset is not the histogram's.
func (w *writer) join(id uint32, s *series, d *decision, key rewrite.Key) {
	if s.flags&isPart != 0 || s.flags&isTroubled != 0 {
		return
	}
	gs := w.groups
	gid, known := gs.last, gs.is(gs.last, key)
	if !known {
		gid, known = gs.byKey[key]
	}
	if !known {
		if n := len(gs.spare); n > 0 {
			gid, gs.spare = gs.spare[n-1], gs.spare[:n-1]
		} else {
			gid = gs.grow()
		}
	}
	gs.last = gid
	w.touchGroup(gid)
	if !known {
		gs.all[gid] = &group{key: key, policy: d.policy, young: w.clock + min(w.joinMS, firstWaitMS)}
		gs.shared.Histogram(&gs.all[gid].histogram)
		gs.all[gid].histogram.Expect(false)
		gs.byKey[key] = gid
	}
	g := gs.all[gid]
	if !known {
		g.room(gs.usualOf(d.base).parts)
	}
	part := g.histogram.Part(d.role, d.le)
	if part < 0 {
		return // more parts than a histogram can have: corrected alone
	}
	if part < len(g.members) && g.members[part] != id {
		return // le="1" and le="1.0" side by side: the second is corrected alone
	}
	if part == len(g.members) { // they come one by one
		if part >= int(g.foreseen) {
			usual := gs.usualOf(d.base)
			usual.parts = uint16(min(max(int(usual.parts), part+1), usualMost))
		}
		g.members = append(g.members, id)
	}
	w.table.freeCounter(s)
	s.counter, s.part = gid+1, uint16(part)
	s.flags |= isPart
}

// is tells whether the group at a place is that of a key.
func (gs *groups) is(gid uint32, key rewrite.Key) bool {
	return gid < uint32(len(gs.all)) && gs.all[gid] != nil && gs.all[gid].key == key
}

// grow makes a free place.
func (gs *groups) grow() uint32 {
	gs.all = append(gs.all, nil)
	gid := uint32(len(gs.all) - 1)
	gs.pages.reach(gid >> groupPageBits)
	return gid
}

// tally is where the corrections of an outcome are counted; nil where there were never any.
func (g *group) tally(out correct.Outcome) *[kindSlots]uint32 {
	if g.counts == nil && len(out.Corrections) > 0 {
		g.counts = new([kindSlots]uint32)
	}
	return g.counts
}

// offer is the way of a part's sample that is not plainly healthy.
func (w *writer) offer(b *rewrite.Batch, i, j int, s *series, g *group, sample correct.Sample) {
	if w.startsFromZero(s.key) {
		g.histogram.FromZero(int(s.part))
		w.began(s.key)
	}
	if g.young != 0 && g.young <= w.clock {
		g.known()
	}
	out, held := g.histogram.Offer(int(s.part), w.class.policies[g.policy], sample, inBatch(j))
	if !held {
		w.outcome(b, i, j, sample, out, g.tally(out))
	}
	if !g.histogram.Waiting() {
		g.histogram.Rest()
		return
	}
	gid := s.counter - 1
	if g.deadline == 0 {
		w.groups.await(gid, w.until(g))
	}
	if held && !slices.Contains(w.groups.held, gid) {
		w.groups.held = append(w.groups.held, gid)
		w.recall(b, i, gid)
	}
	if g.histogram.Complete() {
		w.judge(gid, g)
	}
}

// recall takes back the parts of a histogram that were let go earlier in the
// batch at hand, before a sibling made it suspicious, the last samples first. Parts of
// one histogram stand side by side in a request; one that does not gets its correction
// with its next sample.
func (w *writer) recall(b *rewrite.Batch, i int, gid uint32) {
	g := w.groups.all[gid]
	for i--; i >= 0; i-- {
		if b.Dropped(i) {
			continue // the same part, as a replica that is not elected saw it
		}
		id, ok := w.table.find(b.Series[i].Key)
		if !ok {
			return
		}
		s := w.table.series.at(id)
		if s.flags&isPart == 0 || s.counter-1 != gid {
			return
		}
		for j := int(b.Series[i].S1) - 1; j >= int(b.Series[i].S0); j-- {
			t, raw, _, offset, seen := g.histogram.Last(int(s.part))
			// Where an offset was added, the start timestamp that came is no longer known.
			st := b.Samples[j].ST
			if !seen || t != b.Samples[j].T || st != 0 && offset != 0 ||
				!g.histogram.Recall(int(s.part), correct.Sample{T: t, V: raw, ST: st}, inBatch(j)) {
				break
			}
		}
	}
}

// judge lets a waiting histogram decide about its oldest timestamp with what
// is there, and about later ones that are complete. The next one has a time to wait of its own.
func (w *writer) judge(gid uint32, g *group) {
	w.release(g)
	for g.histogram.Waiting() && g.histogram.Complete() {
		w.release(g)
	}
	if g.histogram.Waiting() {
		w.groups.await(gid, w.until(g))
	} else {
		g.deadline = 0 // it leaves the waiting when its turn comes
	}
	g.histogram.Rest()
	w.groupFell(g)
}

// release sends what one verdict sets free on its way.
func (w *writer) release(g *group) {
	g.histogram.TakenOver(g.turn.first)
	for _, r := range g.histogram.Decide(w.class.policies[g.policy]) {
		place := g.members[r.Part]
		if r.Gone {
			id := w.identityOf(place)
			w.record(id.Tenant, id.Labels, r.Out.Corrections, g.tally(r.Out))
			continue
		}
		if r.Tag != lateTag {
			j := int(r.Tag - 1)
			w.outcome(w.batch, w.seriesOf(w.batch, j), j, r.S, r.Out, g.tally(r.Out))
			continue
		}
		id := w.identityOf(place)
		w.record(id.Tenant, id.Labels, r.Out.Corrections, g.tally(r.Out))
		if w.observe {
			continue // it went out with its own request
		}
		w.account.Samples++
		if r.Out.Drop {
			w.account.Repeated++
			continue
		}
		if !sameBits(r.Out.V, r.S.V) {
			w.metrics.changed.Inc()
		}
		if r.Out.Marked {
			w.account.Zeros++
		}
		w.late = append(w.late, late{place, id, correct.Sample{T: r.S.T, V: r.Out.V, ST: r.Out.ST}, r.Out.Marked, r.Out.MarkT})
	}
}

// seriesOf is the series of a batch that sample j belongs to.
func (w *writer) seriesOf(b *rewrite.Batch, j int) int {
	i, _ := slices.BinarySearchFunc(b.Series, int32(j), func(s rewrite.Series, j int32) int {
		switch {
		case s.S1 <= j:
			return -1
		case s.S0 > j:
			return 1
		}
		return 0
	})
	return i
}

// park takes what is still held out of the batch at hand: it has been
// acknowledged, and goes out when its histogram is judged.
func (w *writer) park(b *rewrite.Batch) {
	for _, gid := range w.groups.held {
		if g := w.groups.all[gid]; g != nil && g.histogram.Waiting() {
			g.histogram.Retag(func(_ int, tag uint64) uint64 {
				if tag != lateTag && !w.observe {
					b.Drop(int(tag - 1))
					w.metrics.held.Inc()
					w.account.Samples--
				}
				return lateTag
			})
		}
	}
	w.groups.held = w.groups.held[:0]
}

// heldSamples is how many are held.
func (w *writer) heldSamples() (n int) {
	if w.observe {
		return 0 // they went out with their own requests
	}
	for _, g := range w.groups.all {
		if g != nil {
			n += g.histogram.Held()
		}
	}
	return n
}

// dissolve takes a histogram apart: what it holds goes out, and its parts are
// decided about anew with their next samples.
func (w *writer) dissolve(gid uint32) {
	gs := w.groups
	w.touchGroup(gid)
	g := gs.all[gid]
	for g.histogram.Waiting() {
		w.judge(gid, g)
	}
	lost := !w.observe && g.carries()
	for _, place := range g.members {
		s := w.table.series.at(place)
		if lost {
			w.lose(s.key)
		}
		s.counter, s.part, s.gen = 0, 0, 0
		s.flags &^= isPart
	}
	g.histogram.Release()
	gs.all[gid] = nil
	gs.spare = append(gs.spare, gid)
	delete(gs.byKey, g.key)
}

// takeLate makes requests of the samples that are late, one a tenant, and
// returns the last batch that held one of their series.
func (w *writer) takeLate(seq uint64) (batches []*rewrite.Batch, after uint64) {
	if len(w.late) == 0 {
		return nil, 0
	}
	var tenants []string
	byTenant := map[string][]late{}
	for _, l := range w.late {
		if byTenant[l.id.Tenant] == nil {
			tenants = append(tenants, l.id.Tenant)
		}
		byTenant[l.id.Tenant] = append(byTenant[l.id.Tenant], l)
		if w.table.has(l.place) {
			s := w.table.series.at(l.place)
			if s.last != uint32(seq) {
				after = max(after, earlier(s.last, seq))
			}
			s.last = uint32(seq)
		}
	}
	for _, tenant := range tenants {
		batches = append(batches, lateBatch(tenant, byTenant[tenant]))
	}
	w.late = w.late[:0]
	return batches, after
}

// lateBatch is a request of samples whose own requests have gone. It is 2.0,
// which has a place for start timestamps.
func lateBatch(tenant string, ls []late) *rewrite.Batch {
	symbols := writev2.NewSymbolTable()
	req := &writev2.Request{}
	for _, l := range ls {
		ts := writev2.TimeSeries{LabelsRefs: symbols.SymbolizeLabels(l.id.Labels, nil)}
		if l.marked {
			ts.Samples = append(ts.Samples, writev2.Sample{Timestamp: l.markT})
		}
		ts.Samples = append(ts.Samples, writev2.Sample{Value: l.sample.V, Timestamp: l.sample.T, StartTimestamp: l.sample.ST})
		req.Timeseries = append(req.Timeseries, ts)
	}
	req.Symbols = symbols.Symbols()
	msg, err := req.Marshal()
	if err != nil {
		panic("BUG: a request of late samples does not marshal: " + err.Error())
	}
	b := &rewrite.Batch{}
	if err := b.Decode(rewrite.V2, tenant, snappy.Encode(nil, msg), trusted); err != nil {
		panic("BUG: a request of late samples does not decode: " + err.Error())
	}
	return b
}
