package relay

import (
	"fmt"
	"net/http"
	"sort"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
)

// part is one series of the histogram that the tests send.
type part struct {
	suffix, le string
	v          float64
}

// frame is a histogram with two buckets at one timestamp.
func frame(b1000, inf, sum float64) []part {
	return []part{{"_bucket", "1000", b1000}, {"_bucket", "+Inf", inf}, {"_count", "", inf}, {"_sum", "", sum}}
}

func partsRequest(t int64, parts ...part) []byte {
	req := &prompb.WriteRequest{}
	for _, p := range parts {
		ls := []prompb.Label{{Name: "__name__", Value: "latency" + p.suffix}}
		if p.le != "" {
			ls = append(ls, prompb.Label{Name: "le", Value: p.le})
		}
		req.Timeseries = append(req.Timeseries, prompb.TimeSeries{Labels: ls, Samples: []prompb.Sample{{Timestamp: t, Value: p.v}}})
	}
	msg, _ := req.Marshal()
	return snappy.Encode(nil, msg)
}

func (r *running) pushParts(t int64, apart bool, parts ...part) {
	r.t.Helper()
	requests := [][]byte{partsRequest(t, parts...)}
	if apart {
		requests = nil
		for _, p := range parts {
			requests = append(requests, partsRequest(t, p))
		}
	}
	for _, body := range requests {
		if status, text := r.post("", body); status != http.StatusNoContent {
			r.t.Fatalf("answered %d: %s", status, text)
		}
	}
}

// recycled is the gunicorn incident (STORIES.md): a worker recycled, so le=1000
// falls and +Inf does not. Warm-up first: a slow request every second scrape.
func recycled() (frames [][]part) {
	for k := range 20 {
		n := float64(k)
		frames = append(frames, frame(100+10*n, 100+10*n+float64(k/2), 50000+2000*n))
	}
	// One of several workers takes 50 fast requests with it; 5 slow ones came meanwhile.
	return append(frames, frame(240, 254, 75000), frame(250, 264, 77000), frame(260, 275, 79000))
}

// increases checks what reached the upstream: no bucket falls, no bucket grows
// more than the one above it, and _count equals +Inf.
func increases(t *testing.T, up *recorder, want int) map[string]float64 {
	t.Helper()
	byTime := map[int64]map[string]float64{}
	up.mu.Lock()
	defer up.mu.Unlock()
	for name, ps := range up.series {
		if len(distinct(t, ps)) != want {
			t.Errorf("%s: %d samples arrived, want %d", name, len(distinct(t, ps)), want)
		}
		for i, p := range ps {
			if i > 0 && p.t <= ps[i-1].t {
				t.Errorf("%s: %d arrived after %d", name, p.t, ps[i-1].t)
			}
			if byTime[p.t] == nil {
				byTime[p.t] = map[string]float64{}
			}
			byTime[p.t][name] = values([]point{p})[0]
		}
	}
	var times []int64
	for at := range byTime {
		times = append(times, at)
	}
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	const low, inf, count = " latency_bucket 1000", " latency_bucket +Inf", " latency_count"
	first := byTime[times[0]]
	for i, at := range times {
		now := byTime[at]
		if now[low] > now[inf] || now[inf] != now[count] {
			t.Errorf("at %d: le=1000 %v, +Inf %v, _count %v", at, now[low], now[inf], now[count])
		}
		if i == 0 {
			continue
		}
		was := byTime[times[i-1]]
		if now[low] < was[low] || now[inf] < was[inf] || now[low]-was[low] > now[inf]-was[inf] {
			t.Errorf("at %d: le=1000 grows by %v, +Inf by %v", at, now[low]-was[low], now[inf]-was[inf])
		}
	}
	last := byTime[times[len(times)-1]]
	return map[string]float64{"low": last[low] - first[low], "inf": last[inf] - first[inf]}
}

// Rule: a histogram is judged as one, whether its parts come in one request or
// each in its own; the totals are the same.
func TestAHistogramIsJudgedAsOne(t *testing.T) {
	for _, apart := range []bool{false, true} {
		t.Run(fmt.Sprintf("apart=%v", apart), func(t *testing.T) {
			up := newRecorder(t)
			r := start(t, t.TempDir(), up.URL, "")
			fs := recycled()
			for k, f := range fs {
				r.pushParts(t0+int64(k)*15_000, apart, f...)
			}
			r.delivered()
			got := increases(t, up, len(fs))
			// 190 fast requests in the warm-up and 20 after; 9 slow ones in the warm-up,
			// 5 at the loss, where they show in their own bucket, and 1 after.
			if got["low"] != 190+20 || got["inf"] != 190+20+9+5+1 {
				t.Errorf("le=1000 grew by %v, +Inf by %v", got["low"], got["inf"])
			}
		})
	}
}

// Rule: the verdict does not depend on which part of a request fell: what was
// let go before it in the same request is taken back. The same frames with
// their parts the other way round give the same values.
func TestPartsLetGoEarlierInTheRequestAreTakenBack(t *testing.T) {
	arrived := func(reverse bool) map[string][]point {
		up := newRecorder(t)
		r := start(t, t.TempDir(), up.URL, "")
		// Only le=1000 falls; nothing else of the frame gives it away.
		for k, f := range append(recycled()[:20], frame(280, 303, 89000), frame(290, 314, 91000)) {
			if reverse {
				f = []part{f[3], f[2], f[1], f[0]} // le=1000 comes last
			}
			r.pushParts(t0+int64(k)*15_000, false, f...)
		}
		r.delivered()
		return up.series
	}
	if forth, back := arrived(false), arrived(true); fmt.Sprint(forth) != fmt.Sprint(back) {
		t.Errorf("forth %v\nback %v", forth, back)
	}
}

// Rule: a suspicious histogram waits for its parts, acknowledged and in the
// checkpoint; a stop in between changes nothing.
func TestHeldPartsSurviveARestart(t *testing.T) {
	dir, fs := t.TempDir(), recycled()
	up := newRecorder(t)
	r := start(t, dir, up.URL, "correct: {join_wait: 5m}")
	for k, f := range fs {
		at := t0 + int64(k)*15_000
		if k != 20 {
			r.pushParts(at, false, f...)
			continue
		}
		r.pushParts(at, false, f[0]) // it fell: held
		r.delivered()
		if n := len(up.of(" latency_bucket 1000")); n != 20 {
			t.Fatalf("the suspicious part went out: %d samples", n)
		}
		r.stop()
		r = start(t, dir, up.URL, "correct: {join_wait: 5m}")
		r.pushParts(at, false, f[1], f[2], f[3])
	}
	r.delivered()
	if got := increases(t, up, len(fs)); got["low"] != 210 {
		t.Errorf("le=1000 grew by %v", got["low"])
	}
}

// Rule: what waits in vain goes out when join_wait is over, though nothing
// else comes in: time itself is written into the journal.
func TestHeldPartsGoOutAfterJoinWait(t *testing.T) {
	up := newRecorder(t)
	r := start(t, t.TempDir(), up.URL, "correct: {join_wait: 50ms}")
	fs := recycled()
	for k, f := range fs[:20] {
		r.pushParts(t0+int64(k)*15_000, false, f...)
	}
	r.pushParts(t0+20*15_000, false, fs[20][0])
	r.eventually("sent without its siblings", func() bool { return len(up.of(" latency_bucket 1000")) == 21 })
	ps := values(up.of(" latency_bucket 1000"))
	if ps[20] < ps[19] {
		t.Errorf("it fell from %v to %v", ps[19], ps[20])
	}
}
