package forward

import (
	"context"
	"time"

	"pawl/internal/killpoint"
	"pawl/pkg/rewrite"
)

// sendUntilSettled repeats a batch until the upstream took it or refused it
// for good, another configuration came, or the batch is to give up its place.
func (f *Forwarder) sendUntilSettled(ctx context.Context, p *part, up *upstream, body []byte, kept rewrite.Counts) (answer, course) {
	f.health.inFlight.Add(1)
	defer f.health.inFlight.Add(-1)
	for attempt := p.tries; ; attempt++ {
		began := time.Now()
		ans := up.client.send(ctx, p.lane.tenant, body, kept, attempt)
		if ans.verdict == taken {
			killpoint.At(killpoint.SendAnswer)
		}
		f.metrics.send.WithLabelValues(ans.verdict.String()).Observe(time.Since(began).Seconds())
		switch ans.verdict {
		case taken:
			f.lanes.taken(p.lane)
			if f.health.ok() {
				f.log.Info("upstream takes batches again", "url", up.client.display)
			}
			if ans.note != "" {
				if more, ok := f.partly.may(); ok {
					f.log.Warn("upstream took a batch, but not all of it", "batch", p.Seq, "answer", ans.note, "batches_not_logged", more)
				}
			}
			return ans, settled
		case refused:
			f.lanes.taken(p.lane)
			return ans, settled
		}
		if ctx.Err() != nil {
			return ans, ended
		}
		if f.upstream.Load() != up {
			return ans, changed
		}
		wait := up.backoff.after(attempt, ans.retryAfter)
		if f.lanes.refusedAlone(p.lane, f.parker != nil, ans) {
			f.tellHeld(p.lane, ans)
		} else if f.health.failed(ans.err) {
			f.log.Warn("upstream does not take batches; they wait in the journal and are retried",
				"url", up.client.display, "batch", p.Seq, "attempt", attempt+1, "retry_in", wait.Round(time.Millisecond), "err", ans.err)
		}
		f.metrics.retries.Inc()
		if c := f.pause(ctx, p, ans, began, wait); c != settled {
			return ans, c
		}
	}
}

// pause waits before the next attempt, and then returns settled; or the batch
// is to give up its place, or ctx was done. The failed attempt began then.
func (f *Forwarder) pause(ctx context.Context, p *part, ans answer, began time.Time, wait time.Duration) course {
	p.retryIn = wait
	// One batch that gets through speaks for the others: what follows in
	// order waits for the slowest of them, so none may sleep on for seconds.
	var back <-chan struct{}
	if ans.retryAfter == 0 {
		back = f.health.recovery()
	}
	over := time.After(wait)
	for {
		hold, left, held := f.lanes.failing(p.lane, began, f.parker != nil, ans.aboutTenant())
		if p.recalled {
			return givenUp
		}
		if hold {
			f.hold(p.lane, ans)
			return givenUp
		}
		var again <-chan time.Time
		if left > 0 {
			again = time.After(left)
		}
		select {
		case <-ctx.Done():
			return ended
		case <-over:
			return settled
		case <-back:
			return settled
		case <-held:
			if f.lanes.gives(p.lane) {
				return givenUp
			}
		case <-again:
		}
	}
}
