package forward

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// logEvery is how often a failing upstream is logged again.
const logEvery = 30 * time.Second

// An upstream that answers some requests with 503 is busy, not away: it counts
// as failing after so many failures in a row, or so long without a success.
const (
	failuresInARow = 10
	failingFor     = time.Second
)

// health remembers how the upstream has answered lately.
type health struct {
	inFlight atomic.Int64

	mu          sync.Mutex
	failures    int       // since the last success
	since       time.Time // the first of them
	failing     bool
	lastErr     string
	lastSuccess time.Time
	lastLog     time.Time
	back        chan struct{} // closed when the upstream takes batches again; nil while nobody waits for that
}

// recovery is closed when the upstream, now failing, takes a batch again.
func (h *health) recovery() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.back == nil {
		h.back = make(chan struct{})
	}
	return h.back
}

// ok notes a success and reports whether it ended a failure that was logged.
func (h *health) ok() (recovered bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	recovered = h.failing
	h.failures, h.failing = 0, false
	h.lastSuccess = time.Now()
	if recovered && h.back != nil {
		close(h.back)
		h.back = nil
	}
	return recovered
}

// failed notes a failure and reports whether it is time to log one.
func (h *health) failed(err error) (logIt bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if h.failures == 0 {
		h.since = now
	}
	h.failures++
	h.lastErr = err.Error()
	if h.failures < failuresInARow && now.Sub(h.since) < failingFor {
		return false
	}
	logIt = !h.failing || now.Sub(h.lastLog) > logEvery
	h.failing = true
	if logIt {
		h.lastLog = now
	}
	return logIt
}

// Health is what the admin API tells about the upstream.
type Health struct {
	URL         string // without secrets
	Healthy     bool   // it takes batches, though perhaps not those of every tenant
	LastError   string
	LastSuccess time.Time
	InFlight    int
	HeldTenants int          // whose batches it does not take
	Held        []HeldTenant // those that wait longest
}

// Health is the upstream's state now. What it answers about one tenant's
// batches says nothing of the others', so it is unhealthy when others' fail, or
// when nothing of anybody was taken since a tenant's were not.
func (f *Forwarder) Health() Health {
	n, held, nobody := f.lanes.shown()
	f.health.mu.Lock()
	defer f.health.mu.Unlock()
	h := Health{
		URL: f.upstream.Load().client.display, Healthy: !f.health.failing && !nobody, LastError: f.health.lastErr,
		LastSuccess: f.health.lastSuccess, InFlight: int(f.health.inFlight.Load()), HeldTenants: n, Held: held,
	}
	if nobody && len(held) > 0 { // its attempts are the last there were
		h.LastError = held[0].LastError
	}
	return h
}

// registerHealth tells the same to who alerts.
func registerHealth(reg prometheus.Registerer, f *Forwarder) {
	reg.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pawl_upstream_healthy",
			Help: "1 while the upstream takes batches, though perhaps not those of every tenant, else 0."}, func() float64 {
			if f.Health().Healthy {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "pawl_forward_in_flight_requests",
			Help: "Requests to the upstream under way, pauses before a retry included (queue_config.max_shards at most)."},
			func() float64 { return float64(f.health.inFlight.Load()) }),
	)
}
