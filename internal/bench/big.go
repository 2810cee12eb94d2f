package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// smallShards are the connections of the paced runs: enough that a slow
// answer holds up only a sixteenth of the series.
const smallShards = 16

// big is the life of a relay with many series: its cost and memory, its answers
// while it writes a checkpoint of all of them, and its next start.
func (b *bencher) big(ctx context.Context, p Proto) error {
	if err := b.bigCost(ctx, p); err != nil {
		return err
	}
	if err := b.warm(b.Plan.BigSeries); err != nil {
		return err
	}
	r, err := b.assemblePawl(ctx, p)
	if err != nil {
		return err
	}
	defer r.close()
	fleet := &Fleet{Series: b.Plan.BigSeries}
	load := NewLoad(fleet, p, r.write+"/api/v1/write", b.Plan.Conns, b.Plan.Batch, b.Plan.Capacity)
	c, err := r.run(ctx, load, b.Plan.BigScrapes)
	load.Close()
	if err != nil {
		return err
	}
	n := float64(b.Plan.BigSeries)
	one := func(figure string, v float64) { b.report.add(p, r.subject.Name, figure, []float64{v}) }
	one(figureBytes, float64(c.end.rss)/n)
	b.logf("relay %s with %d series: %.0f bytes per series", p, b.Plan.BigSeries, float64(c.end.rss)/n)

	start, sent := load.start, load.Sent()
	load = nil // its messages are as large as the new one's
	if err := b.checkpoint(ctx, r, p, fleet, start, sent); err != nil {
		return err
	}
	if err := r.relay.stop(); err != nil {
		return err
	}
	one(figurePeakBytes, float64(r.relay.peak)/n)
	if err := r.start(ctx); err != nil {
		return err
	}
	one(figureStart, r.startedIn.Seconds())
	u, err := r.relay.usage()
	if err != nil {
		return err
	}
	one(figureStartBytes, float64(u.rss)/n)
	return r.relay.stop()
}

// bigCost is what a sample of many series costs against one of the main run. What the machine gives changes within minutes, by
// more than this ratio may be off: so the two kinds run in turn, and each pair has its ratio.
func (b *bencher) bigCost(ctx context.Context, p Proto) error {
	relay, err := b.pawl()
	if err != nil {
		return err
	}
	var all, later, ratio, laterRatio []float64
	for k := range b.Plan.BigRepeat {
		few, err := b.fresh(ctx, relay, p, &Fleet{Series: b.Plan.Series}, b.Plan.Scrapes, b.Plan.Capacity)
		if err != nil {
			return err
		}
		many, err := b.fresh(ctx, relay, p, &Fleet{Series: b.Plan.BigSeries}, b.Plan.BigScrapes, b.Plan.Capacity)
		if err != nil {
			return err
		}
		all, later = append(all, many.perMillion()), append(later, many.laterPerMillion())
		ratio = append(ratio, many.perMillion()/few.perMillion())
		laterRatio = append(laterRatio, many.laterPerMillion()/few.laterPerMillion())
		b.logf("relay %s pair %d: %d series %.3f CPU-s per million (%.3f after the first scrape), %d series %.3f (%.3f), %.2f times (%.2f)", p, k+1,
			b.Plan.Series, few.perMillion(), few.laterPerMillion(), b.Plan.BigSeries, many.perMillion(), many.laterPerMillion(), ratio[k], laterRatio[k])
	}
	b.report.add(p, relay.Name, figureBigCost, all)
	b.report.add(p, relay.Name, figureBigLater, later)
	b.report.add(p, relay.Name, figureBigRatio, ratio)
	b.report.add(p, relay.Name, figureBigLaterRatio, laterRatio)
	return nil
}

// checkpoint measures answers at a fixed rate before, during and after a
// checkpoint that holds every series.
func (b *bencher) checkpoint(ctx context.Context, r *rig, p Proto, f *Fleet, start int64, sent Sum) error {
	load := NewLoad(f, p, r.write+"/api/v1/write", smallShards, b.Plan.Small, b.Plan.Capacity)
	defer load.Close()
	load.Follow(start, b.Plan.BigScrapes)
	pacing, stop := context.WithCancel(ctx)
	defer stop()
	type outcome struct {
		answers []Answer
		err     error
	}
	over := make(chan outcome, 1)
	go func() {
		a, err := load.Paced(pacing, b.Plan.Rate)
		over <- outcome{a, err}
	}()
	windows, held, err := r.checkpoints(ctx, b.Plan.Settle)
	stop()
	out := <-over
	if err = errors.Join(err, out.err); err != nil {
		return err
	}
	if _, err := r.delivered(ctx, sent.Samples+load.Sent().Samples); err != nil {
		return err
	}
	one := func(figure string, v float64) { b.report.add(p, r.subject.Name, figure, []float64{v}) }
	n := float64(f.Series)
	resident, anonymous := held.medians()
	one(figureSteadyBytes, float64(resident)/n)
	one(figureSteadyAnon, float64(anonymous)/n)
	b.logf("relay %s: %.0f bytes per series resident in the median of %d looks, %.0f of them anonymous", p, float64(resident)/n, len(held), float64(anonymous)/n)
	calmly, busily := split(out.answers, windows)
	if len(calmly) == 0 || len(busily) == 0 {
		b.logf("relay %s: no checkpoint was begun and written within %s", p, b.Plan.Settle)
		return nil
	}
	calm, busy := quantile(calmly, 0.99), quantile(busily, 0.99)
	one(figureCalm, ms(calm))
	one(figureBusy, ms(busy))
	one(figureSlowdown, busy.Seconds()/calm.Seconds())
	var longest time.Duration
	for _, w := range windows {
		longest = max(longest, w.to.Sub(w.from))
	}
	one(figureCheckpoint, longest.Seconds())
	b.logf("relay %s: p99 %.1f ms, during %d checkpoints of up to %.1f s %.1f ms", p, ms(calm), len(windows), longest.Seconds(), ms(busy))
	return nil
}

// window is a stretch of time.
type window struct{ from, to time.Time }

// pollEvery is how often the relay's metrics are read: rarely enough that
// reading them is no load, and the most that a window can be off.
const pollEvery = 250 * time.Millisecond

// copying is how long before its writing a checkpoint may begin at the most:
// all series are copied first, and the metrics are read every now and then.
const copying = 2 * time.Second

// calm is how long there must be no checkpoint before the first that counts.
const calm = 5 * time.Second

// looks are what a program used at several times.
type looks []usage

// medians are of what was resident, and of what of that was anonymous, in bytes.
func (l looks) medians() (resident, anonymous int64) {
	if len(l) == 0 {
		return 0, 0
	}
	of := func(f func(usage) int64) int64 {
		var vs []int64
		for _, u := range l {
			vs = append(vs, f(u))
		}
		slices.Sort(vs)
		return vs[len(vs)/2]
	}
	return of(func(u usage) int64 { return u.rss }), of(func(u usage) int64 { return u.anon })
}

// checkpoints waits for the writing of two checkpoints that begin after some
// calm, and looks at the memory meanwhile. Whoever sends 100,000 samples/s of a
// million series makes most of them dirty between two checkpoints.
func (r *rig) checkpoints(ctx context.Context, limit time.Duration) (ws []window, held looks, err error) {
	began := time.Now()
	count, sum, err := r.written()
	if err != nil {
		return nil, nil, err
	}
	for deadline := time.Now().Add(limit); time.Now().Before(deadline) && len(ws) < 2; {
		select {
		case <-ctx.Done():
			return ws, held, ctx.Err()
		case <-r.relay.done:
			return ws, held, fmt.Errorf("the relay ended: %s", r.relay.tail())
		case <-time.After(pollEvery):
		}
		u, err := r.relay.usage()
		if err != nil {
			return ws, held, err
		}
		held = append(held, u)
		n, s, err := r.written()
		if err != nil {
			return ws, held, err
		}
		if n == count {
			continue
		}
		now := time.Now()
		took := time.Duration((s - sum) * float64(time.Second))
		if from := now.Add(-took - copying); from.Sub(began) > calm {
			ws = append(ws, window{from, now})
		}
		count, sum = n, s
	}
	return ws, held, nil
}

// written is how many checkpoints were written, and how long that took in all, in s.
func (r *rig) written() (count, sum float64, err error) {
	if count, err = r.metric("pawl_checkpoint_write_duration_seconds_count"); err != nil {
		return 0, 0, err
	}
	sum, err = r.metric("pawl_checkpoint_write_duration_seconds_sum")
	return count, sum, err
}

// split sorts the times to answers by whether they were due before the first
// window, or since it began: what a checkpoint sets off does not end with it.
func split(answers []Answer, ws []window) (before, since []time.Duration) {
	for _, a := range answers {
		switch {
		case len(ws) == 0 || a.Due.Before(ws[0].from):
			before = append(before, a.Took)
		default:
			since = append(since, a.Took)
		}
	}
	return before, since
}

// quantile is the q-quantile of times, 0 of none.
func quantile(times []time.Duration, q float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[min(int(q*float64(len(times))), len(times)-1)]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
