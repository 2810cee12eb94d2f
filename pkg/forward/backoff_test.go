package forward

import (
	"math"
	"testing"
	"time"
)

// Rule: the wait doubles from min to max, half of it random, and is never
// shorter than what the upstream asked for.
func TestBackoff(t *testing.T) {
	b := backoff{min: 30 * time.Millisecond, max: 5 * time.Second}
	for _, c := range []struct {
		attempt       int
		asked         time.Duration
		least, atMost time.Duration
	}{
		{0, 0, 15 * time.Millisecond, 30 * time.Millisecond},
		{1, 0, 30 * time.Millisecond, 60 * time.Millisecond},
		{7, 0, 1920 * time.Millisecond, 3840 * time.Millisecond},
		{8, 0, 2500 * time.Millisecond, 5 * time.Second},
		{1000, 0, 2500 * time.Millisecond, 5 * time.Second},
		{math.MaxInt, 0, 2500 * time.Millisecond, 5 * time.Second},
		{0, 20 * time.Second, 20 * time.Second, 25 * time.Second},
		{0, 24 * time.Hour, maxRetryAfter, maxRetryAfter * 5 / 4},
	} {
		for range 200 {
			if d := b.after(c.attempt, c.asked); d < c.least || d > c.atMost {
				t.Fatalf("attempt %d, asked %v: waits %v, want %v to %v", c.attempt, c.asked, d, c.least, c.atMost)
			}
		}
	}
}

// Rule: attempts of many workers do not fall in step.
func TestBackoffIsSpread(t *testing.T) {
	b := backoff{min: time.Second, max: time.Second}
	seen := map[time.Duration]bool{}
	for range 50 {
		seen[b.after(0, 0)] = true
	}
	if len(seen) < 25 {
		t.Errorf("50 waits of about a second take %d different values only", len(seen))
	}
}

// Rule (RFC 9110, 10.2.3): Retry-After is seconds or an HTTP date; what is
// neither, or past, asks for nothing; what is absurd is bounded.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	for h, want := range map[string]time.Duration{
		"":                               0,
		"0":                              0,
		"7":                              7 * time.Second,
		" 7 ":                            7 * time.Second,
		"-3":                             0,
		"1.5":                            0,
		"soon":                           0,
		"999999999999":                   maxRetryAfter,
		"99999999999999999999999":        0,
		"Sun, 22 Nov 2026 08:00:30 GMT":  30 * time.Second,
		"Sun, 22 Nov 2026 07:00:30 GMT":  0,
		"Sun, 22 Nov 2037 07:00:30 GMT":  maxRetryAfter,
		"Sunday, 22-Nov-26 08:00:05 GMT": 5 * time.Second,
		"Sun Nov 22 08:00:06 2026":       6 * time.Second,
	} {
		if got := parseRetryAfter(h, now); got != want {
			t.Errorf("Retry-After %q: %v, want %v", h, got, want)
		}
	}
}

// Rule: nothing in the header makes the wait negative or longer than the bound.
func FuzzRetryAfter(f *testing.F) {
	for _, h := range []string{"", "7", "-1", "999999999999999999", "Sun, 22 Nov 2026 08:00:30 GMT", "\x00"} {
		f.Add(h, int64(0))
	}
	f.Fuzz(func(t *testing.T, h string, at int64) {
		now := time.Unix(at%(1<<33), 0)
		if d := parseRetryAfter(h, now); d < 0 || d > maxRetryAfter {
			t.Errorf("%q at %v: %v", h, now, d)
		}
	})
}
