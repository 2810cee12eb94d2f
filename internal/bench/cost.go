package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// costs are what one run took of one process.
type costs struct {
	samples int64
	first   float64 // CPU-s of the first scrape, when every series is new
	later   float64 // CPU-s of all others
	whole   float64 // CPU-s of the whole process, its start, last checkpoint and end included
	system  float64 // the kernel's part of that
	took    time.Duration
	end     usage // when everything was delivered
	peak    int64 // bytes, of the whole life
	firstN  int64 // samples of the first scrape
	wire    int64 // bytes at the upstream, compressed
}

func (c costs) perMillion() float64 { return (c.first + c.later) / float64(c.samples) * 1e6 }
func (c costs) wholePerMillion() float64 {
	return c.whole / float64(c.samples) * 1e6
}
func (c costs) laterPerMillion() float64 {
	return c.later / float64(c.samples-c.firstN) * 1e6
}
func (c costs) firstPerMillion() float64 { return c.first / float64(c.firstN) * 1e6 }
func (c costs) perSecond() float64       { return float64(c.samples) / c.took.Seconds() }

// cost is the main measurement, in turn on the relay and the other one, so
// that what else the machine does hits both.
func (b *bencher) cost(ctx context.Context, p Proto) error {
	relay, err := b.pawl()
	if err != nil {
		return err
	}
	subjects := []Subject{relay}
	if b.Other != "" {
		o, err := b.other()
		if err != nil {
			return err
		}
		subjects = append(subjects, o)
	}
	runs := make([][]costs, len(subjects))
	var unbound []costs
	for k := range b.Plan.Repeat {
		for i, s := range subjects {
			c, err := b.fresh(ctx, s, p, &Fleet{Series: b.Plan.Series}, b.Plan.Scrapes, b.Plan.Capacity)
			if err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
			runs[i] = append(runs[i], c)
			b.logf("%s %s run %d: %.3f CPU-s per million samples with start and stop (%.3f of it in the kernel), %.3f without, %.3f after the first scrape, %.2f M samples/s, %d MB",
				s.Name, p, k+1, c.wholePerMillion(), c.system/float64(c.samples)*1e6, c.perMillion(), c.laterPerMillion(), c.perSecond()/1e6, c.end.rss>>20)
		}
		if b.Plan.Capacity == 0 {
			continue
		}
		c, err := b.fresh(ctx, relay, p, &Fleet{Series: b.Plan.Series}, b.Plan.Scrapes, 0)
		if err != nil {
			return fmt.Errorf("%s, connections apart without bound: %w", relay.Name, err)
		}
		unbound = append(unbound, c)
		b.logf("%s %s run %d, connections apart without bound: %.3f CPU-s per million samples with start and stop, %.3f after the first scrape", relay.Name, p, k+1, c.wholePerMillion(), c.laterPerMillion())
	}
	b.addCosts(p, subjects[0].Name, runs[0])
	if len(unbound) > 0 {
		b.addRuns(p, subjects[0].Name, figureUnbound, unbound, costs.wholePerMillion)
		b.addRuns(p, subjects[0].Name, figureUnboundLater, unbound, costs.laterPerMillion)
	}
	if len(subjects) > 1 {
		b.addCosts(p, subjects[1].Name, runs[1])
	}
	return nil
}

func (b *bencher) addCosts(p Proto, name string, runs []costs) {
	add := func(figure string, f func(costs) float64) { b.addRuns(p, name, figure, runs, f) }
	add(figureWhole, costs.wholePerMillion)
	add(figureCost, costs.perMillion)
	add(figureLater, costs.laterPerMillion)
	add(figureRate, func(c costs) float64 { return c.perSecond() / 1e6 })
	add(figureResident, func(c costs) float64 { return float64(c.end.rss) / 1e6 })
	add(figurePeak, func(c costs) float64 { return float64(c.peak) / 1e6 })
}

// addRuns adds what f gives of each run.
func (b *bencher) addRuns(p Proto, name, figure string, runs []costs, f func(costs) float64) {
	var vs []float64
	for _, r := range runs {
		vs = append(vs, f(r))
	}
	b.report.add(p, name, figure, vs)
}

// fresh measures a subject with an empty storage, from its start to its end;
// capacity as in Plan.
func (b *bencher) fresh(ctx context.Context, s Subject, p Proto, f *Fleet, scrapes, capacity int) (c costs, err error) {
	if err := b.warm(f.Series); err != nil {
		return c, err
	}
	r, err := b.assemble(ctx, s, p)
	if err != nil {
		return c, err
	}
	defer r.close()
	load := NewLoad(f, p, r.write+"/api/v1/write", b.Plan.Conns, b.Plan.Batch, capacity)
	defer load.Close()
	if c, err = r.run(ctx, load, scrapes); err != nil {
		return c, err
	}
	if err := r.relay.stop(); err != nil {
		return c, err
	}
	c.whole, c.system, c.peak = r.relay.whole(), r.relay.cmd.ProcessState.SystemTime().Seconds(), r.relay.peak
	return c, nil
}

// run sends scrapes and waits until all of them are delivered.
func (r *rig) run(ctx context.Context, load *Load, scrapes int) (c costs, err error) {
	u0, err := r.relay.usage()
	if err != nil {
		return c, err
	}
	began := time.Now()
	if _, err = r.send(ctx, load, 1); err != nil {
		return c, err
	}
	u1, err := r.relay.usage()
	if err != nil {
		return c, err
	}
	c.firstN = load.Sent().Samples
	got, err := r.send(ctx, load, scrapes-1)
	if err != nil {
		return c, err
	}
	c.took = time.Since(began)
	if c.end, err = r.relay.usage(); err != nil {
		return c, err
	}
	c.samples, c.wire = got.Samples, got.Bytes
	c.first, c.later = u1.cpu-u0.cpu, c.end.cpu-u1.cpu
	c.peak = c.end.peak
	return c, nil
}

// send sends scrapes, waits for their delivery, and holds what arrived against what was sent.
func (r *rig) send(ctx context.Context, load *Load, scrapes int) (Received, error) {
	if err := load.Scrapes(ctx, scrapes); err != nil {
		return Received{}, errors.Join(err, errors.New(r.relay.tail()))
	}
	sent := load.Sent()
	got, err := r.delivered(ctx, sent.Samples)
	if err == nil && got.Samples == sent.Samples && got.Check != sent.Check && load.fleet.healthy() {
		err = errors.New("the upstream got other values or times than were sent")
	}
	if err == nil && got.Samples > sent.Samples && r.subject.Pawl {
		err = fmt.Errorf("%d samples were sent and %d arrived", sent.Samples, got.Samples)
	}
	return got, err
}

// healthy tells whether nothing in the fleet is to be corrected.
func (f *Fleet) healthy() bool { return f.Restarts == 0 && f.Losses == 0 && f.Once == 0 }
