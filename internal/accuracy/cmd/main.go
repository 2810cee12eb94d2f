// Command cmd prints the accuracy table for a fixed seed, as text or JSON:
//
//	go run ./internal/accuracy/cmd -seed 1 -seeds 6 -hours 10
//
// It exits with 1 when a figure is beyond its reach.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"text/tabwriter"

	"pawl/internal/accuracy"
)

func main() {
	seed := flag.Uint64("seed", 1, "first seed")
	seeds := flag.Int("seeds", 6, "how many seeds, counted up from the first")
	hours := flag.Int("hours", 10, "hours simulated per trace")
	class := flag.String("class", "", "only classes that match this regular expression")
	asJSON := flag.Bool("json", false, "print JSON")
	parts := flag.Bool("parts", false, "print every setting of a class, too")
	flag.Parse()
	within, err := run(accuracy.Settings{Seed: *seed, Seeds: *seeds, Hours: *hours}, *class, *asJSON, *parts)
	if err != nil {
		fmt.Fprintln(os.Stderr, "accuracy:", err)
		os.Exit(1)
	}
	if !within {
		os.Exit(1)
	}
}

func run(s accuracy.Settings, only string, asJSON, parts bool) (within bool, err error) {
	match, err := regexp.Compile(only)
	if err != nil {
		return false, fmt.Errorf("-class: %w", err)
	}
	within = true
	var rows []accuracy.Row
	for _, class := range accuracy.Classes() {
		if !match.MatchString(class.Name) {
			continue
		}
		row, err := accuracy.Measure(context.Background(), class, s)
		if err != nil {
			return false, fmt.Errorf("class %q: %w", class.Name, err)
		}
		rows = append(rows, row)
		within = within && row.Within
	}
	var histograms []accuracy.HistRow
	for _, class := range accuracy.HistClasses() {
		if !match.MatchString(class.Name) {
			continue
		}
		row, err := accuracy.MeasureHistogram(context.Background(), class, s)
		if err != nil {
			return false, fmt.Errorf("class %q: %w", class.Name, err)
		}
		histograms = append(histograms, row)
		within = within && row.Within
	}
	if asJSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		return within, enc.Encode(struct {
			accuracy.Settings
			Rows       []accuracy.Row     `json:"rows"`
			Histograms []accuracy.HistRow `json:"histograms"`
		}{s, rows, histograms})
	}
	fmt.Printf("seeds %d to %d, %d h each, scrapes every 15 s\n", s.Seed, s.Seed+uint64(s.Seeds)-1, s.Hours)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "class\tPromQL\t1/8 rule\tpawl\tworst seed\treach\tsteps down\t")
	for _, r := range rows {
		mark := ""
		if !r.Within {
			mark = "beyond"
		}
		fmt.Fprintf(w, "%s\t%.4g\t%.4g\t%.4g\t%.4g\t%.4g\t%d\t%s\n", r.Class, r.Mean.PromQL, r.Mean.MetricsQL, r.Mean.Pawl, r.Worst, r.Reach, r.Mean.Steps, mark)
		if !parts {
			continue
		}
		for _, x := range r.Traces {
			fmt.Fprintf(w, "  %s\t%.4g\t%.4g\t%.4g\t\t\t%d\t\n", x.Name, x.Mean.PromQL, x.Mean.MetricsQL, x.Mean.Pawl, x.Mean.Steps)
		}
	}
	if err := w.Flush(); err != nil || len(histograms) == 0 {
		return within, err
	}
	fmt.Println("\nclassic histograms: ratio is the highest of two neighbouring buckets' increases, floor the error of who knows every verdict")
	fmt.Fprintln(w, "class\tPromQL\t1/8 rule\tpawl\tworst seed\treach\tfloor\tratio, PromQL\tratio, pawl\tsteps down\tnot cumulative\t")
	for _, r := range histograms {
		mark := ""
		if !r.Within {
			mark = "beyond"
		}
		fmt.Fprintf(w, "%s\t%.4g\t%.4g\t%.4g\t%.4g\t%.4g\t%.4g\t%s\t%s\t%d\t%d\t%s\n", r.Class, r.Mean.PromQL, r.Mean.MetricsQL, r.Mean.Pawl, r.Worst, r.Reach, r.Floor, ratio(r.RawRatio), ratio(r.Ratio), r.Mean.Steps, r.Bent, mark)
	}
	return within, w.Flush()
}

// ratio is 0 where no bucket ever grew more than the next upper one.
func ratio(v float64) string {
	if v == 0 {
		return "≤ 1"
	}
	return fmt.Sprintf("%.3g", v)
}
