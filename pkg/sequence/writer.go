package sequence

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"pawl/internal/killpoint"
	"pawl/pkg/config"
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
	targets  *targets
	lost     *losses
	class    *classifier
	pairs    *elections
	rules    []byte      // the rules in force, as the journal holds them
	next     uint64      // the record to be applied next
	clock    int64       // journal time, ms: never goes back
	forgetMS int64       // correct.forget_after
	joinMS   int64       // correct.join_wait
	observe  bool        // correct.mode: decide and record, forward untouched
	labels   *identities // of series met since the last draft
	history  []Entry     // corrections since the last draft
	draft    *draft      // the checkpoint under way
	ahead    int         // maxQueued
	pieces   pieces      // the checkpointer's while there is a draft
	paged    []byte      // scratch
	packing  []byte      // scratch
	// Which batch last held a forgotten series is forgotten too, so whatever is
	// met after this record waits for everything before it.
	forgotten uint64
	kept      int             // entries in the corrections log, drafts included
	nth       uint32          // corrections made by the record at hand
	late      []late          // samples that were held and go out with the record at hand
	batch     *rewrite.Batch  // the batch at hand, nil between two
	account   forward.Account // of the record at hand
	lastGood  time.Time
	lastBegan time.Time     // of the last draft
	lastBusy  time.Duration // what it took
	samples   int64         // since then
	purged    uint32        // the place that purge looks at next

	asks          chan func() // run between two requests
	stopped       chan struct{}
	checkpointNow chan struct{}
	checkpointed  chan error // the checkpointer's word on the draft
	every         time.Duration
	oldEnd        uint64 // where the journal ended when we started
	replaying     bool   // it has not come to there
	delivered     uint64 // what the upstream had by then

	flow    *flow // what is in memory; the forwarder's goroutines take off
	applied atomic.Uint64
	live    atomic.Int64 // how many series there are, for everybody

	// What batches are looked through for before they get here: the labels in force, which is a hint only.
	seek *atomic.Pointer[rewrite.PairLabels]
}

func newWriter(o Options, good store.Checkpoint, m *metrics) (*writer, error) {
	w := &writer{
		out: o.Out, mark: o.Mark, state: o.State, journal: o.Journal, log: o.Logger, metrics: m,
		table: newTable(), groups: newGroups(), natives: newNatives(), targets: newTargets(), lost: newLosses(), class: newClassifier(), pairs: newElections(), next: good.Seq + 1,
		seek:     &atomic.Pointer[rewrite.PairLabels]{},
		forgetMS: time.Duration(o.Correct.ForgetAfter).Milliseconds(), joinMS: time.Duration(o.Correct.JoinWait).Milliseconds(), labels: newIdentities(), pieces: pieces{}, ahead: maxQueued,
		asks: make(chan func()), stopped: make(chan struct{}), checkpointNow: make(chan struct{}, 1), checkpointed: make(chan error, 1),
		every: o.CheckpointEvery, oldEnd: o.Journal.End(), delivered: o.Delivered, lastGood: time.Now(), lastBegan: time.Now(),
		flow: newFlow(o.WindowBytes),
	}
	w.applied.Store(good.Seq)
	if err := w.load(); err != nil {
		return nil, fmt.Errorf("read the series state back: %w", err)
	}
	if o.Mark != nil {
		o.Mark.Owe(w.heldSamples())
	}
	if w.replaying = w.next < w.oldEnd; w.replaying {
		o.Logger.Info("the journal is replayed from the last good checkpoint on", "from", w.next, "to", w.oldEnd-1, "upstream_has", w.delivered)
	}
	w.count()
	return w, nil
}

// count tells everybody else how many series there are.
func (w *writer) count() {
	w.live.Store(int64(w.table.live))
	w.metrics.series.Set(float64(w.table.live))
}

// run is the way of every request: take the next, apply it, hand it on.
func (w *writer) run(ctx context.Context, ready <-chan *Request) error {
	tick := time.NewTicker(min(w.every, time.Second))
	defer tick.Stop()
	copying := time.NewTicker(copyEvery)
	copying.Stop()
	defer func() {
		close(w.stopped)
		if w.draft != nil {
			if err := <-w.checkpointed; err != nil { // it ends with ctx
				w.log.Warn("the last checkpoint could not be written; the next start replays more of the journal", "err", err)
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case r, ok := <-ready:
			if !ok {
				return nil
			}
			if err := w.handle(ctx, r); err != nil {
				return err
			}
		case ask := <-w.asks:
			ask()
		case <-tick.C:
			w.purge(purgePlaces)
			w.hurryDue()
			if w.dueNow() {
				w.beginCheckpoint(ctx)
				copying.Reset(copyEvery)
			}
		case <-copying.C:
			if w.draft == nil || w.draft.queued() < w.ahead && w.copySome(copyPages) {
				copying.Stop()
			}
		case <-w.checkpointNow: // the relay stops, or the disk is short of space
			w.beginCheckpoint(ctx)
			w.hurry()
			w.copySome(math.MaxInt)
		case err := <-w.checkpointed:
			if err != nil {
				w.draft = nil // it is over: nobody is to wait for it
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
	switch {
	case r.seq < w.oldEnd:
		killpoint.At(killpoint.RecoverReplay)
	case w.replaying:
		w.replaying = false
		w.log.Info("the journal is replayed; what the upstream may not have is on its way", "to", w.oldEnd-1)
	default:
		killpoint.At(killpoint.AnswerApply)
	}
	w.next++
	w.nth = 0
	w.account = forward.Account{}
	w.clock = max(w.clock, r.Time)
	it := forward.Item{Seq: r.seq, Time: r.Time, Replay: r.seq < w.oldEnd}
	w.overdue()
	switch r.kind {
	case store.KindBatch1, store.KindBatch2:
		n := len(r.Batch.Samples) + len(r.Batch.Histograms)
		w.account.Samples += uint32(n)
		w.samples += int64(n)
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
	w.count()
	if it.Batch == nil {
		w.flow.leave(r.held)
		if len(it.Late) == 0 {
			w.mark.Settle(w.account)
			w.mark.Done(r.seq)
			return nil
		}
	}
	it.Account = w.account
	if r.seq <= w.delivered { // the upstream has it from before the start, and what was left out was counted then
		w.mark.Settle(forward.Account{Samples: it.Samples})
		w.mark.Done(r.seq)
		if it.Batch != nil {
			w.land(r)
		}
		return nil
	}
	killpoint.At(killpoint.ApplySend)
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
	held := r.held
	r.Release()
	w.flow.leave(held)
}

// adopt puts rules from the journal in force.
func (w *writer) adopt(payload []byte) error {
	c, err := config.ParseDecisions(payload, "rules")
	if err != nil {
		return err
	}
	w.rules = append([]byte(nil), payload...)
	w.class.adopt(c.Correct)
	w.forgetMS = time.Duration(c.ForgetAfter).Milliseconds()
	w.joinMS = time.Duration(c.JoinWait).Milliseconds()
	switch observe := c.Mode == config.ModeObserve; {
	case w.observe && !observe:
		w.startAnew()
	case observe && !w.observe:
		w.letGo() // while it is not taken for what went out already
	}
	w.observe = c.Mode == config.ModeObserve
	w.pairs.adopt(c.HA, w.observe)
	labels := w.pairs.labels
	w.seek.Store(&labels)
	return nil
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
