package bench

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// latency measures the time to an answer at a fixed rate of small requests.
func (b *bencher) latency(ctx context.Context, p Proto) error {
	r, err := b.assemblePawl(ctx, p)
	if err != nil {
		return err
	}
	defer r.close()
	load := NewLoad(&Fleet{Series: b.Plan.Series}, p, r.write+"/api/v1/write", smallShards, b.Plan.Small, b.Plan.Capacity)
	defer load.Close()
	if _, err := r.send(ctx, load, 2); err != nil {
		return err
	}
	u0, err := r.relay.usage()
	if err != nil {
		return err
	}
	before := load.Sent().Samples
	pacing, stop := context.WithTimeout(ctx, b.Plan.LatencyS)
	answers, err := load.Paced(pacing, b.Plan.Rate)
	stop()
	if err != nil {
		return err
	}
	if _, err := r.send(ctx, load, 0); err != nil {
		return err
	}
	u1, err := r.relay.usage()
	if err != nil {
		return err
	}
	var times []time.Duration
	for _, a := range answers {
		times = append(times, a.Took)
	}
	one := func(figure string, v float64) { b.report.add(p, r.subject.Name, figure, []float64{v}) }
	one(figureP50, ms(quantile(times, 0.5)))
	one(figureP99, ms(quantile(times, 0.99)))
	one(figureMax, ms(quantile(times, 1)))
	one(figurePacedCost, (u1.cpu-u0.cpu)/float64(load.Sent().Samples-before)*1e6)
	b.logf("relay %s: %d answers, p50 %.1f ms, p99 %.1f ms, longest %.1f ms", p, len(times), ms(quantile(times, 0.5)), ms(quantile(times, 0.99)), ms(quantile(times, 1)))
	return r.relay.stop()
}

// backlog lets the upstream refuse for a while under a live load, and measures
// how fast what has gathered goes out beside it.
func (b *bencher) backlog(ctx context.Context, p Proto) error {
	r, err := b.assemblePawl(ctx, p)
	if err != nil {
		return err
	}
	defer r.close()
	load := NewLoad(&Fleet{Series: b.Plan.Series}, p, r.write+"/api/v1/write", smallShards, b.Plan.Small, b.Plan.Capacity)
	defer load.Close()
	if _, err := r.send(ctx, load, 1); err != nil {
		return err
	}
	pacing, stop := context.WithCancel(ctx)
	defer stop()
	over := make(chan error, 1)
	go func() {
		_, err := load.Paced(pacing, b.Plan.Rate)
		over <- err
	}()
	d, err := r.drain(ctx, load, b.Plan.Outage)
	stop()
	if err = errors.Join(err, <-over); err != nil {
		return err
	}
	if _, err := r.send(ctx, load, 0); err != nil {
		return err
	}
	live := float64(b.Plan.Rate * b.Plan.Small)
	one := func(figure string, v float64) { b.report.add(p, r.subject.Name, figure, []float64{v}) }
	one(figureDrain, d.rate/live)
	one(figureFirst, d.first.Seconds())
	one(figureDrainRSS, float64(d.rss)/1e6)
	b.logf("relay %s: a backlog of %.1f M samples was gone in %.1f s, %.1f times the live rate; the first of it came after %.1f s", p, float64(d.samples)/1e6, d.took.Seconds(), d.rate/live, d.first.Seconds())
	return r.relay.stop()
}

// draining is how a backlog went.
type draining struct {
	samples int64         // that had gathered
	first   time.Duration // from the upstream's return to the first of them: the backoff
	took    time.Duration // from then until live was reached
	rate    float64       // samples/s meanwhile, live ones included
	rss     int64         // bytes when the upstream came back
}

// drainLimit is the longest that a backlog may take.
const drainLimit = 3 * time.Minute

func (r *rig) drain(ctx context.Context, load *Load, outage time.Duration) (d draining, err error) {
	if err := r.answer(http.StatusServiceUnavailable); err != nil {
		return d, err
	}
	select {
	case <-ctx.Done():
		return d, ctx.Err()
	case <-time.After(outage):
	}
	u, err := r.relay.usage()
	if err != nil {
		return d, err
	}
	d.rss = u.rss
	before, err := r.received()
	if err != nil {
		return d, err
	}
	d.samples = load.acked.Load() - before.Samples
	returned := time.Now()
	if err := r.answer(http.StatusNoContent); err != nil {
		return d, err
	}
	var got Received
	poll := func() bool { got, err = r.received(); return err != nil }
	werr := await(ctx, r.relay, drainLimit, 5*time.Millisecond, "the first of the backlog", func() bool { return poll() || got.Samples > before.Samples })
	if err = errors.Join(err, werr); err != nil {
		return d, err
	}
	first, from := time.Now(), got.Samples
	d.first = first.Sub(returned)
	werr = await(ctx, r.relay, drainLimit, 5*time.Millisecond, "the backlog's end", func() bool {
		live := load.acked.Load()
		return poll() || got.Samples >= live-int64(len(load.shards)*len(load.shards[0].batches[0].series))
	})
	if err = errors.Join(err, werr); err != nil {
		return d, err
	}
	d.took = time.Since(first)
	d.rate = float64(got.Samples-from) / d.took.Seconds()
	return d, nil
}
