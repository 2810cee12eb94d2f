// Command relay is Pawl: a Prometheus remote-write relay whose counters only
// turn forward.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2 // wrong usage or configuration
)

func main() {
	slackenTimers()
	os.Exit(realMain(os.Args[1:], os.Stdout, os.Stderr))
}

// usageError is a wrong command line or configuration: nothing was started.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// runError is how a relay ended, or did not start: it goes to the log, in the log's format.
type runError struct{ error }

func (e runError) Unwrap() error { return e.error }

// namesCommand tells whether a command is named, and not only run by default.
func namesCommand(app *kingpin.Application, args []string) bool {
	c, err := app.ParseContext(args)
	return err == nil && c.SelectedCommand != nil && slices.Contains(args, strings.Fields(c.SelectedCommand.FullCommand())[0])
}

func realMain(args []string, stdout, stderr io.Writer) int {
	nameVersion()
	app := kingpin.New("relay", "Pawl takes Prometheus remote write in, turns broken counters into series that only move forward, and forwards them.")
	app.HelpFlag.Short('h')
	app.UsageWriter(stdout)
	app.ErrorWriter(stderr)
	app.Version(version.Print("relay"))
	app.VersionFlag.Short('v')
	terminated := -1
	app.Terminate(func(code int) { terminated = code })
	logging := &promslog.Config{Writer: stderr}
	promslogflag.AddFlags(app, logging)

	commands := []command{
		runCommand(app), checkCommand(app, stdout), demoCommand(app, stdout),
		verifyCommand(app, stdout), dumpCommand(app, stdout, stderr),
	}
	commands = append(commands, rejectedCommands(app, stdout)...)
	app.UsageTemplate(kingpin.DefaultUsageTemplate)
	if !namesCommand(app, args) {
		app.UsageTemplate(kingpin.LongHelpTemplate) // the flags of run, the default, are those that people look for
	}
	chosen, err := app.Parse(args)
	if terminated >= 0 {
		return terminated // --help, --version
	}
	if err != nil {
		fmt.Fprintf(stderr, "relay: error: %v, try --help\n", err)
		return exitUsage
	}
	log := promslog.New(logging)
	for _, c := range commands {
		if c.name != chosen {
			continue
		}
		err := c.do(log)
		var usage usageError
		var ran runError
		switch {
		case errors.As(err, &usage):
			fmt.Fprintf(stderr, "relay: %v\n", err)
			return exitUsage
		case errors.As(err, &ran):
			log.Error("the relay failed", "err", err)
			return exitFailed
		case err != nil:
			fmt.Fprintf(stderr, "relay: %v\n", err)
			return exitFailed
		}
		return 0
	}
	panic("BUG: command " + chosen + " is declared and not known")
}
