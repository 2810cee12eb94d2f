// Package demo tells, on one machine and in under a minute, what the relay is
// for: true stories of broken counters are sent twice to an embedded Prometheus
// (its own TSDB, PromQL engine, HTTP API and remote-write receiver, used as
// libraries), once as they are and once through the real relay, and then the
// same PromQL is asked of both.
//
// The steps, each in a file of its own:
//
//	storiesEndingAt  what was scraped, and what really happened     story*.go
//	startUpstream    the embedded Prometheus                        upstream.go
//	startRelay       pkg/relay with a configuration of its own      relay.go
//	sender.send      remote write, as Prometheus does it            send.go
//	judge            PromQL on raw and corrected against the truth  judge.go
//	writeReport      the table, and the relay's reasons             report.go
//	serve            stay up for curl and Grafana                   serve.go
//
// Nothing leaves loopback and nothing stays on disk.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/common/promslog"
)

// seed makes every run tell the same stories; only the clock times differ.
const seed = 20260922

// runTimeout bounds a run that does not serve. A run takes a few seconds; one
// that takes longer than this hangs.
const runTimeout = 50 * time.Second

// Options say how the demo runs. The zero value is a run that ends by itself
// and prints nothing.
type Options struct {
	Serve   bool         // stay up after the table until ctx is done
	Out     io.Writer    // where the table goes; nil discards it
	Logger  *slog.Logger // the relay's and the upstream's warnings, at level debug everything; nil discards
	Version string       // the relay's version, shown by its admin API; "" is "demo"

	// Listen addresses. Empty means 127.0.0.1 with a port that is free.
	UpstreamAddress string // the embedded Prometheus
	WriteAddress    string // the relay's write listener
	AdminAddress    string // the relay's admin listener

	// Now is the clock: the stories end shortly before it. nil is time.Now.
	Now func() time.Time
}

// ErrOutOfBounds is returned when what came out of the relay was further from
// the truth than the story's stated bound.
var ErrOutOfBounds = errors.New("corrected values are out of their bounds")

// Run tells the stories and returns nil if every corrected value was within its
// stated bound of the truth, and ErrOutOfBounds, wrapped, if one was not. With
// Options.Serve it then stays up until ctx is done. The temporary directory is
// removed in any case.
func Run(ctx context.Context, o Options) (err error) {
	o = o.withDefaults()
	dir, err := os.MkdirTemp("", "pawl-demo-")
	if err != nil {
		return fmt.Errorf("create temporary directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	up, err := startUpstream(dir, o.UpstreamAddress, o.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, up.stop()) }()
	rel, err := startRelay(ctx, dir, up.url, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rel.stop()) }()

	outcome, err := tell(ctx, up, rel, storiesEndingAt(o.Now(), seed))
	if err != nil {
		return err
	}
	if err := writeReport(o.Out, outcome); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	if o.Serve {
		if err := serve(ctx, o.Out, up, rel, outcome); err != nil {
			return err
		}
	}
	return outcome.err()
}

// tell sends every story both ways, waits until the relay has delivered, and
// asks PromQL what it sees.
func tell(ctx context.Context, up *upstream, rel *relayProcess, stories []story) (*outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	go func() { // do not wait for a relay that has given up
		select {
		case <-rel.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	began := time.Now()
	for _, st := range stories {
		if err := send(ctx, up.url+"/api/v1/write", st, pathRaw); err != nil {
			return nil, fmt.Errorf("send %q to the upstream: %w", st.title, err)
		}
		if err := send(ctx, rel.writeURL+"/api/v1/write", st, pathCorrected); err != nil {
			return nil, fmt.Errorf("send %q to the relay: %w", st.title, err)
		}
	}
	for _, st := range stories {
		if err := up.await(ctx, st); err != nil {
			return nil, fmt.Errorf("wait for the relay to deliver %q: %w", st.title, err)
		}
	}
	out, err := judge(ctx, up, stories)
	if err != nil {
		return nil, err
	}
	if out.corrections, err = rel.corrections(ctx); err != nil {
		return nil, err
	}
	out.took = time.Since(began)
	return out, nil
}

func (o Options) withDefaults() Options {
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Logger == nil {
		o.Logger = promslog.NewNopLogger()
	}
	if !o.Logger.Enabled(context.Background(), slog.LevelDebug) {
		o.Logger = slog.New(warnings{o.Logger.Handler()})
	}
	if o.Version == "" {
		o.Version = "demo"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	for _, a := range []*string{&o.UpstreamAddress, &o.WriteAddress, &o.AdminAddress} {
		if *a == "" {
			*a = "127.0.0.1:0"
		}
	}
	return o
}

// warnings keeps the table free of what a relay says when all is well.
type warnings struct{ slog.Handler }

func (h warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

func (h warnings) WithAttrs(as []slog.Attr) slog.Handler { return warnings{h.Handler.WithAttrs(as)} }
func (h warnings) WithGroup(name string) slog.Handler    { return warnings{h.Handler.WithGroup(name)} }
