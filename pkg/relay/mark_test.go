package relay

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"testing"
)

const markAll = "correct:\n  rules:\n  - {match: '{__name__=~\".+\"}', resets: mark}\n"

// Rule: resets: mark. A 0 arrives upstream before a restart, in order, once, and
// the same bits however often batches are sent again; then raw values, without an offset.
func TestAMarkedResetArrivesAsAZeroAndRawValues(t *testing.T) {
	up := newRecorder(t)
	rng := rand.New(rand.NewPCG(5, 5))
	up.answer = func() int { // now and then it fails
		if rng.IntN(4) == 0 {
			return http.StatusServiceUnavailable
		}
		return http.StatusNoContent
	}
	dir := t.TempDir()
	r := start(t, dir, up.URL, markAll)
	var vs []float64
	for k := range 20 {
		vs = append(vs, 100+10*float64(k))
	}
	r.push("a", "x_total", t0, append(vs, 4, 14)...)
	r.delivered()
	r.stop()
	r = start(t, dir, up.URL, markAll)
	r.push("a", "x_total", t0+21*15_000, 14, 24, 3, 13) // the first one is a retry
	r.delivered()

	got := distinct(t, up.of("a x_total"))
	var want []point
	for k, v := range append(vs, 4, 14, 24, 3, 13) {
		at := t0 + int64(k)*15_000
		if v == 4 || v == 3 {
			want = append(want, point{at - 15_000 + 1, 0})
		}
		want = append(want, point{at, math.Float64bits(v)})
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("arrived\n%v\nwant\n%v", got, want)
	}
}

// The parts of a histogram that restarts are marked as one, in one request or each in its own: those that
// waited for their siblings go out late, each behind its own 0.
func TestEveryPartOfARestartedHistogramIsMarked(t *testing.T) {
	for _, apart := range []bool{false, true} {
		t.Run(fmt.Sprintf("apart=%v", apart), func(t *testing.T) {
			up := newRecorder(t)
			r := start(t, t.TempDir(), up.URL, markAll)
			for k := range 20 {
				n := float64(k)
				r.pushParts(t0+int64(k)*15_000, apart, frame(100+10*n, 110+12*n, 5000+100*n)...)
			}
			r.pushParts(t0+20*15_000, apart, frame(4, 5, 40)...)
			r.pushParts(t0+21*15_000, apart, frame(14, 17, 140)...)
			r.delivered()
			for name, last := range map[string]float64{" latency_bucket 1000": 14, " latency_bucket +Inf": 17, " latency_count": 17, " latency_sum": 140} {
				got := distinct(t, up.of(name))
				if len(got) != 23 || got[20] != (point{t0 + 19*15_000 + 1, 0}) || got[22] != (point{t0 + 21*15_000, math.Float64bits(last)}) {
					t.Errorf("%s: %d samples arrived, the last ones %v", name, len(got), got[max(0, len(got)-4):])
				}
				for i := 1; i < len(got); i++ {
					if got[i].t <= got[i-1].t {
						t.Errorf("%s: %d arrived after %d", name, got[i].t, got[i-1].t)
					}
				}
			}
		})
	}
}
