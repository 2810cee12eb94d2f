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

	"pawl/internal/killpoint"
	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// Item is one batch on its way to the upstream.
type Item struct {
	Seq    uint64           // its place in the journal
	After  uint64           // the last earlier batch that it shares a series with, 0 for none
	Time   int64            // when it was received, ms
	Replay bool             // read back after a start: the upstream may have it already
	Late   []*rewrite.Batch // samples held out of earlier batches: they go out before Batch
	Batch  *rewrite.Batch   // corrected; the forwarder encodes it; nil if there are only late ones
	Done   func()           // called once when the batch is no longer needed; may be nil
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
	log      *slog.Logger
	metrics  *metrics
	health   health
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
	Logger       *slog.Logger
	Registerer   prometheus.Registerer
}

// New makes a forwarder; it connects to nothing yet.
func New(o Options) (*Forwarder, error) {
	f := &Forwarder{
		mark: o.Mark, rejected: o.Rejected, log: o.Logger,
		metrics: newMetrics(o.Registerer),
	}
	if err := f.Configure(o.Upstream, o.TenantHeader, o.UserAgent); err != nil {
		return nil, err
	}
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

// Run sends what comes in with the given number of workers until in is closed,
// or ctx is done. What it had not delivered by then is not counted in the
// Mark, so the journal still holds it. The error, if any, is final: the
// rejected store could not be written.
func (f *Forwarder) Run(ctx context.Context, in <-chan Item, workers int) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			var scratch []byte
			for {
				select {
				case <-ctx.Done():
					return
				case it, ok := <-in:
					if !ok {
						return
					}
					var err error
					if scratch, err = f.deliver(ctx, it, scratch); err != nil {
						stop(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// deliver is the whole way of one item: wait for its turn, send what it
// holds, count it. It returns the scratch buffer for the next one.
func (f *Forwarder) deliver(ctx context.Context, it Item, scratch []byte) (_ []byte, err error) {
	batches := it.Late
	if it.Batch != nil {
		batches = append(batches, it.Batch)
	}
	for _, b := range batches {
		var settled bool
		if scratch, settled, err = f.deliverBatch(ctx, it, b, scratch); err != nil || !settled {
			return scratch, err
		}
	}
	f.mark.Done(it.Seq)
	if it.Done != nil {
		it.Done()
	}
	return scratch, nil
}

// deliverBatch encodes one batch, waits for its turn and sends it; one that
// waits while the configuration changes is encoded anew. It is not settled
// when ctx ended first.
func (f *Forwarder) deliverBatch(ctx context.Context, it Item, b *rewrite.Batch, scratch []byte) (_ []byte, settled bool, err error) {
	for {
		up := f.upstream.Load()
		body, kept := f.encode(it, b, up, scratch)
		if !sameMemory(body, b.Compressed) {
			scratch = body[:0]
		}
		if kept == (rewrite.Counts{}) {
			return scratch, true, nil
		}
		if f.mark.Wait(ctx, it.After) != nil {
			return scratch, false, nil
		}
		ans, ok := f.sendUntilSettled(ctx, it, b.Tenant, up, body, kept)
		switch {
		case ctx.Err() != nil && !ok:
			return scratch, false, nil
		case !ok:
			continue
		case ans.verdict == refused:
			settled, err = f.findGuilty(ctx, it, b.Tenant, up, body, kept, ans)
			if !settled && err == nil && ctx.Err() == nil {
				continue // another configuration came: the whole of it again, there
			}
			return scratch, settled, err
		}
		f.metrics.delivered(kept)
		f.metrics.delay.Observe(time.Since(time.UnixMilli(it.Time)).Seconds())
		return scratch, true, nil
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
	f.metrics.droppedExemplars.Add(float64(b.DroppedExemplars()))
	return body, kept
}

// sameMemory tells whether two slices begin at the same byte.
func sameMemory(a, b []byte) bool {
	return cap(a) > 0 && cap(b) > 0 && unsafe.SliceData(a) == unsafe.SliceData(b)
}

// sendUntilSettled repeats a batch until the upstream took it or refused it
// for good; false when ctx ended or another configuration came first.
func (f *Forwarder) sendUntilSettled(ctx context.Context, it Item, tenant string, up *upstream, body []byte, kept rewrite.Counts) (answer, bool) {
	f.health.inFlight.Add(1)
	defer f.health.inFlight.Add(-1)
	for attempt := 0; ; attempt++ {
		began := time.Now()
		ans := up.client.send(ctx, tenant, body, kept, attempt)
		if ans.verdict == taken {
			killpoint.At(killpoint.SendAnswer)
		}
		f.metrics.send.WithLabelValues(ans.verdict.String()).Observe(time.Since(began).Seconds())
		switch ans.verdict {
		case taken:
			if f.health.ok() {
				f.log.Info("upstream takes batches again", "url", up.client.display)
			}
			if ans.note != "" {
				f.log.Warn("upstream took a batch, but not all of it", "batch", it.Seq, "answer", ans.note)
			}
			return ans, true
		case refused:
			return ans, true
		}
		if ctx.Err() != nil || f.upstream.Load() != up {
			return ans, false
		}
		wait := up.backoff.after(attempt, ans.retryAfter)
		if f.health.failed(ans.err) {
			f.log.Warn("upstream does not take batches; they wait in the journal and are retried",
				"url", up.client.display, "batch", it.Seq, "attempt", attempt+1, "retry_in", wait.Round(time.Millisecond), "err", ans.err)
		}
		f.metrics.retries.Inc()
		// One batch that gets through speaks for the others: what follows in
		// order waits for the slowest of them, so none may sleep on for seconds.
		var back <-chan struct{}
		if ans.retryAfter == 0 {
			back = f.health.recovery()
		}
		select {
		case <-ctx.Done():
			return ans, false
		case <-time.After(wait):
		case <-back:
		}
	}
}
