// Package sequence gives every request its place in the one order of things
// and applies the requests to the series in that order: it commits them to the
// journal, decides with pkg/correct what each sample becomes, hands the batches
// on to be forwarded, and keeps checkpoints of what it knows.
//
// Its contract: Commit returns nil only once the request is on disk. One
// goroutine, the writer, owns all series state; nothing else touches it, so
// there are no locks, and the same journal always gives the same corrections.
// Whatever can change a correction is therefore in the journal itself: the
// batches, the rules in force (KindRules) and what was forgotten (KindForget).
//
//	Commit ─▶ committer ─▶ journal ─▶ feed ─▶ writer ─▶ forward.Item
//	                                             └────▶ checkpoint
package sequence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"pawl/pkg/config"
	"pawl/pkg/forward"
	"pawl/pkg/store"
)

// ErrStopping answers a request that came while the relay stops.
var ErrStopping = errors.New("the relay is stopping")

// Options are what a Sequencer is made of.
type Options struct {
	Journal *store.Journal
	State   *store.State
	Mark    *forward.Mark       // starts at the good checkpoint's Seq
	Out     chan<- forward.Item // to the forwarder; closed by Run when it returns
	Correct config.Correct

	// Delivered is the last record that the upstream is known to have: a replay
	// applies everything up to it and sends none of it again.
	Delivered uint64

	CheckpointEvery time.Duration // at most so often
	TailBytes       int64         // committed requests kept in memory for the writer; more are read back from the journal
	WindowBytes     int64         // of batches between the writer and the upstream's acknowledgement

	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Sequencer is the one order.
type Sequencer struct {
	committer *committer
	feed      *feed
	writer    *writer
	log       *slog.Logger
}

// New reads the state of the last good checkpoint back. The journal is
// replayed from there by Run.
func New(o Options) (*Sequencer, error) {
	m := newMetrics(o.Registerer)
	good, _ := o.State.Good()
	if first := o.Journal.First(); first > good.Seq+1 {
		return nil, fmt.Errorf("the journal begins at record %d, but the last good checkpoint reaches only to %d: records %d to %d are missing; restore the journal's older segments, or move the whole storage directory away to start from nothing",
			first, good.Seq, good.Seq+1, first-1)
	}
	if end := o.Journal.End(); end < good.Seq+1 {
		return nil, fmt.Errorf("the journal ends at record %d, but the last good checkpoint reaches to %d: acknowledged records are missing; restore the journal's segments, or move the whole storage directory away to start from nothing",
			end-1, good.Seq)
	}
	w, err := newWriter(o, good, m)
	if err != nil {
		return nil, err
	}
	registerAccounts(o.Registerer, o.Mark)
	f := newFeed(o.Journal, o.TailBytes, w.flow, m)
	f.seek = w.seek
	return &Sequencer{
		committer: newCommitter(o.Journal, f, m), feed: f, writer: w, log: o.Logger,
	}, nil
}

// Run works until ctx is done: what was committed stays in the journal. It
// closes the way to the forwarder. The error, if any, is final.
func (s *Sequencer) Run(ctx context.Context) error {
	defer close(s.writer.out)
	g, ctx := errgroup.WithContext(ctx)
	ready := make(chan *Request, 16)
	g.Go(func() error { return s.committer.run(ctx) })
	g.Go(func() error { return s.feed.run(ctx, s.writer.next, ready) })
	g.Go(func() error { return s.writer.run(ctx, ready) })
	g.Go(func() error { return s.tick(ctx) })
	return g.Wait()
}

// Commit puts a checked request into the journal and returns once it is on
// disk; the request then belongs to the sequencer. After an error it belongs
// to the caller again, and nothing of it was accepted.
func (s *Sequencer) Commit(r *Request) error { return s.committer.commit(r) }

// Known is how many series there are.
func (s *Sequencer) Known() int { return int(s.writer.live.Load()) }

// Adopt puts rules in force for everything committed from now on. They go
// through the journal, so that a replay finds them where they changed.
func (s *Sequencer) Adopt(d config.Decisions) error {
	return s.control(store.KindRules, d.YAML())
}

// control commits a record of the relay's own.
func (s *Sequencer) control(kind store.RecordKind, payload []byte) error {
	r := &Request{Body: payload, Time: time.Now().UnixMilli(), kind: kind, done: make(chan error, 1)}
	return s.committer.commit(r)
}

// tickEvery is how often time itself is written into the journal while
// histograms wait for their parts and nothing else is.
const tickEvery = 500 * time.Millisecond

// tick writes the time into the journal while histograms wait for their
// parts: how long they wait is measured in journal time.
func (s *Sequencer) tick(ctx context.Context) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if s.writer.groups.waits.Load() == 0 {
			continue
		}
		if err := s.control(store.KindTick, nil); err != nil && !errors.Is(err, ErrStopping) {
			s.log.Warn("cannot write the time into the journal; histograms wait longer for their parts", "err", err)
		}
	}
}

// Drain waits until everything committed has been delivered and stands in a
// good checkpoint, or ctx is done.
func (s *Sequencer) Drain(ctx context.Context) {
	w := s.writer
	end := w.journal.End()
	if w.mark.Wait(ctx, end-1) != nil {
		return
	}
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		if good, _ := w.state.Good(); good.Seq+1 >= end {
			return
		}
		select {
		case w.checkpointNow <- struct{}{}:
		default:
		}
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}
