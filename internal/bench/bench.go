// Package bench measures what relaying costs: it plays a fleet of Prometheus
// servers that send, and the upstream that receives, puts the real relay
// program between the two, and reads from the kernel what that one process
// used.
//
//	generator (this process) ─▶ relay (child) ─▶ counting upstream (child)
//
// Its contract: everything runs on loopback, is bounded in time and in number,
// and is ended when the measurement ends. The relay's cost is its own process'
// CPU time and memory alone; what generator and upstream use never counts as
// the relay's. Every figure rests on delivered samples: a run of which the
// upstream did not get every sample, bit for bit where nothing is to be
// corrected, is an error and not a figure.
package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// Proto is a version of remote write.
type Proto string

// The versions of remote write.
const (
	V1 Proto = "1.0"
	V2 Proto = "2.0"
)

// Options say what to measure, how long, and on which programs.
type Options struct {
	Relay       string   // path of the relay program
	RelayArgs   []string // more flags for it
	RelayConfig string   // path of a template for its configuration; "": its defaults
	Other       string   // path of another remote-write relay to measure in turn; "" for none
	OtherArgs   []string // its arguments, see Subject
	OtherConfig string   // path of a template for its {config}; "": Prometheus' own schema

	Self string // path of this program: the counting upstream is started from it
	Dir  string // where the measured programs may write; "" for the system's temporary directory

	Only     []string // sections to run, all if empty; see Sections
	Protos   []Proto
	Plan     Plan
	Profiles string // directory for CPU and heap profiles; "" for none
	Plots    string // directory for the plots; "" for none
	Log      io.Writer

	MaxMemory int64 // bytes; what a run may take in all processes, 0: what the machine has free
}

// Plan is how much is measured.
type Plan struct {
	Series  int // active series of the main run
	Scrapes int
	Repeat  int // runs of the main measurement; medians are shown
	Batch   int // samples per request
	Conns   int // shards, one connection each
	// Capacity is Prometheus' queue_config.capacity, samples: how far a shard runs ahead of the slowest, see apart. 0: no bound.
	Capacity int

	BigSeries  int // active series of the run that must not cost more per sample
	BigScrapes int
	BigRepeat  int // how often it runs, each time behind one of the main run's kind, so that what the machine gives is the same for both

	Rate     int           // requests/s of the latency run
	Small    int           // samples per request of the latency run
	LatencyS time.Duration // how long
	Outage   time.Duration // how long the upstream is away in the backlog run
	Settle   time.Duration // longest wait for a checkpoint

	SweepSeries []int // plot: cost against series
	SweepRepeat int   // rounds of it; medians are shown
	SweepShares []int // plot: cost against the share of corrected samples, %
	SweepEach   int   // series of each point of the second sweep
}

// prometheusCapacity is Prometheus' default (config.DefaultQueueConfig of 3.x), as a Batch of 2,000 is its max_samples_per_send.
const prometheusCapacity = 10_000

// Short is a plan for a look of some minutes; its figures are hints.
func Short() Plan {
	return Plan{
		Series: 20_000, Scrapes: 15, Repeat: 1, Batch: 2000, Conns: 4, Capacity: prometheusCapacity, BigSeries: 100_000, BigScrapes: 8, BigRepeat: 1,
		Rate: 200, Small: 500, LatencyS: 8 * time.Second, Outage: 4 * time.Second, Settle: 80 * time.Second,
		SweepSeries: []int{20_000, 100_000}, SweepRepeat: 1, SweepShares: []int{0, 10, 100}, SweepEach: 10_000,
	}
}

// Long is the plan whose figures docs/performance.md shows: some 20 minutes.
func Long() Plan {
	return Plan{
		Series: 100_000, Scrapes: 30, Repeat: 5, Batch: 2000, Conns: 4, Capacity: prometheusCapacity, BigSeries: 1_000_000, BigScrapes: 8, BigRepeat: 5,
		Rate: 200, Small: 500, LatencyS: 30 * time.Second, Outage: 20 * time.Second, Settle: 2 * time.Minute,
		SweepSeries: []int{100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000}, SweepRepeat: 3,
		SweepShares: []int{0, 1, 5, 10, 25, 50, 75, 100}, SweepEach: 50_000,
	}
}

// Sections are the parts of a measurement, by name.
func Sections() []string {
	return []string{"cost", "big", "start", "latency", "backlog", "series", "shares", "profile"}
}

// Run measures and returns the report, which is also as far as it got on an error.
func Run(ctx context.Context, o Options) (*Report, error) {
	dir, err := os.MkdirTemp(o.Dir, "bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for _, d := range []string{o.Plots, o.Profiles} {
		if d == "" {
			continue
		}
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	b := &bencher{Options: o, dir: dir, report: newReport(o)}
	if b.report.Disk, err = disk(dir); err != nil {
		return nil, err
	}
	for _, name := range Sections() {
		if !b.wants(name) {
			continue
		}
		if err := b.section(ctx, name); err != nil {
			return b.report, fmt.Errorf("measure %s: %w", name, err)
		}
	}
	return b.report, nil
}

// bencher is one run of all sections.
type bencher struct {
	Options
	dir    string
	report *Report
	dirs   int
}

func (b *bencher) wants(section string) bool {
	if section == "profile" && b.Profiles == "" {
		return false
	}
	return len(b.Only) == 0 || slices.Contains(b.Only, section)
}

func (b *bencher) section(ctx context.Context, name string) error {
	for _, p := range b.Protos {
		var err error
		began := time.Now()
		b.logf("%s, remote write %s: begins", name, p)
		switch name {
		case "cost":
			err = b.cost(ctx, p)
		case "big":
			err = b.big(ctx, p)
		case "start":
			err = b.startUp(ctx, p)
		case "latency":
			err = b.latency(ctx, p)
		case "backlog":
			err = b.backlog(ctx, p)
		case "profile":
			err = b.profiled(ctx, p)
		case "series":
			err = b.sweepSeries(ctx, p)
		case "shares":
			err = b.sweepShares(ctx, p)
		}
		if err != nil {
			return fmt.Errorf("remote write %s: %w", p, err)
		}
		b.logf("%s, remote write %s: done in %.0f s", name, p, time.Since(began).Seconds())
	}
	if b.Plots == "" {
		return nil
	}
	return b.report.WritePlots(b.Plots)
}

func (b *bencher) logf(format string, args ...any) {
	fmt.Fprintf(b.Log, "%s "+format+"\n", append([]any{time.Now().UTC().Format("15:04:05")}, args...)...)
}
