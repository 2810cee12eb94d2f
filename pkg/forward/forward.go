// Package forward sends corrected batches to the one upstream: in parallel,
// in order per series, again and again until the upstream has them or refuses
// them for good.
//
// Its contract: every Item given to Run's channel is encoded, sent and then
// counted in the Mark, once the upstream acknowledged it, or once it stands in
// the rejected store. An Item is sent only when every batch up to Item.After
// is counted, so two batches that share a series never overtake one another,
// not even when one of them is retried.
package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/relabel"

	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// Item is one batch on its way to the upstream.
type Item struct {
	Seq     uint64           // its place in the journal
	After   uint64           // the last earlier batch that it shares a series with, 0 for none
	Time    int64            // when it was received, ms
	Replay  bool             // read back after a start: the upstream may have it already
	Late    []*rewrite.Batch // samples held out of earlier batches: they go out before Batch
	Batch   *rewrite.Batch   // corrected; the forwarder encodes it; nil if there are only late ones
	Account                  // settled with it
	Done    func()           // called once when the batch is no longer needed; may be nil
}

// Rejecter keeps what the upstream refused for good.
type Rejecter interface {
	Add(store.Rejected) error
}

// Forwarder is the way to the upstream.
type Forwarder struct {
	upstream atomic.Pointer[upstream]
	mark     *Mark
	rejected Rejecter
	parker   Parker
	lanes    *lanes
	log      *slog.Logger
	metrics  *metrics
	health   health
	refusals seldom // of the log's lines about refused batches
	partly   seldom // about batches of which not all was taken
}

// upstream is one configuration of the upstream; a reload swaps it whole.
type upstream struct {
	client  *client
	relabel []*relabel.Config
	version rewrite.Version
	backoff backoff
}

// Options are what a Forwarder is made of.
type Options struct {
	Upstream     *config.RemoteWriteConfig
	TenantHeader string // the header that carries the tenant, "" for none
	UserAgent    string
	Mark         *Mark
	Rejected     Rejecter
	Parked       Parker // where the batches of tenants that are held go; nil: they stay in memory
	Logger       *slog.Logger
	Registerer   prometheus.Registerer
}

// New makes a forwarder; it connects to nothing yet.
func New(o Options) (*Forwarder, error) {
	f := &Forwarder{
		mark: o.Mark, rejected: o.Rejected, parker: o.Parked, lanes: newLanes(), log: o.Logger,
		metrics: newMetrics(o.Registerer),
	}
	registerLanes(o.Registerer, f.lanes, o.Parked)
	if err := f.Configure(o.Upstream, o.TenantHeader, o.UserAgent); err != nil {
		return nil, err
	}
	registerHealth(o.Registerer, f)
	return f, nil
}

// Configure puts another upstream configuration in force from the next
// attempt on. On an error the old one stays.
func (f *Forwarder) Configure(rc *config.RemoteWriteConfig, tenantHeader, userAgent string) error {
	c, err := newClient(rc, tenantHeader, userAgent)
	if err != nil {
		return fmt.Errorf("make a client for the upstream %s: %w", rc.URL.Redacted(), err)
	}
	old := f.upstream.Swap(&upstream{
		client: c, relabel: rc.WriteRelabelConfigs, version: c.version,
		backoff: backoff{min: time.Duration(rc.QueueConfig.MinBackoff), max: time.Duration(rc.QueueConfig.MaxBackoff)},
	})
	if old != nil {
		old.client.http.CloseIdleConnections()
	}
	return nil
}

// Run sends what comes in with the given number of workers until in is closed
// and everything is settled, or ctx is done. What it had not delivered by then
// is not counted in the Mark, so the journal still holds it. The error, if any,
// is final: the rejected store could not be written.
func (f *Forwarder) Run(ctx context.Context, in <-chan Item, workers int) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var straight, keepers sync.WaitGroup
	work := make(chan *part)
	straight.Go(func() { f.dispatch(ctx, in, work) })
	for range workers {
		straight.Go(func() {
			var scratch []byte
			for p := range work {
				var err error
				if scratch, err = f.deliver(ctx, p, scratch); err != nil {
					stop(err)
				}
			}
		})
	}
	for range keepersFor(workers) {
		keepers.Go(func() {
			if err := f.keep(ctx); err != nil {
				stop(err)
			}
		})
	}
	straight.Wait()
	f.lanes.wait(ctx)
	stop(context.Canceled)
	keepers.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// dispatch hands batches to the workers in their order; those of a tenant that
// is held it parks.
func (f *Forwarder) dispatch(ctx context.Context, in <-chan Item, work chan<- *part) {
	defer close(work)
	for {
		select {
		case <-ctx.Done():
			return
		case it, ok := <-in:
			if !ok {
				return
			}
			for _, p := range f.parts(it) {
				if f.lanes.gives(p.lane) && f.park(p) {
					continue
				}
				select {
				case work <- p:
					continue
				default:
				}
				f.lanes.handing(time.Now())
				select {
				case <-ctx.Done():
					return
				case work <- p:
				}
				f.lanes.handing(time.Time{})
			}
		}
	}
}

// course is what came of trying to get a batch to the upstream.
type course uint8

const (
	ended   course = iota // ctx was done first
	settled               // taken, or refused for good
	changed               // another configuration came: again from the start
	givenUp               // not now: the batch is to be parked
)

// deliver is the whole way of one part: wait for its turn, send what it
// holds, count it. It returns the scratch buffer for the next one.
func (f *Forwarder) deliver(ctx context.Context, p *part, scratch []byte) (_ []byte, err error) {
	for {
		var c course
		if c, scratch, err = f.deliverAll(ctx, p, scratch); err != nil {
			return scratch, err
		}
		switch c {
		case settled:
			f.settle(p)
			return scratch, nil
		case ended:
			return scratch, nil
		}
		if f.park(p) {
			return scratch, nil
		}
	}
}

// deliverAll sends a part's batches one after the other.
func (f *Forwarder) deliverAll(ctx context.Context, p *part, scratch []byte) (course, []byte, error) {
	batches := p.Late
	if p.Batch != nil {
		batches = append(batches, p.Batch)
	}
	for _, b := range batches {
		var c course
		var err error
		if c, scratch, err = f.deliverBatch(ctx, p, b, scratch); err != nil || c != settled {
			return c, scratch, err
		}
	}
	return settled, scratch, nil
}

// deliverBatch encodes one batch, waits for its turn and sends it; one that
// waits while the configuration changes is encoded anew.
func (f *Forwarder) deliverBatch(ctx context.Context, p *part, b *rewrite.Batch, scratch []byte) (course, []byte, error) {
	for {
		up := f.upstream.Load()
		body, kept := f.encode(p.Item, b, up, scratch)
		if !sameMemory(body, b.Compressed) {
			scratch = body[:0]
		}
		if kept == (rewrite.Counts{}) {
			f.metrics.away(b, up, kept)
			return settled, scratch, nil
		}
		if !p.recalled { // else its turn had come when it was recalled
			give, err := f.lanes.turn(ctx, p.lane, p.After)
			if err != nil {
				return ended, scratch, nil
			}
			if give {
				return givenUp, scratch, nil
			}
		}
		ans, c := f.sendUntilSettled(ctx, p, up, body, kept)
		var err error
		switch {
		case c == settled && ans.verdict == refused:
			c, err = f.findGuilty(ctx, p, up, body, kept, ans)
		case c == settled:
			f.metrics.delivered(kept)
			f.metrics.arrived(p.Time)
		}
		if err != nil || c != changed {
			if c == settled {
				f.metrics.away(b, up, kept)
			}
			return c, scratch, err
		}
	}
}

// encode makes the request body for the upstream as it is configured now.
func (f *Forwarder) encode(it Item, b *rewrite.Batch, up *upstream, scratch []byte) ([]byte, rewrite.Counts) {
	began := time.Now()
	body, kept, err := b.Encode(scratch[:0], up.version, up.relabel)
	if err != nil {
		panic(fmt.Sprintf("BUG: batch %d was accepted and cannot be encoded: %v", it.Seq, err))
	}
	f.metrics.encode.Observe(time.Since(began).Seconds())
	return body, kept
}

// sameMemory tells whether two slices begin at the same byte.
func sameMemory(a, b []byte) bool {
	return cap(a) > 0 && cap(b) > 0 && unsafe.SliceData(a) == unsafe.SliceData(b)
}
