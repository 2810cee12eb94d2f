package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"pawl/internal/accuracy"
)

// report is everything that was measured; its fields are the JSON.
type report struct {
	accuracy.Settings
	Rows       []accuracy.Row        `json:"rows"`
	Histograms []accuracy.HistRow    `json:"histograms"`
	Natives    []accuracy.Row        `json:"natives"`
	Summaries  []accuracy.HistRow    `json:"summaries"`
	Relay      []accuracy.ThroughRow `json:"throughTheRelay,omitempty"`
}

// measure asks the engine about every class that was asked for.
func (r *report) measure(ctx context.Context, o options) error {
	engine := accuracy.Engine{}
	for _, class := range accuracy.Classes() {
		if o.class.MatchString(class.Name) {
			row, err := accuracy.Measure(ctx, engine, class, o.Settings)
			if err != nil {
				return err
			}
			took(row)
			r.Rows = append(r.Rows, row)
		}
	}
	for _, class := range accuracy.NativeClasses() {
		if o.class.MatchString(class.Name) {
			row, err := accuracy.MeasureNative(ctx, engine, class, o.Settings)
			if err != nil {
				return err
			}
			took(row)
			r.Natives = append(r.Natives, row)
		}
	}
	for _, list := range []struct {
		classes []accuracy.HistClass
		rows    *[]accuracy.HistRow
	}{{accuracy.HistClasses(), &r.Histograms}, {accuracy.SummaryClasses(), &r.Summaries}} {
		for _, class := range list.classes {
			if o.class.MatchString(class.Name) {
				row, err := accuracy.MeasureHistogram(ctx, engine, class, o.Settings)
				if err != nil {
					return err
				}
				took(row.Row)
				*list.rows = append(*list.rows, row)
			}
		}
	}
	return nil
}

// throughRelay sends one class of each kind through the program.
func (r *report) throughRelay(ctx context.Context, o options) (err error) {
	s := o.Settings
	s.Seeds = min(s.Seeds, o.some)
	r.Relay, err = accuracy.ThroughRelay(ctx, o.relay, s)
	for _, row := range r.Relay {
		row.Class += ", through the program"
		took(row.Row)
	}
	return err
}

// took says how long a class was measured, beside the tables.
func took(row accuracy.Row) {
	fmt.Fprintf(os.Stderr, "%s: %s\n", row.Class, row.Took.Round(100*time.Millisecond))
}

func (r *report) within() bool {
	return !slices.ContainsFunc(r.all(), func(row accuracy.Row) bool { return !row.Within })
}

// all are the lines of all tables.
func (r *report) all() []accuracy.Row {
	list := slices.Concat(r.Rows, r.Natives)
	for _, row := range slices.Concat(r.Histograms, r.Summaries) {
		list = append(list, row.Row)
	}
	for _, row := range r.Relay {
		list = append(list, row.Row)
	}
	return list
}

func (r *report) write(o options) error {
	if o.json != "-" {
		if err := r.text(os.Stdout, o.parts); err != nil {
			return err
		}
	}
	if o.json == "" {
		return nil
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the tables as JSON: %w", err)
	}
	b = append(b, '\n')
	if o.json == "-" {
		_, err = os.Stdout.Write(b)
		return err
	}
	return os.WriteFile(o.json, b, 0o644)
}

// text prints the tables.
func (r *report) text(out io.Writer, parts bool) error {
	fmt.Fprintf(out, "seeds %d to %d, %d plays of %d h each, scrapes every 15 s\n", r.Seed, r.Seed+uint64(r.Seeds)-1, r.Plays, r.Hours)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(r.Rows) > 0 {
		fmt.Fprintln(w, "floor: the error of who knows every verdict and adds nothing that was not seen\nclass\tPromQL\t1/8 rule\tpawl\tfloor\tworst seed\treach\tsteps down\t")
		for _, x := range r.Rows {
			fmt.Fprintf(w, "%s\t%.4g\t%.4g\t%.4g\t%s\t%.4g\t%.4g\t%d\t%s\n", x.Class, x.Mean.PromQL, x.Mean.MetricsQL, x.Mean.Pawl, floor(x), x.Worst, x.Reach, x.Mean.Steps, beyond(x.Within))
			for _, p := range settings(x, parts) {
				fmt.Fprintf(w, "  %s\t%.4g\t%.4g\t%.4g\t%.4g\t\t\t%d\t\n", p.Name, p.Mean.PromQL, p.Mean.MetricsQL, p.Mean.Pawl, p.Mean.Floor, p.Mean.Steps)
			}
		}
	}
	if len(r.Histograms) > 0 {
		fmt.Fprintln(w, "\nclassic histograms: ratio is the highest of two neighbouring buckets' increases")
		fmt.Fprintln(w, "class\tPromQL\t1/8 rule\tpawl\tfloor\tworst seed\treach\t_sum\tratio, PromQL\tratio, pawl\tsteps down\tnot cumulative\t")
		for _, x := range r.Histograms {
			fmt.Fprintf(w, "%s\t%.4g\t%.4g\t%.4g\t%s\t%.4g\t%.4g\t%.4g\t%s\t%s\t%d\t%d\t%s\n", x.Class, x.Mean.PromQL, x.Mean.MetricsQL, x.Mean.Pawl, floor(x.Row), x.Worst, x.Reach,
				x.Mean.Sum, ratio(x.RawRatio), ratio(x.Ratio), x.Mean.Steps, x.Bent, beyond(x.Within))
			for _, p := range settings(x.Row, parts) {
				fmt.Fprintf(w, "  %s\t%.4g\t%.4g\t%.4g\t%.4g\t\t\t%.4g\t\t\t%d\t\t\n", p.Name, p.Mean.PromQL, p.Mean.MetricsQL, p.Mean.Pawl, p.Mean.Floor, p.Mean.Sum, p.Mean.Steps)
			}
		}
	}
	if len(r.Natives) > 0 {
		fmt.Fprintln(w, "\nnative histograms\nclass\tPromQL\tcount\tfloor\tworst seed\tsum\treach\tresets\t")
		for _, x := range r.Natives {
			fmt.Fprintf(w, "%s\t%.4g\t%.4g\t%s\t%.4g\t%.4g\t%.4g\t%d\t%s\n", x.Class, x.Mean.PromQL, x.Mean.Pawl, floor(x), x.Worst, x.Mean.Sum, x.Reach, x.Mean.Steps, beyond(x.Within))
			for _, p := range settings(x, parts) {
				fmt.Fprintf(w, "  %s\t%.4g\t%.4g\t%.4g\t\t%.4g\t\t%d\t\n", p.Name, p.Mean.PromQL, p.Mean.Pawl, p.Mean.Floor, p.Mean.Sum, p.Mean.Steps)
			}
		}
	}
	if len(r.Summaries) > 0 {
		fmt.Fprintln(w, "\nsummaries\nclass\tPromQL\t1/8 rule\t_count\tfloor\tworst seed\t_sum\treach\tsteps down\t")
		for _, x := range r.Summaries {
			fmt.Fprintf(w, "%s\t%.4g\t%.4g\t%.4g\t%s\t%.4g\t%.4g\t%.4g\t%d\t%s\n", x.Class, x.Mean.PromQL, x.Mean.MetricsQL, x.Mean.Pawl, floor(x.Row), x.Worst, x.Mean.Sum, x.Reach, x.Mean.Steps, beyond(x.Within))
			for _, p := range settings(x.Row, parts) {
				fmt.Fprintf(w, "  %s\t%.4g\t%.4g\t%.4g\t%.4g\t\t%.4g\t\t%d\t\n", p.Name, p.Mean.PromQL, p.Mean.MetricsQL, p.Mean.Pawl, p.Mean.Floor, p.Mean.Sum, p.Mean.Steps)
			}
		}
	}
	if len(r.Relay) > 0 {
		fmt.Fprintln(w, "\nthe first seeds through the program, parts spread over four connections; no histogram: timestamps at which it is not cumulative, or _count is not +Inf\nclass\tPromQL\tengine\trelay\tworst seed\treach\tsteps down\tno histogram\tother than the engine's\t")
		for _, x := range r.Relay {
			fmt.Fprintf(w, "%s\t%.4g\t%.4g\t%.4g\t%.4g\t%.4g\t%d\t%d\t%d of %d\t%s\n", x.Class, x.Mean.PromQL, x.Engine, x.Mean.Pawl, x.Worst, x.Reach, x.Mean.Steps, x.Odd, x.Other, x.Samples, beyond(x.Within))
		}
	}
	r.seeds(w)
	return w.Flush()
}

// seeds lists every seed that is further off than a single one may be, beyond or not.
func (r *report) seeds(w io.Writer) {
	fmt.Fprintf(w, "\nseeds more than %v times the reach off; beyond: also more than %v times the floor, which is how near who knows every verdict would be\nclass\tseed\tpawl\treach\tfloor\tof the reach\tof the floor\t\n", accuracy.OfSeed, accuracy.AboveFloor)
	for _, x := range r.all() {
		for _, f := range x.Far {
			of := "–"
			if f.Floor > 0 {
				of = fmt.Sprintf("%.2f", f.Pawl/f.Floor)
			}
			fmt.Fprintf(w, "%s\t%d\t%.4g\t%.4g\t%.4g\t%.2f\t%s\t%s\n", x.Class, f.Seed, f.Pawl, x.Reach, f.Floor, f.Pawl/x.Reach, of, beyond(!f.Beyond))
		}
	}
}

// floor is a dash where it is not known.
func floor(r accuracy.Row) string {
	if r.Floors == nil {
		return "–"
	}
	return fmt.Sprintf("%.4g", r.Mean.Floor)
}

func settings(r accuracy.Row, parts bool) []accuracy.Part {
	if !parts {
		return nil
	}
	return r.Traces
}

func beyond(within bool) string {
	if within {
		return ""
	}
	return "beyond"
}

// ratio is 0 where no bucket ever grew more than the next upper one.
func ratio(v float64) string {
	if v == 0 {
		return "≤ 1"
	}
	return fmt.Sprintf("%.3g", v)
}
