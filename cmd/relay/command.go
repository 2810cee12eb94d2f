package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kingpin/v2"

	"pawl/internal/demo"
	"pawl/pkg/config"
)

// command is one thing that the program does; an error that is a usageError
// exits with 2, any other with 1.
type command struct {
	name string
	do   func(log *slog.Logger) error
}

func checkCommand(app *kingpin.Application, stdout io.Writer) command {
	cmd := app.Command("check-config", "Check a configuration file and say everything that is wrong with it.")
	path := cmd.Arg("file", "The configuration file.").Required().String()
	return command{cmd.FullCommand(), func(*slog.Logger) error {
		c, err := config.Load(*path)
		if err != nil {
			return usageError{fmt.Errorf("%s is not valid:\n%w", *path, err)}
		}
		for _, w := range c.Warnings() {
			fmt.Fprintf(stdout, "warning: %s\n", w)
		}
		fmt.Fprintf(stdout, "%s is valid\n", *path)
		return nil
	}}
}

func demoCommand(app *kingpin.Application, stdout io.Writer) command {
	cmd := app.Command("demo", "Show on this machine alone what PromQL makes of broken counters, and what the relay makes of them.")
	serve := cmd.Flag("serve", "Keep the demo's upstream, relay and admin API up until interrupted.").Bool()
	return command{cmd.FullCommand(), func(log *slog.Logger) error {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		return demo.Run(ctx, demo.Options{Serve: *serve, Out: stdout, Logger: log})
	}}
}
