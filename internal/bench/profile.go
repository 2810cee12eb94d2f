package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// The lengths of the CPU profiles.
const (
	profileFor    = 8 * time.Second
	profileNewFor = 36 * time.Second // long enough to hold a checkpoint
)

// profiled takes CPU profiles of the relay, each with a heap profile at its
// end: "steady" under full load once all series are known, "paced" at the rate
// of the latency run, and "new" of many series' first scrape and the first
// checkpoint after it. They are runs of their own, because being profiled costs
// something too.
func (b *bencher) profiled(ctx context.Context, p Proto) error {
	err := b.profile(ctx, p, "steady", b.Plan.Series, profileFor, func(load *Load, r *rig, over func() bool) error {
		for !over() {
			if _, err := r.send(ctx, load, 1); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = b.profile(ctx, p, "paced", b.Plan.Series, profileFor, func(load *Load, _ *rig, _ func() bool) error {
		pacing, stop := context.WithTimeout(ctx, profileFor)
		defer stop()
		_, err := load.Paced(pacing, b.Plan.Rate)
		return err
	})
	if err != nil {
		return err
	}
	return b.profile(ctx, p, "new", b.Plan.BigSeries, profileNewFor, func(load *Load, r *rig, over func() bool) error {
		for !over() {
			if _, err := r.send(ctx, load, 1); err != nil {
				return err
			}
			// At the pace of scrapes, so that the checkpoint is not lost among them.
			for range 100 {
				if !over() {
					time.Sleep(scrapeInterval / 100)
				}
			}
		}
		return nil
	})
}

func (b *bencher) profile(ctx context.Context, p Proto, name string, series int, length time.Duration, during func(*Load, *rig, func() bool) error) error {
	r, err := b.assemblePawl(ctx, p)
	if err != nil {
		return err
	}
	defer r.close()
	conns, size := b.Plan.Conns, b.Plan.Batch
	if name == "paced" {
		conns, size = smallShards, b.Plan.Small
	}
	load := NewLoad(&Fleet{Series: series}, p, r.write+"/api/v1/write", conns, size, b.Plan.Capacity)
	defer load.Close()
	if name != "new" {
		if _, err := r.send(ctx, load, 2); err != nil {
			return err
		}
	}
	file := func(kind string) string {
		return filepath.Join(b.Profiles, fmt.Sprintf("%s-%s-%s.pb.gz", kind, name, p))
	}
	var taken error
	done := make(chan struct{})
	go func() {
		taken = r.profile(fmt.Sprintf("profile?seconds=%d", int(length.Seconds())), file("cpu"))
		close(done)
	}()
	over := func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
	if err := during(load, r, over); err != nil {
		return err
	}
	<-done
	if taken != nil {
		return taken
	}
	return r.profile("heap", file("heap"))
}
