package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/prometheus/promql/parser"

	"pawl/internal/inspect"
)

func verifyCommand(app *kingpin.Application, stdout io.Writer) command {
	cmd := app.Command("verify", "Read every byte of a storage path that no relay is using, say what is wrong with it and what to do about it. Never writes there. Exits with 1 if it is damaged.")
	o := inspect.VerifyOptions{Out: stdout}
	cmd.Arg("path", "The relay's --storage.path.").Required().StringVar(&o.Path)
	cmd.Flag("scratch", "Where the database is copied to, to be opened; the system's directory for temporary files if not given.").StringVar(&o.Scratch)
	cmd.Flag("json", "Print one JSON object a line.").BoolVar(&o.JSON)
	return command{cmd.FullCommand(), func(*slog.Logger) error { return inspected(inspect.Verify(o)) }}
}

func dumpCommand(app *kingpin.Application, stdout, stderr io.Writer) command {
	cmd := app.Command("dump", "Print what is in a storage path that no relay is using: heads, journal, series state, corrections, rejected batches. Never writes there.")
	o := inspect.DumpOptions{Out: stdout, Errors: stderr}
	cmd.Arg("path", "The relay's --storage.path.").Required().StringVar(&o.Path)
	cmd.Flag("scratch", "Where the database is copied to, to be opened; the system's directory for temporary files if not given.").StringVar(&o.Scratch)
	cmd.Flag("json", "Print one JSON object a line.").BoolVar(&o.JSON)
	cmd.Flag("part", "Only this: "+strings.Join(inspect.Parts(), ", ")+"; repeat it for several.").EnumsVar(&o.Parts, inspect.Parts()...)
	cmd.Flag("from", "Journal records from this one on, and the corrections that they caused.").Uint64Var(&o.From)
	cmd.Flag("to", "Journal records up to this one.").Uint64Var(&o.To)
	selector := cmd.Flag("match", "Only what is about these series, as a PromQL selector.").String()
	cmd.Flag("samples", "Every sample of a record, with its labels.").BoolVar(&o.Samples)
	return command{cmd.FullCommand(), func(*slog.Logger) error {
		if *selector != "" {
			var err error
			if o.Match, err = parser.NewParser(parser.Options{}).ParseMetricSelector(*selector); err != nil {
				return usageError{fmt.Errorf("--match: %q is no PromQL selector: %w", *selector, err)}
			}
		}
		return inspected(inspect.Dump(o))
	}}
}

// inspected gives an error its exit code.
func inspected(err error) error {
	var usage inspect.UsageError
	if errors.As(err, &usage) {
		return usageError{err}
	}
	return err
}
