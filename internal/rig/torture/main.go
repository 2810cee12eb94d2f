// Command torture runs the rows of docs/reliability.md at their large sizes,
// and keeps in docs/reliability.json what has run: it goes on where it was
// interrupted, and writes the table into docs/reliability.md.
//
// Each chunk of a row is one `go test` with a seed of its own. A row that
// fails is not tried again: its seed and the end of what it printed stand in
// the state file, and the failed run's directory is kept.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
)

func main() {
	var (
		state  = flag.String("state", "docs/reliability.json", "what has run")
		page   = flag.String("page", "docs/reliability.md", "page to write the table into")
		only   = flag.String("only", "", "rows to run, by name and comma; all if empty")
		render = flag.Bool("render", false, "only write the page")
		list   = flag.Bool("list", false, "only list the rows")
		commit = flag.String("commit", "", "what is being tested, where git cannot tell")
		again  = flag.Bool("again", false, "run rows that have failed once more")
	)
	flag.Parse()
	if err := run(*state, *page, *only, *commit, *render, *list, *again); err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

func run(statePath, page, only, commit string, render, list, again bool) error {
	all := rows()
	if list {
		for _, r := range all {
			fmt.Printf("%-10s %9d %s\n", r.Name, r.Target, r.Unit)
		}
		return nil
	}
	s, err := readState(statePath)
	if err != nil {
		return err
	}
	if render {
		return s.render(all, page)
	}
	if commit == "" {
		if commit, err = head(); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var wanted []string
	if only != "" {
		wanted = strings.Split(only, ",")
	}
	failed := 0
	for _, r := range all {
		if wanted != nil && !slices.Contains(wanted, r.Name) {
			continue
		}
		if again {
			rec := s.of(r.Name)
			rec.Past, rec.Failures = append(rec.Past, rec.Failures...), nil
		}
		if err := s.work(ctx, r, commit); err != nil {
			return err
		}
		failed += len(s.of(r.Name).Failures)
		if ctx.Err() != nil {
			break
		}
	}
	if err := s.render(all, page); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d rows have failed, see %s", failed, statePath)
	}
	return nil
}
