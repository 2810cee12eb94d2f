package bench

import (
	"context"
	"fmt"
	"slices"
)

// perPoint is the least number of samples behind a point of a plot: a CPU
// clock of 10 ms is then well under 1 %.
const perPoint = 3_000_000

// memoryFor is more than what a run with so many series takes in all processes, in bytes. Measured at one million in 1.0: the
// relay 550 to 670 a series while it writes a checkpoint of all of them, the generator 700 for its requests; a quarter on top.
func memoryFor(series int) int64 { return int64(series) * 1700 }

// sweepSeries measures cost against the number of series.
func (b *bencher) sweepSeries(ctx context.Context, p Proto) error {
	relay, err := b.pawl()
	if err != nil {
		return err
	}
	runs := make([][]costs, len(b.Plan.SweepSeries))
	for round := range b.Plan.SweepRepeat {
		for i, n := range b.Plan.SweepSeries {
			if need, have := memoryFor(n), b.memory(); need > have {
				b.logf("%d series are left out: they take about %d MB and %d MB are free", n, need>>20, have>>20)
				continue
			}
			scrapes := 1 + max(3, min(b.Plan.Scrapes-1, perPoint/n))
			c, err := b.fresh(ctx, relay, p, &Fleet{Series: n}, scrapes, b.Plan.Capacity)
			if err != nil {
				return fmt.Errorf("%d series: %w", n, err)
			}
			runs[i] = append(runs[i], c)
			b.logf("relay %s, %d series, run %d: %.3f CPU-s per million after the first scrape, %.3f for that, %.0f bytes per series, %.0f at most",
				p, n, round+1, c.laterPerMillion(), c.firstPerMillion(), float64(c.end.rss)/float64(n), float64(c.peak)/float64(n))
		}
	}
	for i, n := range b.Plan.SweepSeries {
		if len(runs[i]) == 0 {
			continue
		}
		median := func(f func(costs) float64) float64 { return medianOf(runs[i], f) }
		b.report.point("series", p, "later scrapes", float64(n), median(costs.laterPerMillion))
		b.report.point("series", p, "first scrape", float64(n), median(costs.firstPerMillion))
		b.report.point("memory", p, "at the end", float64(n), median(func(c costs) float64 { return float64(c.end.rss) })/float64(n))
		b.report.point("memory", p, "at most", float64(n), median(func(c costs) float64 { return float64(c.peak) })/float64(n))
	}
	return nil
}

// medianOf is the median of what f gives of each run.
func medianOf(runs []costs, f func(costs) float64) float64 {
	vs := make([]float64, len(runs))
	for i, c := range runs {
		vs[i] = f(c)
	}
	slices.Sort(vs)
	return vs[len(vs)/2]
}

// The second sweep: every series counts, some restart or lose at shareAt, and
// what is measured begins once all verdicts stand.
const (
	shareAt     = 8
	shareSettle = 14
)

// memory is what a run may take, in bytes.
func (b *bencher) memory() int64 {
	have := availableMemory()
	if b.MaxMemory > 0 {
		have = min(have, b.MaxMemory)
	}
	return have
}

// sweepShares measures cost against the share of samples that go out changed.
func (b *bencher) sweepShares(ctx context.Context, p Proto) error {
	for _, share := range b.Plan.SweepShares {
		c, changed, err := b.share(ctx, p, share)
		if err != nil {
			return fmt.Errorf("%d %%: %w", share, err)
		}
		b.report.point("shares", p, "", 100*changed, c)
		b.logf("relay %s, %.1f %% of the samples corrected: %.3f CPU-s per million", p, 100*changed, c)
	}
	return nil
}

func (b *bencher) share(ctx context.Context, p Proto, share int) (perMillion, changed float64, err error) {
	r, err := b.assemblePawl(ctx, p)
	if err != nil {
		return 0, 0, err
	}
	defer r.close()
	fleet := &Fleet{Series: b.Plan.SweepEach, Busy: true, Once: share, OnceAt: shareAt}
	load := NewLoad(fleet, p, r.write+"/api/v1/write", b.Plan.Conns, b.Plan.Batch, b.Plan.Capacity)
	defer load.Close()
	if _, err := r.send(ctx, load, shareAt+shareSettle); err != nil {
		return 0, 0, err
	}
	was, err := r.metric("pawl_changed_samples_total")
	if err != nil {
		return 0, 0, err
	}
	n := load.Sent().Samples
	u0, err := r.relay.usage()
	if err != nil {
		return 0, 0, err
	}
	if _, err := r.send(ctx, load, max(4, min(60, perPoint/b.Plan.SweepEach/2))); err != nil {
		return 0, 0, err
	}
	u1, err := r.relay.usage()
	if err != nil {
		return 0, 0, err
	}
	now, err := r.metric("pawl_changed_samples_total")
	if err != nil {
		return 0, 0, err
	}
	n = load.Sent().Samples - n
	return (u1.cpu - u0.cpu) / float64(n) * 1e6, (now - was) / float64(n), r.relay.stop()
}
