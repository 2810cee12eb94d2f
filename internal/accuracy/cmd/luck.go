package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"pawl/internal/accuracy"
)

// luck prints how often who knows every verdict would be within, by the number of plays to a seed.
func luck(out io.Writer, o options) error {
	list, err := accuracy.Draw(o.Settings, o.draws, o.class.MatchString)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "seeds %d to %d, %d plays of %d h each; of %d draws of %d seeds so many are within for who knows every verdict, by plays to a seed\n",
		o.Seed, o.Seed+uint64(o.Seeds)-1, o.Plays, o.Hours, o.draws, accuracy.DrawnSeeds)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "class\tfloor\treach\t")
	for _, n := range accuracy.Plays {
		fmt.Fprintf(w, "%d\t", n)
	}
	for _, l := range list {
		fmt.Fprintf(w, "\n%s\t%.4g\t%.4g\t", l.Class, l.Floor, l.Reach)
		for _, n := range l.Passed {
			fmt.Fprintf(w, "%.4f\t", float64(n)/float64(o.draws))
		}
	}
	fmt.Fprintln(w)
	return w.Flush()
}
