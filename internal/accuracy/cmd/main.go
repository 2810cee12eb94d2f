// Command cmd prints the accuracy tables for a fixed seed, as text or JSON:
//
//	go run ./internal/accuracy/cmd -seed 1 -seeds 6 -hours 10
//
// It exits with 1 when a class's mean is beyond its reach, or a single seed of it
// beyond 1.5 times the reach and also beyond 1.1 times its own floor. With -relay it also sends
// one class of each kind through that program, with -plots it draws every
// class. With -draws it measures no engine, but how often who knows every verdict would be within.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"

	"pawl/internal/accuracy"
)

// options are the command line.
type options struct {
	accuracy.Settings
	class *regexp.Regexp
	parts bool
	json  string // file to write; "-": to standard output in place of the text
	relay string // path of the program
	some  int    // seeds that go through it
	plots string // directory
	draws int
}

func main() {
	o, err := parse()
	if err != nil {
		fmt.Fprintln(os.Stderr, "accuracy:", err)
		os.Exit(2)
	}
	within, err := run(context.Background(), o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "accuracy:", err)
	}
	if err != nil || !within {
		os.Exit(1)
	}
}

func parse() (o options, err error) {
	flag.Uint64Var(&o.Seed, "seed", 1, "first seed")
	flag.IntVar(&o.Seeds, "seeds", 6, "how many seeds, counted up from the first; 0: nothing is measured")
	flag.IntVar(&o.Hours, "hours", 10, "hours simulated per trace")
	flag.IntVar(&o.Plays, "plays", accuracy.PlaysOfSeed, "how often each seed plays every setting of a class")
	flag.IntVar(&o.draws, "draws", 0, fmt.Sprintf("in place of all else: so many draws of %d seeds, of which it is told how many are within for who knows every verdict", accuracy.DrawnSeeds))
	flag.BoolVar(&o.parts, "parts", false, "print every setting of a class, too")
	flag.StringVar(&o.json, "json", "", "file for the tables as JSON; -: standard output, in place of the text")
	flag.StringVar(&o.relay, "relay", "", "path of the relay, to send one class of each kind through it")
	flag.IntVar(&o.some, "relay-seeds", 4, "how many of the seeds go through the relay, at most")
	flag.StringVar(&o.plots, "plots", "", "directory for a plot of each class")
	class := flag.String("class", "", "only classes that match this regular expression")
	flag.IntVar(&o.AtOnce, "at-once", runtime.GOMAXPROCS(0), "seeds measured at the same time")
	flag.Parse()
	if o.class, err = regexp.Compile(*class); err != nil {
		return o, fmt.Errorf("-class: %w", err)
	}
	return o, nil
}

func run(ctx context.Context, o options) (within bool, err error) {
	if o.draws > 0 {
		return true, luck(os.Stdout, o)
	}
	r := report{Settings: o.Settings}
	if o.Seeds > 0 {
		if err := r.measure(ctx, o); err != nil {
			return false, err
		}
		if o.relay != "" {
			if err := r.throughRelay(ctx, o); err != nil {
				return false, err
			}
		}
		if err := r.write(o); err != nil {
			return false, err
		}
	}
	if o.plots != "" {
		if err := accuracy.WritePlots(ctx, o.plots, o.Seed); err != nil {
			return false, err
		}
	}
	return r.within(), nil
}
