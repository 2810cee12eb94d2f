package bench

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// startBacklog is how much waits in the journal when the relay of the start's run is killed, in bytes.
const startBacklog = 1 << 30

// startUp measures how long a relay with many series and a gibibyte of
// backlog takes from its start until it takes requests again: after a clean
// stop without a backlog, and after kill -9 with it.
func (b *bencher) startUp(ctx context.Context, p Proto) error {
	r, err := b.assemblePawl(ctx, p)
	if err != nil {
		return err
	}
	defer r.close()
	load := NewLoad(&Fleet{Series: b.Plan.BigSeries}, p, r.write+"/api/v1/write", b.Plan.Conns, b.Plan.Batch, b.Plan.Capacity)
	defer load.Close()
	if _, err := r.send(ctx, load, 2); err != nil {
		return err
	}
	if err := r.relay.stop(); err != nil { // which writes a checkpoint of all of them
		return err
	}
	if err := r.start(ctx); err != nil {
		return err
	}
	one := func(figure string, v float64) { b.report.add(p, r.subject.Name, figure, []float64{v}) }
	one(figureStartClean, r.startedIn.Seconds())
	b.logf("relay %s: ready %.2f s after its start with %d series and no backlog", p, r.startedIn.Seconds(), b.Plan.BigSeries)

	if err := r.answer(http.StatusServiceUnavailable); err != nil {
		return err
	}
	waiting := 0.0
	for waiting < startBacklog {
		if err := load.Scrapes(ctx, 1); err != nil {
			return err
		}
		if waiting, err = r.metric("pawl_backlog_bytes"); err != nil {
			return err
		}
	}
	samples, err := r.metric("pawl_backlog_samples")
	if err != nil {
		return err
	}
	r.relay.kill()
	if err := r.start(ctx); err != nil {
		return err
	}
	ready := r.startedIn
	one(figureStartKilled, ready.Seconds())
	began := time.Now()
	if err := r.answer(http.StatusNoContent); err != nil {
		return err
	}
	sent := load.Sent()
	if _, err := r.delivered(ctx, sent.Samples); err != nil {
		return err
	}
	took := time.Since(began)
	one(figureStartDrain, took.Seconds())
	u, err := r.relay.usage()
	if err != nil {
		return err
	}
	one(figureStartPeak, float64(u.peak)/1e6)
	b.logf("relay %s: killed with %.2f GiB of backlog (%.1f M samples), ready after %.2f s, delivered after %.0f s more, at most %s of memory", p,
		waiting/(1<<30), samples/1e6, ready.Seconds(), took.Seconds(), fmt.Sprintf("%.0f MB", float64(u.peak)/1e6))
	return r.relay.stop()
}
