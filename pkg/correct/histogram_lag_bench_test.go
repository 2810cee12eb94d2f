package correct_test

import (
	"fmt"
	"testing"
	"time"

	"pawl/pkg/correct"
)

// laggards sends the samples of a healthy histogram whose parts come over four connections, each a number of scrapes behind the one before.
type laggards struct {
	h    *correct.Histogram
	lag  int
	now  int // scrape of the first connection
	made int // samples sent
}

func newLaggards(tb testing.TB, lag int) *laggards {
	h, _ := healthyHistogram(tb)
	return &laggards{h: h, lag: lag}
}

// scrape lets every connection send its next one.
func (l *laggards) scrape(tb testing.TB) {
	l.now++
	for conn := range 4 {
		at := l.now - conn*l.lag
		if at < 1 {
			continue
		}
		for i := range 14 {
			if i%4 != conn {
				continue
			}
			s := correct.Sample{T: 1 + 15_000*int64(at), V: 1 + float64(at*min(i+1, 12))}
			if !l.h.Healthy(i, s) {
				if out, held := l.h.Offer(i, correct.Policy{}, s, 1); held || out.V != s.V {
					tb.Fatalf("scrape %d, part %d: went out as %v, held %v", at, i, out.V, held)
				}
			}
			for l.h.Waiting() && l.h.Complete() {
				l.h.Decide(correct.Policy{})
			}
			l.made++
		}
	}
}

// Rule (DESIGN.md, the healthy sample's path): a healthy histogram whose parts lag allocates nothing a sample, once it lags as far as it does.
func TestLaggingHealthyHistogramsDoNotAllocate(t *testing.T) {
	for _, lag := range []int{1, 3, 8} {
		l := newLaggards(t, lag)
		for range 10 * lag {
			l.scrape(t)
		}
		if n := testing.AllocsPerRun(1000, func() { l.scrape(t) }); n != 0 {
			t.Errorf("%d scrapes apart: %v allocations a scrape", lag, n)
		}
	}
}

// BenchmarkLaggingHistogram is the cost per part of a healthy histogram whose parts come over four connections, so many scrapes apart each.
func BenchmarkLaggingHistogram(b *testing.B) {
	for _, lag := range []int{0, 1, 3, 8} {
		b.Run(fmt.Sprintf("apart=%d", lag), func(b *testing.B) {
			l := newLaggards(b, lag)
			for range 10*lag + 2 {
				l.scrape(b)
			}
			b.ReportAllocs()
			b.ResetTimer()
			began, before := time.Now(), l.made
			for l.made-before < b.N {
				l.scrape(b)
			}
			b.ReportMetric(float64(time.Since(began).Nanoseconds())/float64(l.made-before), "ns/sample")
		})
	}
}
