package receive

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"pawl/pkg/config"
	"pawl/pkg/rewrite"
	"pawl/pkg/sequence"
	"pawl/pkg/store"
)

// refusal is an answer that accepts nothing.
type refusal struct {
	status int
	reason string // for the metric: never from input
	err    error
	wait   time.Duration // at least so long before the sender tries again, for 503 and 429
}

// scarce is the refusal of a request for which there is no room now.
func scarce(w resource, most int64, crowded bool) *refusal {
	type word struct{ reason, what, key string }
	name := [resources]word{
		reading: {"reading", "requests are being read", "receive.max_connections"},
		working: {"in_flight", "requests are being worked on", "receive.max_in_flight"},
		memory:  {"in_flight_bytes", "bytes are held by requests in flight", "receive.max_in_flight_bytes"},
	}[w]
	if crowded {
		return &refusal{http.StatusServiceUnavailable, "tenant_" + name.reason,
			fmt.Errorf("nearly as many %s as are allowed (%d, %s), and this tenant has more than its share of them; send this one again later", name.what, most, name.key), 0}
	}
	return &refusal{http.StatusServiceUnavailable, name.reason,
		fmt.Errorf("as many %s as are allowed (%d, %s); send this one again later", name.what, most, name.key), 0}
}

func bodyTooLarge(limit config.Bytes) *refusal {
	return &refusal{http.StatusRequestEntityTooLarge, "too_large",
		fmt.Errorf("the compressed body is larger than %d bytes (receive.max_body_bytes)", int64(limit)), 0}
}

// unreadable is the refusal of a body that could not be read to its end.
func unreadable(err error, c *claim) *refusal {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return bodyTooLarge(c.set.MaxBodyBytes)
	}
	return &refusal{http.StatusBadRequest, "cut_off", fmt.Errorf("read the body: %w", err), 0}
}

// tooFast is the refusal of a tenant over its configured rate: the only use of
// 429, which a default Prometheus answers by dropping the request.
func tooFast(wait time.Duration, perSecond int) *refusal {
	return &refusal{http.StatusTooManyRequests, "tenant_rate",
		fmt.Errorf("this tenant sends more than %d samples a second (receive.max_tenant_samples_per_second)", perSecond), wait}
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
	return &refusal{http.StatusServiceUnavailable, reason, err, 0}
}

func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, v rewrite.Version, why *refusal) {
	h.metrics.refused.WithLabelValues(strconv.Itoa(why.status), why.reason).Inc()
	if h.quiet.allow(why.reason) {
		h.log.Warn("refused a request", "status", why.status, "reason", why.reason, "from", r.RemoteAddr, "err", strconv.Quote(why.err.Error()))
	}
	if why.status == http.StatusServiceUnavailable || why.status == http.StatusTooManyRequests {
		// Spread over some seconds, so that senders do not come back in step.
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(why.wait.Seconds()))+1+rand.IntN(5)))
	}
	if v == rewrite.V2 {
		written{}.header(w.Header())
	}
	http.Error(w, why.err.Error(), why.status)
}
