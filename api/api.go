// Package api is the admin HTTP API: what the relay has seen and corrected, and the
// few things an operator may tell it to do. It holds no state: everything is asked
// of a Source. Answers are JSON in Prometheus' envelope; openapi.yaml beside this
// file describes all of it, and the tests hold the two together.
//
// It has no authentication of its own: it is meant for a listener on the loopback
// address, or one with a web configuration that asks for credentials.
package api

import (
	"context"
	_ "embed"
	"errors"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
)

// Source is what the API asks. Implementations are safe for concurrent use, keep to
// ctx, and say what kind an error is by BadData or Unavailable; any other one is
// answered with 500 and logged.
type Source interface {
	Status(ctx context.Context) (Status, error)

	// Series lists at most q.Limit series in a stable order. next is the cursor of the
	// following page, "" after the last.
	Series(ctx context.Context, q SeriesQuery) (found []Series, next string, err error)

	// Corrections lists at most q.Limit corrections, newest first.
	Corrections(ctx context.Context, q CorrectionQuery) (found []Correction, next string, err error)

	// Summary counts the corrections that q selects (Limit and After are not set) by
	// the values of by: "kind", "tenant", and otherwise names of labels. Every row has
	// all of them; a label that a series lacks is "".
	Summary(ctx context.Context, q CorrectionQuery, by []string) ([]SummaryRow, error)

	// Elections lists at most limit pairs of replicas with the one that is forwarded, by tenant and cluster.
	Elections(ctx context.Context, after string, limit int) (found []Election, next string, err error)

	// Rejected lists at most limit batches that the upstream refused for good, newest first.
	Rejected(ctx context.Context, after string, limit int) (found []Rejected, next string, err error)

	// RejectedBatch is one of them with what is in it: at most limit series. NotFound when it is not kept.
	RejectedBatch(ctx context.Context, id string, limit int) (RejectedBatch, error)

	// Resend sends rejected batches once more, oldest first, and lets those go that are accepted. It ends early when the upstream
	// cannot be asked. Unavailable while another one goes on.
	Resend(ctx context.Context, q RejectedQuery) (ResendReport, error)

	// Drop lets rejected batches go, and says how many there were. Unavailable while a resend goes on.
	Drop(ctx context.Context, q RejectedQuery) (Dropped, error)

	// Forget drops the state of every series that all matchers of one of the sets
	// accept, and returns how many there were. There is at least one set, and none accepts everything.
	Forget(ctx context.Context, matchers [][]*labels.Matcher) (n int, err error)

	// Config is the configuration in force, as YAML, without secrets.
	Config() string

	// Reload reads the configuration again; a bad one is refused whole. It logs what it
	// did itself, for it is not only asked here.
	Reload() error
}

// Options are what the handler needs beside its Source. The zero value works.
type Options struct {
	Logger   *slog.Logger        // for what the client cannot be told; nil: nothing is logged
	Gatherer prometheus.Gatherer // what /metrics shows; nil: nothing
	Version  string              // shown on the start page
}

//go:embed openapi.yaml
var openAPI []byte // read only

// New is the handler of the admin listener.
func New(src Source, o Options) http.Handler {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Gatherer == nil {
		o.Gatherer = prometheus.NewRegistry()
	}
	s := &server{src: src, o: o}
	return s.protect(s.router())
}

type server struct {
	src Source
	o   Options
}

// kindError is an error whose kind the client is told.
type kindError struct {
	kind errorType
	err  error
}

func (e *kindError) Error() string { return e.err.Error() }
func (e *kindError) Unwrap() error { return e.err }

// BadData marks an error of a Source as the request's own fault, such as a cursor that it never gave out: 400.
func BadData(err error) error { return &kindError{badData, err} }

// NotFound marks an error of a Source as that what was asked for is not there: 404.
func NotFound(err error) error { return &kindError{notFound, err} }

// Unavailable marks an error of a Source as one that passes, such as a relay that is starting or stopping: 503.
func Unavailable(err error) error { return &kindError{unavailable, err} }

func kindOf(err error) errorType {
	var k *kindError
	switch {
	case errors.As(err, &k):
		return k.kind
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return unavailable
	default:
		return internal
	}
}
