// Command cmd measures what relaying costs; see docs/performance.md.
//
//	go build -o relay ./cmd/relay && go run ./internal/bench/cmd --relay=./relay
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kingpin/v2"

	"pawl/internal/bench"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// flags are the command line's.
type flags struct {
	options        bench.Options
	long           bool
	only, protos   string
	json, plan     string
	page           string
	otherArgs      string
	relayArgs      string
	series, repeat int
	capacity       int
	maxMB          int64
}

func run(args []string) error {
	app := kingpin.New("bench", "Measure what relaying costs: a simulated fleet, the real relay program, a counting upstream.")
	app.HelpFlag.Short('h')
	f := declare(app.Command("run", "Measure and print the table (default).").Default())
	r := declareRender(app.Command("render", "Only write what was measured: the table into the page, and the plots."))
	upstream := app.Command("upstream", "Be the counting upstream until standard input ends.")
	command, err := app.Parse(args)
	if err != nil {
		return err
	}
	switch command {
	case upstream.FullCommand():
		return bench.ServeUpstream(os.Stdin, os.Stdout)
	case "render":
		return r.render()
	}
	return f.measure()
}

// rendering is what the command render is told.
type rendering struct{ json, page, plots string }

func declareRender(c *kingpin.CmdClause) *rendering {
	r := &rendering{}
	c.Flag("json", "The figures.").Default("docs/performance.json").StringVar(&r.json)
	c.Flag("page", "The page.").Default("docs/performance.md").StringVar(&r.page)
	c.Flag("plots", "The directory of the plots.").Default("docs/img").StringVar(&r.plots)
	return r
}

func (r *rendering) render() error {
	in, err := os.Open(r.json)
	if err != nil {
		return err
	}
	report, err := bench.ReadReport(in)
	if err = errors.Join(err, in.Close()); err != nil {
		return err
	}
	return errors.Join(report.WritePage(r.page), report.WritePlots(r.plots))
}

func declare(c *kingpin.CmdClause) *flags {
	f := &flags{}
	o := &f.options
	c.Flag("relay", "Path of the relay program.").Default("./relay").StringVar(&o.Relay)
	c.Flag("relay-args", "More flags for it, separated by spaces.").StringVar(&f.relayArgs)
	c.Flag("relay-config", "Template of its configuration, with {upstream} and {message} to be filled in.").StringVar(&o.RelayConfig)
	c.Flag("long", "The figures of docs/performance.md, some 20 minutes; else hints within some minutes.").BoolVar(&f.long)
	c.Flag("only", "Sections to run, separated by commas: "+strings.Join(bench.Sections(), ", ")+".").StringVar(&f.only)
	c.Flag("protos", "Versions of remote write, separated by commas.").Default("1.0,2.0").StringVar(&f.protos)
	c.Flag("plan", "Changes to the plan as JSON, e.g. {\"Series\":50000,\"SweepSeries\":[100000]}; durations in ns.").StringVar(&f.plan)
	c.Flag("series", "Active series of the main run; overrides the plan.").IntVar(&f.series)
	c.Flag("repeat", "Runs of the main measurement; overrides the plan.").IntVar(&f.repeat)
	c.Flag("capacity", "Samples a shard's queue holds, as Prometheus' queue_config.capacity: how far connections run apart; 0: without bound. Overrides the plan.").Default("-1").IntVar(&f.capacity)
	c.Flag("other", "Path of another remote-write relay to measure in turn.").StringVar(&o.Other)
	c.Flag("other-args", "Its arguments, separated by spaces, with {listen}, {dir} and {config} to be filled in; those of a Prometheus agent if empty.").StringVar(&f.otherArgs)
	c.Flag("other-config", "Template of its {config}, with {upstream} and {message} to be filled in.").StringVar(&o.OtherConfig)
	c.Flag("dir", "Where the measured programs may write; the system's temporary directory if empty.").StringVar(&o.Dir)
	c.Flag("max-memory", "What a run may take in all processes, in MB; points that would take more are left out. 0: what is free.").Int64Var(&f.maxMB)
	c.Flag("json", "Write all figures, runs and points to this file too.").StringVar(&f.json)
	c.Flag("page", "Write the table into this page too, between the lines that say so.").StringVar(&f.page)
	c.Flag("plots", "Write the plots into this directory.").StringVar(&o.Plots)
	c.Flag("profiles", "Write CPU and heap profiles of the relay into this directory.").StringVar(&o.Profiles)
	return f
}

func (f *flags) measure() error {
	o, err := f.complete()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	report, err := bench.Run(ctx, o)
	if report != nil {
		err = errors.Join(err, report.WriteTable(os.Stdout), f.writeJSON(report))
	}
	if err == nil && f.page != "" {
		return report.WritePage(f.page)
	}
	return err
}

// complete fills in what the flags say in words.
func (f *flags) complete() (bench.Options, error) {
	o := f.options
	o.Log, o.Plan = os.Stderr, bench.Short()
	if f.long {
		o.Plan = bench.Long()
	}
	if f.plan != "" {
		if err := json.Unmarshal([]byte(f.plan), &o.Plan); err != nil {
			return o, fmt.Errorf("--plan: %w", err)
		}
	}
	if f.series > 0 {
		o.Plan.Series = f.series
	}
	if f.repeat > 0 {
		o.Plan.Repeat = f.repeat
	}
	if f.capacity >= 0 {
		o.Plan.Capacity = f.capacity
	}
	o.MaxMemory = f.maxMB << 20
	o.RelayArgs, o.OtherArgs = strings.Fields(f.relayArgs), strings.Fields(f.otherArgs)
	for _, p := range strings.Split(f.protos, ",") {
		if p != string(bench.V1) && p != string(bench.V2) {
			return o, fmt.Errorf("--protos: %q is neither %s nor %s", p, bench.V1, bench.V2)
		}
		o.Protos = append(o.Protos, bench.Proto(p))
	}
	if f.only != "" {
		o.Only = strings.Split(f.only, ",")
		for _, s := range o.Only {
			if !slices.Contains(bench.Sections(), s) {
				return o, fmt.Errorf("--only: there is no section %q", s)
			}
		}
	}
	var err error
	if o.Self, err = os.Executable(); err != nil {
		return o, err
	}
	for _, path := range []*string{&o.Relay, &o.Other} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return o, err
		}
		if _, err := os.Stat(*path); err != nil {
			return o, err
		}
	}
	return o, nil
}

func (f *flags) writeJSON(r *bench.Report) error {
	if f.json == "" {
		return nil
	}
	out, err := os.Create(f.json)
	if err != nil {
		return err
	}
	return errors.Join(r.WriteJSON(out), out.Close())
}
