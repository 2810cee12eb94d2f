package forward

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter bounds what an upstream may ask for: longer than this and a
// mistyped header would keep a relay silent for hours.
const maxRetryAfter = 5 * time.Minute

// backoff is how long to wait between attempts: doubling from min to max,
// Prometheus' queue_config.min_backoff and max_backoff.
type backoff struct{ min, max time.Duration }

// after is the wait before the next attempt: the doubled backoff with half of
// it random, so that many relays do not come back in step, and never earlier
// than the upstream asked for.
func (b backoff) after(attempt int, asked time.Duration) time.Duration {
	d := b.max
	if attempt < 30 {
		d = min(b.min<<attempt, b.max)
	}
	if d > 0 {
		d = d/2 + rand.N(d/2+1)
	}
	if asked > 0 {
		asked = min(asked, maxRetryAfter)
		asked += rand.N(asked/4 + 1)
	}
	return max(d, asked)
}

// parseRetryAfter reads a Retry-After header (RFC 9110, 10.2.3: seconds or an
// HTTP date) as the time to wait from now on; 0 when there is none, it is
// malformed, or it lies in the past.
func parseRetryAfter(h string, now time.Time) time.Duration {
	h = strings.TrimSpace(h)
	if h == "" {
		return 0
	}
	if s, err := strconv.ParseInt(h, 10, 64); err == nil {
		if s <= 0 {
			return 0
		}
		return time.Duration(min(s, int64(maxRetryAfter/time.Second))) * time.Second
	}
	if t, err := http.ParseTime(h); err == nil {
		return min(max(t.Sub(now), 0), maxRetryAfter)
	}
	return 0
}
