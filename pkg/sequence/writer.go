package sequence

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"pawl/pkg/config"
	"pawl/pkg/correct"
	"pawl/pkg/forward"
	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// writer is the one goroutine that applies requests to the series, in journal
// order. Everything below belongs to it alone, but for what says otherwise.
type writer struct {
	out     chan<- forward.Item
	mark    *forward.Mark
	state   *store.State
	journal *store.Journal
	log     *slog.Logger
	metrics *metrics

	table    *table
	groups   *groups
	natives  *natives
	class    *classifier
	rules    []byte                 // the rules in force, as the journal holds them
	next     uint64                 // the record to be applied next
	clock    int64                  // journal time, ms: never goes back
	forgetMS int64                  // correct.forget_after
	joinMS   int64                  // correct.join_wait
	observe  bool                   // correct.mode: decide and record, forward untouched
	labels   map[rewrite.Key][]byte // identities that no good checkpoint holds yet
	slab     slab                   // where labels' values are
	history  []Entry                // corrections since the last draft
	gone     []rewrite.Key          // forgotten since the last draft
	draft    *draft                 // the checkpoint under way
	// Which batch last held a forgotten series is forgotten too, so whatever is
	// met after this record waits for everything before it.
	forgotten uint64
	kept      int    // entries in the corrections log, drafts included
	nth       uint32 // corrections made by the record at hand
	late      []late // samples that were held and go out with the record at hand
	lastGood  time.Time

	asks          chan func() // run between two requests
	stopped       chan struct{}
	checkpointNow chan struct{}
	checkpointed  chan error // the checkpointer's word on the draft
	every         time.Duration
	oldEnd        uint64 // where the journal ended when we started
	delivered     uint64 // what the upstream had by then

	window   int64        // budget of bytes in flight
	inFlight atomic.Int64 // bytes; the forwarder's goroutines take off
	landed   chan struct{}
	applied  atomic.Uint64
}

func newWriter(o Options, good store.Checkpoint, m *metrics) (*writer, error) {
	w := &writer{
		out: o.Out, mark: o.Mark, state: o.State, journal: o.Journal, log: o.Logger, metrics: m,
		table: newTable(), groups: newGroups(), natives: newNatives(), class: newClassifier(), next: good.Seq + 1,
		forgetMS: time.Duration(o.Correct.ForgetAfter).Milliseconds(), joinMS: time.Duration(o.Correct.JoinWait).Milliseconds(), labels: map[rewrite.Key][]byte{},
		asks: make(chan func()), stopped: make(chan struct{}), checkpointNow: make(chan struct{}, 1), checkpointed: make(chan error, 1),
		every: o.CheckpointEvery, oldEnd: o.Journal.End(), delivered: o.Delivered, lastGood: time.Now(),
		window: o.WindowBytes, landed: make(chan struct{}, 1),
	}
	w.applied.Store(good.Seq)
	if err := w.load(); err != nil {
		return nil, fmt.Errorf("read the series state back: %w", err)
	}
	return w, nil
}

// run is the way of every request: take the next, apply it, hand it on.
func (w *writer) run(ctx context.Context, ready <-chan *Request) error {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	defer func() {
		close(w.stopped)
		if w.draft != nil {
			if err := <-w.checkpointed; err != nil { // it ends with ctx
				w.log.Warn("the last checkpoint could not be written; the next start replays more of the journal", "err", err)
			}
		}
	}()
	for {
		in := ready
		if w.inFlight.Load() >= w.window {
			in = nil // wait until something has landed
		}
		select {
		case <-ctx.Done():
			return nil
		case r, ok := <-in:
			if !ok {
				return nil
			}
			if err := w.handle(ctx, r); err != nil {
				return err
			}
		case <-w.landed:
		case ask := <-w.asks:
			ask()
		case <-tick.C:
			w.beginCheckpoint(ctx)
		case <-w.checkpointNow:
			w.beginCheckpoint(ctx)
		case err := <-w.checkpointed:
			w.draft = nil
			if err != nil {
				return fmt.Errorf("write a checkpoint: %w", err)
			}
			w.endCheckpoint()
		}
	}
}

// handle applies one record and hands a batch on to the forwarder.
func (w *writer) handle(ctx context.Context, r *Request) error {
	if r.seq != w.next {
		panic(fmt.Sprintf("BUG: record %d applied where %d was due", r.seq, w.next))
	}
	w.next++
	w.nth = 0
	w.clock = max(w.clock, r.Time)
	it := forward.Item{Seq: r.seq, Time: r.Time, Replay: r.seq < w.oldEnd}
	w.overdue()
	switch r.kind {
	case store.KindBatch1, store.KindBatch2:
		it.After = w.apply(r)
		it.Batch, it.Done = &r.Batch, func() { w.land(r) }
	case store.KindRules:
		if err := w.adopt(r.Body); err != nil {
			return fmt.Errorf("rules in journal record %d: %w", r.seq, err)
		}
	case store.KindForget:
		w.forgetAll(r.Body)
	}
	var after uint64
	it.Late, after = w.takeLate(r.seq)
	it.After = max(it.After, after)
	w.applied.Store(r.seq)
	if it.Batch == nil && len(it.Late) == 0 {
		w.mark.Done(r.seq)
		return nil
	}
	if r.seq <= w.delivered { // the upstream has it from before the start
		w.mark.Done(r.seq)
		if it.Batch != nil {
			r.Release()
		}
		return nil
	}
	if it.Batch != nil {
		w.inFlight.Add(r.size())
	}
	return w.hand(ctx, it)
}

// hand passes a batch on, answering questions while the forwarder is busy.
func (w *writer) hand(ctx context.Context, it forward.Item) error {
	for {
		select {
		case w.out <- it:
			return nil
		case ask := <-w.asks:
			ask()
		case <-ctx.Done():
			return nil
		}
	}
}

// land is called by the forwarder once a batch is settled.
func (w *writer) land(r *Request) {
	w.inFlight.Add(-r.size())
	r.Release()
	select {
	case w.landed <- struct{}{}:
	default:
	}
}

// apply corrects one batch in place and returns the last earlier batch that
// it shares a series with. The loop is the healthy sample's whole way: find
// its series, let pkg/correct see that it grew, next.
func (w *writer) apply(r *Request) (after uint64) {
	b := &r.Batch
	now := uint32(w.clock / 1000)
	w.class.learn(b.Tenant, b.Metadata)
	for i := range b.Series {
		sr := &b.Series[i]
		id, known := w.table.follow(sr.Key)
		if !known {
			id = w.meet(b, i)
			w.table.met(id)
			after = max(after, w.forgotten)
		}
		s := w.table.series.at(id)
		if known && int64(now-s.seen)*1000 > w.forgetMS && s.seen != 0 {
			w.outlived(id, s)
		}
		if s.last != r.seq { // else the same series twice in one request
			after = max(after, s.last)
		}
		s.last, s.seen = r.seq, now
		if s.gen != w.class.gen || sr.Type != typeUnknown && sr.Type != s.told {
			w.decide(b, i, s)
		}
		if sr.H1 > sr.H0 && s.flags&isGauge == 0 {
			w.applyNative(b, i, id, s)
		}
		if s.flags&isCounter == 0 {
			continue
		}
		if s.flags&isPart != 0 {
			w.applyPart(b, i, s)
			continue
		}
		w.table.touch(id, s)
		c := w.table.counterOf(s)
		for j := sr.S0; j < sr.S1; j++ {
			sample := correct.Sample{T: b.Samples[j].T, V: b.Samples[j].V, ST: b.Samples[j].ST}
			if s.flags&isTroubled == 0 && c.Healthy(sample) {
				continue
			}
			w.correct(b, i, int(j), id, s, c, sample)
		}
	}
	w.park(b)
	w.metrics.applied(b)
	return after
}

// applyPart does the same for a series that is part of a histogram.
func (w *writer) applyPart(b *rewrite.Batch, i int, s *series) {
	gid := s.counter - 1
	g := w.groups.all[gid]
	if !g.dirty {
		w.groups.touch(gid)
	}
	for j := b.Series[i].S0; j < b.Series[i].S1; j++ {
		sample := correct.Sample{T: b.Samples[j].T, V: b.Samples[j].V, ST: b.Samples[j].ST}
		if !g.histogram.Healthy(int(s.part), sample) {
			w.offer(b, i, int(j), s, g, sample)
		}
	}
}

// meet makes the acquaintance of a series.
func (w *writer) meet(b *rewrite.Batch, i int) uint32 {
	w.class.notice(b, i)
	k := b.Series[i].Key
	w.labels[k] = w.slab.put(func(dst []byte) []byte { return appendIdentity(dst, b, i) })
	return w.table.add(k)
}

// decide settles whether a series is a counter, by all that is known now.
func (w *writer) decide(b *rewrite.Batch, i int, s *series) {
	d := w.class.decide(b, i)
	s.gen, s.told, s.policy = w.class.gen, b.Series[i].Type, d.policy
	s.flags &^= isCounter | isGauge
	if d.gauge {
		s.flags |= isGauge
	}
	if !d.counter {
		return
	}
	s.flags |= isCounter
	if d.part && s.flags&(isPart|isTroubled) == 0 {
		w.join(b.Tenant, s, d, b.Labels(i))
	}
}

// outlived drops what was remembered of a series that was away for longer
// than correct.forget_after.
func (w *writer) outlived(id uint32, s *series) {
	if w.natives.all[id] != nil {
		w.natives.renew(id)
	}
	if s.flags&isPart != 0 {
		w.dissolve(s.counter - 1)
		return
	}
	if s.counter != 0 {
		*w.table.counters.at(s.counter - 1) = correct.Counter{}
	}
	delete(w.table.troubles, id)
	s.flags &^= isTroubled
}

// correct is the way of a sample that is not plainly healthy.
func (w *writer) correct(b *rewrite.Batch, i, j int, id uint32, s *series, c *correct.Counter, sample correct.Sample) {
	tr := w.table.troubles[id]
	var rest *correct.Case
	if tr != nil {
		rest = tr.rest
	}
	rest, out := c.Apply(rest, w.class.policies[s.policy], sample)
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
}

// outcome does with a sample of the batch at hand what was decided.
func (w *writer) outcome(b *rewrite.Batch, i, j int, sample correct.Sample, out correct.Outcome, counts *[kindSlots]uint32) {
	switch {
	case w.observe: // decided and recorded, forwarded as it came
	case out.Drop:
		b.Drop(j)
		w.metrics.dropped.Inc()
	default:
		if !sameBits(out.V, sample.V) {
			b.SetValue(j, out.V)
			w.metrics.changed.Inc()
		}
		if out.ST != sample.ST {
			b.SetStart(j, out.ST)
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

// adopt puts rules from the journal in force.
func (w *writer) adopt(payload []byte) error {
	c, err := config.ParseCorrect(payload, "rules")
	if err != nil {
		return err
	}
	w.rules = append([]byte(nil), payload...)
	w.class.adopt(c)
	w.forgetMS = time.Duration(c.ForgetAfter).Milliseconds()
	w.joinMS = time.Duration(c.JoinWait).Milliseconds()
	if w.observe && c.Mode == config.ModeCorrect {
		w.startAnew()
	}
	w.observe = c.Mode == config.ModeObserve
	return nil
}

// startAnew drops every offset: the upstream has had raw values so far, and
// the first corrected one must follow on from them.
func (w *writer) startAnew() {
	for gid, g := range w.groups.all {
		if g != nil {
			w.dissolve(uint32(gid))
		}
	}
	for id := range w.table.troubles {
		s := w.table.series.at(id)
		w.outlived(id, s)
		w.table.touch(id, s)
	}
	for id := range w.natives.all {
		w.natives.renew(id)
	}
}

// forgetAll drops the series whose keys a KindForget record holds.
func (w *writer) forgetAll(payload []byte) {
	for len(payload) >= keyLen {
		k := decodeKey(payload)
		payload = payload[keyLen:]
		if id, ok := w.table.find(k); ok {
			w.forget(id)
		}
	}
	w.forgotten = w.next - 1
}

// forget drops what is known of a series. A histogram of which one part is
// forgotten starts anew as a whole.
func (w *writer) forget(id uint32) {
	s := w.table.series.at(id)
	if s.flags&isPart != 0 {
		w.dissolve(s.counter - 1)
	}
	delete(w.natives.all, id)
	delete(w.labels, s.key)
	w.gone = append(w.gone, s.key)
	w.table.forget(id)
}

// ask runs fn in the writer's goroutine, between two requests.
func (w *writer) ask(ctx context.Context, fn func()) error {
	done := make(chan struct{})
	select {
	case w.asks <- func() { fn(); close(done) }:
		<-done
		return nil
	case <-w.stopped:
		return ErrStopping
	case <-ctx.Done():
		return ctx.Err()
	}
}
