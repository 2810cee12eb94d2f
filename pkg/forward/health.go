package forward

import (
	"sync"
	"sync/atomic"
	"time"
)

// logEvery is how often a failing upstream is logged again.
const logEvery = 30 * time.Second

// health remembers how the upstream has answered lately.
type health struct {
	inFlight atomic.Int64

	mu          sync.Mutex
	failing     bool
	lastErr     string
	lastSuccess time.Time
	lastLog     time.Time
}

// ok notes a success and reports whether it ended a failure.
func (h *health) ok() (recovered bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	recovered = h.failing
	h.failing = false
	h.lastSuccess = time.Now()
	return recovered
}

// failed notes a failure and reports whether it is time to log one.
func (h *health) failed(err error) (logIt bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	logIt = !h.failing || time.Since(h.lastLog) > logEvery
	h.failing = true
	h.lastErr = err.Error()
	if logIt {
		h.lastLog = time.Now()
	}
	return logIt
}

// Health is what the admin API tells about the upstream.
type Health struct {
	URL         string // without secrets
	Healthy     bool
	LastError   string
	LastSuccess time.Time
	InFlight    int
}

// Health is the upstream's state now.
func (f *Forwarder) Health() Health {
	f.health.mu.Lock()
	defer f.health.mu.Unlock()
	return Health{
		URL: f.upstream.Load().client.display, Healthy: !f.health.failing, LastError: f.health.lastErr,
		LastSuccess: f.health.lastSuccess, InFlight: int(f.health.inFlight.Load()),
	}
}
