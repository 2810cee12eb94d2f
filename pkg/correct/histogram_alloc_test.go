package correct_test

import (
	"math"
	"testing"

	"pawl/pkg/correct"
)

// healthyHistogram has twelve buckets, _sum and _count, all seen once.
func healthyHistogram(tb testing.TB) (*correct.Histogram, []correct.Sample) {
	h := &correct.Histogram{}
	s := make([]correct.Sample, 14)
	for i := range s {
		role, le := correct.RoleBucket, float64(i)
		switch i {
		case 11:
			le = math.Inf(1)
		case 12:
			role = correct.RoleSum
		case 13:
			role = correct.RoleCount
		}
		if at := h.Part(role, le); at != i {
			tb.Fatalf("part %d has index %d", i, at)
		}
		s[i] = correct.Sample{T: 1, V: 1}
		if _, held := h.Offer(i, correct.Policy{}, s[i], 0); held {
			tb.Fatal("a first sample waits")
		}
	}
	return h, s
}

func TestHealthyHistogramsDoNotAllocate(t *testing.T) {
	h, s := healthyHistogram(t)
	if n := testing.AllocsPerRun(1000, func() {
		for i := range s {
			s[i].T += 15000
			s[i].V += float64(min(i+1, 12))
			if !h.Healthy(i, s[i]) {
				t.Fatalf("part %d was refused", i)
			}
		}
	}); n != 0 {
		t.Errorf("a healthy frame allocates %v times", n)
	}
}

// Rule (docs/decisions/0016): a new histogram whose parts go on to the next timestamp has rows, not a queue that is judged: each part
// goes out at once, and none but the first is for Offer.
func TestANewHistogramHasRows(t *testing.T) {
	h, s := healthyHistogram(t)
	h.Expect(false)
	offered := 0
	for range 4 {
		for i := range s {
			s[i].T += 15000
			s[i].V += float64(min(i+1, 12))
			if h.Healthy(i, s[i]) {
				continue
			}
			offered++
			if _, held := h.Offer(i, correct.Policy{}, s[i], 0); held {
				t.Fatalf("part %d waits", i)
			}
		}
	}
	if offered != 1 {
		t.Errorf("%d samples were for Offer", offered)
	}
	for h.Waiting() && h.Complete() {
		if out := h.Decide(correct.Policy{}); len(out) > 0 {
			t.Errorf("%d samples were judged", len(out))
		}
	}
	if h.Waiting() {
		t.Error("waits still, with all its parts there")
	}
}

func TestCorrectedHistogramsDoNotAllocate(t *testing.T) {
	h, s := healthyHistogram(t)
	// A restart that start timestamps tell, so that nothing stays open.
	for round := range 3 {
		for i := range s {
			s[i].T += 15000
			s[i].V = float64(round)
			s[i].ST = 20000
			h.Offer(i, correct.Policy{}, s[i], 0)
		}
		h.Decide(correct.Policy{})
	}
	if h.Waiting() {
		t.Fatal("still waits")
	}
	if n := testing.AllocsPerRun(1000, func() {
		for i := range s {
			s[i].T += 15000
			s[i].V += float64(min(i+1, 12))
			if h.Healthy(i, s[i]) {
				t.Fatal("has an offset")
			}
			if _, held := h.Offer(i, correct.Policy{}, s[i], 0); held {
				t.Fatalf("part %d waits", i)
			}
		}
	}); n != 0 {
		t.Errorf("a corrected frame allocates %v times", n)
	}
}

// BenchmarkHealthyHistogram is the cost per part.
func BenchmarkHealthyHistogram(b *testing.B) {
	h, s := healthyHistogram(b)
	b.ReportAllocs()
	for n := 0; n < b.N; n += len(s) {
		for i := range s {
			s[i].T += 15000
			s[i].V += float64(min(i+1, 12))
			if !h.Healthy(i, s[i]) {
				b.Fatal("refused")
			}
		}
	}
}

// No bytes make reading a record panic, then or when it is used.
func FuzzDecodeHistogram(f *testing.F) {
	h, s := healthyHistogram(f)
	f.Add(h.Append(nil))
	for i := range s {
		s[i].T += 15000
		s[i].V = 0
		h.Offer(i, correct.Policy{}, s[i], 7)
	}
	f.Add(h.Append(nil))
	h.Decide(correct.Policy{})
	f.Add(h.Append(nil))
	l := newLaggards(f, 3)
	for range 8 {
		l.scrape(f)
	}
	f.Add(l.h.Append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := correct.DecodeHistogram(b)
		if err != nil {
			return
		}
		again, err := correct.DecodeHistogram(h.Append(nil))
		if err != nil {
			t.Fatalf("own record: %v", err)
		}
		h = again
		i := h.Part(correct.RoleBucket, math.Inf(1))
		h.Part(correct.RoleCount, 0)
		for _, v := range []float64{3, 1, 5, 0, 2} {
			at, _, _, _, _ := h.Last(i)
			if at > math.MaxInt64-1e6 {
				return
			}
			s := correct.Sample{T: at + 1000, V: v}
			if !h.Healthy(i, s) {
				h.Offer(i, correct.Policy{}, s, 1)
			}
			h.Complete()
			h.Decide(correct.Policy{})
		}
	})
}
