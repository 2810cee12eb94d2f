package sequence

import (
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"pawl/pkg/rewrite"
)

// What is forgotten while it carries an offset starts again from 0, never from
// raw; what carries none goes out as it is. A checkpoint in between changes nothing.
func TestForgottenWithAnOffsetStartsFromZero(t *testing.T) {
	for _, saved := range []bool{false, true} {
		p := newPairWorld(t, rewrite.V1)
		k := 0
		scrape := func(n float64, bucket float64) {
			ms := haT0 + int64(k)*15_000
			k++
			p.send(ms, one(ms, n, "__name__", "x_total"), one(ms, float64(100+k), "__name__", "y_total"),
				one(ms, bucket, "__name__", "h_bucket", "le", "1"), one(ms, 2*bucket, "__name__", "h_bucket", "le", "+Inf"), one(ms, 2*bucket, "__name__", "h_count"))
		}
		for i := range 40 {
			scrape(float64(10*i), float64(5*i))
		}
		scrape(3, 1)
		scrape(13, 6)
		last := func(ls ...string) float64 {
			s := p.out[labels.FromStrings(ls...).String()]
			return s[len(s)-1].Value
		}
		if got := last("__name__", "x_total"); got != 403 {
			t.Fatalf("x_total went out as %v, want 403", got)
		}
		var payload []byte
		for _, ls := range []labels.Labels{labels.FromStrings("__name__", "x_total"), labels.FromStrings("__name__", "y_total"), labels.FromStrings("__name__", "h_bucket", "le", "1")} {
			payload = appendKey(payload, rewrite.KeyOf("team", ls))
		}
		p.w.forgetAll(payload)
		if saved {
			p.restart()
		}
		scrape(23, 11)
		for _, c := range []struct {
			want float64
			ls   []string
		}{
			{0, []string{"__name__", "x_total"}},
			{float64(100 + k), []string{"__name__", "y_total"}},
			{0, []string{"__name__", "h_bucket", "le", "1"}},
			{0, []string{"__name__", "h_bucket", "le", "+Inf"}},
			{0, []string{"__name__", "h_count"}},
		} {
			if got := last(c.ls...); got != c.want {
				t.Errorf("saved %v: %v went out as %v, want %v", saved, c.ls, got, c.want)
			}
		}
		scrape(33, 16)
		if x, le, inf := last("__name__", "x_total"), last("__name__", "h_bucket", "le", "1"), last("__name__", "h_bucket", "le", "+Inf"); x != 10 || le != 5 || inf != 10 {
			t.Errorf("saved %v: went on as %v, %v, %v, want 10, 5, 10", saved, x, le, inf)
		}
		if len(p.w.lost.since) != 0 {
			t.Errorf("saved %v: still lost: %v", saved, p.w.lost.since)
		}
	}
}
