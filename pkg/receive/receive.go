// Package receive takes remote-write requests in: it bounds them, checks them
// completely, has them committed, and answers.
//
// Its contract with the sender: 2xx means the whole request is checked, in
// the journal and synced. 400, 413 and 415 mean nothing of it was accepted and
// sending it again is no use. 503 with Retry-After means nothing of it was
// accepted and it is to be sent again; 429 is never used for pressure, because
// a default Prometheus drops what is answered so (retry_on_http_429: false).
package receive

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pawl/pkg/config"
	"pawl/pkg/rewrite"
	"pawl/pkg/sequence"
	"pawl/pkg/store"
)

// Sink makes a request durable; see sequence.Sequencer.Commit.
type Sink interface {
	Commit(*sequence.Request) error
}

// Handler is the write listener's POST handler.
type Handler struct {
	sink     Sink
	pressure func() error // why nothing is accepted now, nil to accept
	settings atomic.Pointer[config.Receive]
	inFlight atomic.Int64
	log      *slog.Logger
	quiet    quiet
	metrics  *metrics
}

// Options are what a Handler is made of.
type Options struct {
	Sink       Sink
	Pressure   func() error
	Settings   config.Receive
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// New makes the handler.
func New(o Options) *Handler {
	h := &Handler{sink: o.Sink, pressure: o.Pressure, log: o.Logger, metrics: newMetrics(o.Registerer)}
	h.Configure(o.Settings)
	return h
}

// Configure puts other limits in force, from the next request on.
func (h *Handler) Configure(s config.Receive) { h.settings.Store(&s) }

// ServeHTTP takes one request from its headers to its answer.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	set := h.settings.Load()
	version, refusal := protocol(r)
	if refusal == nil {
		refusal = h.admit(set)
	}
	if refusal != nil {
		h.refuse(w, r, version, refusal)
		return
	}
	defer h.inFlight.Add(-1)
	req, refusal := h.read(w, r, set, version)
	if refusal != nil {
		h.refuse(w, r, version, refusal)
		return
	}
	// Once committed the request belongs to the pipeline: count before.
	written := countsOf(&req.Batch)
	body := len(req.Body)
	if len(req.Batch.Series)+len(req.Batch.Metadata) == 0 {
		req.Release() // there is nothing to lose
	} else if err := h.sink.Commit(req); err != nil {
		req.Release()
		h.refuse(w, r, version, fromCommit(err))
		return
	}
	h.metrics.accepted(version, written, body, time.Since(began))
	if version == rewrite.V2 {
		written.header(w.Header())
	}
	w.WriteHeader(http.StatusNoContent)
}

// admit takes a place among the requests in flight.
func (h *Handler) admit(set *config.Receive) *refusal {
	if err := h.pressure(); err != nil {
		return &refusal{http.StatusServiceUnavailable, "pressure", err}
	}
	if h.inFlight.Add(1) > int64(set.MaxInFlight) {
		h.inFlight.Add(-1)
		return &refusal{http.StatusServiceUnavailable, "in_flight",
			fmt.Errorf("%d requests are being worked on (receive.max_in_flight); send this one again later", set.MaxInFlight)}
	}
	return nil
}

// read brings the body in, bounded, and checks it completely.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, set *config.Receive, v rewrite.Version) (*sequence.Request, *refusal) {
	tenant, err := tenantOf(r, set.TenantHeader)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, "tenant", err}
	}
	limit := int64(set.MaxBodyBytes)
	tooLarge := &refusal{http.StatusRequestEntityTooLarge, "too_large",
		fmt.Errorf("the compressed body is larger than %d bytes (receive.max_body_bytes)", limit)}
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	req := sequence.Borrow()
	req.Body, err = readAll(req.Body, http.MaxBytesReader(w, r.Body, limit), r.ContentLength)
	if err == nil {
		req.Time = time.Now().UnixMilli()
		err = req.Batch.Decode(v, tenant, req.Body, rewrite.Limits{
			MaxDecodedBytes: int(set.MaxDecodedBytes), MaxLabels: set.MaxLabels, MaxLabelValueBytes: int(set.MaxLabelValueBytes),
		})
	}
	if b := &req.Batch; err == nil && len(b.Series)+len(b.Metadata) == 0 && len(b.Message) > 0 {
		// Protobuf skips what it does not know: a 2.0 body called 1.0 would be
		// acknowledged and nothing of it read.
		err = fmt.Errorf("the body of %d bytes has neither series nor metadata of the message that Content-Type names; remote write 2.0 is %s", len(b.Message), typeV2)
	}
	if err == nil {
		return req, nil
	}
	req.Release()
	var body *http.MaxBytesError
	var large *rewrite.TooLargeError
	switch {
	case errors.As(err, &body):
		return nil, tooLarge
	case errors.As(err, &large):
		return nil, &refusal{http.StatusRequestEntityTooLarge, "too_large", err}
	}
	return nil, &refusal{http.StatusBadRequest, "malformed", err}
}

// believed is how much of a body's announced length is allocated before any of
// it has come, in bytes: an announcement costs its sender nothing.
const believed = 256 << 10

// readAll reads r to its end into b, which it grows as needed.
func readAll(b []byte, r io.Reader, announced int64) ([]byte, error) {
	if n := int(min(announced, believed)) + 1; announced >= 0 && cap(b) < n {
		b = make([]byte, 0, n)
	}
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, fmt.Errorf("read the body: %w", err)
		}
	}
}

// The messages of remote write, as Content-Type's proto parameter names them.
const (
	protoV1 = "prometheus.WriteRequest"
	protoV2 = "io.prometheus.write.v2.Request"
	typeV2  = "application/x-protobuf;proto=" + protoV2
)

// protocol decides by Content-Type which message the body is; a 2.0 body read
// as 1.0 would give no series and no error. It looks before anything is
// decompressed.
func protocol(r *http.Request) (rewrite.Version, *refusal) {
	unsupported := func(format string, args ...any) *refusal {
		return &refusal{http.StatusUnsupportedMediaType, "media_type", fmt.Errorf(format, args...)}
	}
	version := rewrite.V1
	if ct := r.Header.Get("Content-Type"); ct != "" { // absent: 1.0, as Prometheus' receiver takes it
		media, params, err := mime.ParseMediaType(ct)
		if err != nil || media != "application/x-protobuf" {
			return version, unsupported("Content-Type %q is not application/x-protobuf; set it as the remote-write specification says", ct)
		}
		switch proto := params["proto"]; proto {
		case "", protoV1:
		case protoV2:
			version = rewrite.V2
		default:
			return version, unsupported("message %q is unknown here; use %s or %s", proto, protoV1, protoV2)
		}
	}
	// Absent: snappy, as Prometheus' receiver takes it.
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "snappy") {
		return version, unsupported("Content-Encoding %q is not snappy, the only one of remote write", enc)
	}
	return version, nil
}

// maxTenant is the longest tenant, in bytes; Mimir's own limit.
const maxTenant = 150

// tenantOf reads the tenant. The characters are Mimir's and Thanos' own: what
// they would refuse must not wait in the journal for ever.
func tenantOf(r *http.Request, header string) (string, error) {
	if header == "" {
		return "", nil
	}
	t := r.Header.Get(header)
	if len(t) > maxTenant {
		return "", fmt.Errorf("tenant in %s is %d bytes long, %d are allowed", header, len(t), maxTenant)
	}
	for _, c := range []byte(t) {
		if c <= ' ' || c >= 0x7f {
			return "", fmt.Errorf("tenant in %s has byte 0x%02x; printable ASCII without spaces is allowed", header, c)
		}
	}
	return t, nil
}

// refusal is an answer that accepts nothing.
type refusal struct {
	status int
	reason string // for the metric: never from input
	err    error
}

// fromCommit says what a failed commit means for the sender: that it was not
// accepted and may be sent again.
func fromCommit(err error) *refusal {
	reason := "journal"
	switch {
	case errors.Is(err, store.ErrFull):
		reason = "journal_full"
		err = fmt.Errorf("%w; the upstream has not taken the backlog yet", err)
	case errors.Is(err, sequence.ErrStopping):
		reason = "stopping"
	}
	return &refusal{http.StatusServiceUnavailable, reason, err}
}

func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, v rewrite.Version, why *refusal) {
	h.metrics.refused.WithLabelValues(strconv.Itoa(why.status), why.reason).Inc()
	if h.quiet.allow(why.reason) {
		h.log.Warn("refused a request", "status", why.status, "reason", why.reason, "from", r.RemoteAddr, "err", strconv.Quote(why.err.Error()))
	}
	if why.status == http.StatusServiceUnavailable {
		// Spread over some seconds, so that senders do not come back in step.
		w.Header().Set("Retry-After", strconv.Itoa(1+rand.IntN(5)))
	}
	if v == rewrite.V2 {
		written{}.header(w.Header())
	}
	http.Error(w, why.err.Error(), why.status)
}
