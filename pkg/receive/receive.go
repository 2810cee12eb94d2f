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
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pawl/pkg/config"
	"pawl/pkg/rewrite"
	"pawl/pkg/sequence"
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
	known    func() int
	memory   atomic.Pointer[rewrite.Memory] // of label sets that were good under the settings
	firsts   sync.Pool                      // of *[firstRead]byte
	bodies   sync.Pool                      // of *[]byte, of maxBody bytes at most
	budget   budget
	rates    rates
	log      *slog.Logger
	quiet    quiet
	metrics  *metrics
}

// Options are what a Handler is made of.
type Options struct {
	Sink       Sink
	Pressure   func() error
	Known      func() int // how many series there are
	Settings   config.Receive
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// New makes the handler.
func New(o Options) *Handler {
	h := &Handler{sink: o.Sink, pressure: o.Pressure, known: o.Known, log: o.Logger}
	h.firsts.New = func() any { return new([firstRead]byte) }
	h.bodies.New = func() any { return new([]byte) }
	h.metrics = newMetrics(o.Registerer, &h.budget)
	h.Configure(o.Settings)
	promauto.With(o.Registerer).NewGaugeFunc(prometheus.GaugeOpts{Name: "pawl_receive_memory_bytes",
		Help: "Bytes of what is remembered of remote write 1.0's label sets, so that they need not be parsed again."},
		func() float64 { return float64(h.memory.Load().Bytes()) })
	return h
}

// What is remembered of label sets is bounded, in bytes: by memoryShare for each series that there is, or memoryBytes if that
// is more, one and a half million of them. It is taken as they come.
const memoryBytes, memoryShare = 64 << 20, 48

// memoryMost is what may be remembered now. Label sets that come, are refused and so become no series have room in memoryBytes at most.
func (h *Handler) memoryMost() int { return max(memoryBytes, memoryShare*h.known()) }

// Configure puts other limits in force, from the next request on.
func (h *Handler) Configure(s config.Receive) {
	if old := h.settings.Load(); old == nil || old.MaxLabels != s.MaxLabels || old.MaxLabelValueBytes != s.MaxLabelValueBytes {
		h.memory.Store(rewrite.NewMemory(h.memoryMost, limitsOf(&s)))
	}
	h.settings.Store(&s)
}

func limitsOf(s *config.Receive) rewrite.Limits {
	return rewrite.Limits{
		MaxDecodedBytes: int(s.MaxDecodedBytes), MaxLabels: s.MaxLabels, MaxLabelValueBytes: int(s.MaxLabelValueBytes),
	}
}

// ServeHTTP takes one request from its headers to its answer.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	set := h.settings.Load()
	version, why := protocol(r)
	if why != nil {
		h.refuse(w, r, version, why)
		return
	}
	tenant, err := tenantOf(r, set.TenantHeader)
	if err != nil {
		h.refuse(w, r, version, &refusal{badTenant, err, 0})
		return
	}
	c := claim{budget: &h.budget, tenant: tenant, set: set}
	defer c.release()
	if why = h.admit(&c); why != nil {
		h.refuse(w, r, version, why)
		return
	}
	req, why := h.read(w, r, &c, version)
	if why != nil {
		h.refuse(w, r, version, why)
		return
	}
	// Once committed the request belongs to the pipeline, whose memory has
	// bounds of its own: count before.
	written := countsOf(&req.Batch)
	body := len(req.Body)
	if len(req.Batch.Series)+len(req.Batch.Metadata) == 0 {
		req.Release() // there is nothing to lose
	} else if err := h.sink.Commit(req); err != nil {
		req.Release()
		h.refuse(w, r, version, fromCommit(err))
		return
	}
	h.rates.spend(tenant, written.samples+written.histograms, set.MaxTenantSamples)
	h.metrics.accepted(version, written, body, time.Since(began))
	if version == rewrite.V2 {
		written.header(w.Header())
	}
	w.WriteHeader(http.StatusNoContent)
}

// admit decides whether the body is read at all.
func (h *Handler) admit(c *claim) *refusal {
	if err := h.pressure(); err != nil {
		return &refusal{pressed, err, 0}
	}
	if wait := h.rates.wait(c.tenant, c.set.MaxTenantSamples); wait > 0 {
		return tooFast(wait, c.set.MaxTenantSamples)
	}
	// A place among those that are worked on is taken only once the body is
	// there, or slow clients would hold them all.
	if ok, crowded := h.budget.has(c.tenant, working, 1, working.most(c.set)); !ok {
		return scarce(working, working.most(c.set), crowded)
	}
	return c.take(reading, 1)
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
		return &refusal{mediaType, fmt.Errorf(format, args...), 0}
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
