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

// reason is why a request was refused.
type reason int

const (
	malformed reason = iota
	cutOff
	badTenant
	mediaType
	tooLarge
	tenantRate
	pressed
	stopping
	journalFull
	journalFailed
	noRoom                                    // and as many more as there are resources
	overShare = noRoom + reason(resources)    // likewise: for a tenant with more than its share
	reasons   = overShare + reason(resources) // how many there are
)

// answer is the status code of a refusal, and what its metric and its log line
// call it: never anything from input.
func (r reason) answer() (status int, name string) {
	if r >= noRoom {
		name = [resources]string{reading: "reading", working: "in_flight", memory: "in_flight_bytes"}[(r-noRoom)%reason(resources)]
		if r >= overShare {
			name = "tenant_" + name
		}
		return http.StatusServiceUnavailable, name
	}
	a := [noRoom]struct {
		status int
		name   string
	}{
		malformed:     {http.StatusBadRequest, "malformed"},
		cutOff:        {http.StatusBadRequest, "cut_off"},
		badTenant:     {http.StatusBadRequest, "tenant"},
		mediaType:     {http.StatusUnsupportedMediaType, "media_type"},
		tooLarge:      {http.StatusRequestEntityTooLarge, "too_large"},
		tenantRate:    {http.StatusTooManyRequests, "tenant_rate"},
		pressed:       {http.StatusServiceUnavailable, "pressure"},
		stopping:      {http.StatusServiceUnavailable, "stopping"},
		journalFull:   {http.StatusServiceUnavailable, "journal_full"},
		journalFailed: {http.StatusServiceUnavailable, "journal"},
	}[r]
	return a.status, a.name
}

// refusal is an answer that accepts nothing.
type refusal struct {
	reason reason
	err    error
	wait   time.Duration // at least so long before the sender tries again, for 503 and 429
}

func (r *refusal) Error() string { return r.err.Error() }

// scarce is the refusal of a request for which there is no room now.
func scarce(w resource, most int64, crowded bool) *refusal {
	type word struct{ what, key string }
	name := [resources]word{
		reading: {"requests are being read", "receive.max_connections"},
		working: {"requests are being worked on", "receive.max_in_flight"},
		memory:  {"bytes are held by requests in flight", "receive.max_in_flight_bytes"},
	}[w]
	if crowded {
		return &refusal{overShare + reason(w),
			fmt.Errorf("nearly as many %s as are allowed (%d, %s), and this tenant has more than its share of them; send this one again later", name.what, most, name.key), 0}
	}
	return &refusal{noRoom + reason(w),
		fmt.Errorf("as many %s as are allowed (%d, %s); send this one again later", name.what, most, name.key), 0}
}

func bodyTooLarge(limit config.Bytes) *refusal {
	return &refusal{tooLarge,
		fmt.Errorf("the compressed body is larger than %d bytes (receive.max_body_bytes)", int64(limit)), 0}
}

// unreadable is the refusal of a body that could not be read to its end.
func unreadable(err error, c *claim) *refusal {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return bodyTooLarge(c.set.MaxBodyBytes)
	}
	return &refusal{cutOff, fmt.Errorf("read the body: %w", err), 0}
}

// tooFast is the refusal of a tenant over its configured rate: the only use of
// 429, which a default Prometheus answers by dropping the request.
func tooFast(wait time.Duration, perSecond int) *refusal {
	return &refusal{tenantRate,
		fmt.Errorf("this tenant sends more than %d samples a second (receive.max_tenant_samples_per_second)", perSecond), wait}
}

// fromCommit says what a failed commit means for the sender: that it was not
// accepted and may be sent again.
func fromCommit(err error) *refusal {
	why := journalFailed
	switch {
	case errors.Is(err, store.ErrFull):
		why = journalFull
		err = fmt.Errorf("%w; the upstream has not taken the backlog yet", err)
	case errors.Is(err, sequence.ErrStopping):
		why = stopping
	}
	return &refusal{why, err, 0}
}

func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, v rewrite.Version, why *refusal) {
	h.metrics.refused[why.reason].Inc()
	status, name := why.reason.answer()
	if h.quiet.allow(why.reason) {
		h.log.Warn("refused a request", "status", status, "reason", name, "from", r.RemoteAddr, "err", why.err)
	}
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		// Spread over some seconds, so that senders do not come back in step.
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(why.wait.Seconds()))+1+rand.IntN(5)))
	}
	if v == rewrite.V2 {
		written{}.header(w.Header())
	}
	http.Error(w, why.err.Error(), status)
}
