package correct_test

import (
	"math"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"pawl/pkg/correct"
)

// nativeRun is a native histogram in a test: it counts step observations in each of three buckets every 15 s.
type nativeRun struct {
	t   *testing.T
	n   correct.Native
	p   correct.Policy
	at  int64
	st  int64
	out *histogram.FloatHistogram // last
	oST int64
	chg bool
	cs  []correct.Correction
}

// flat is a histogram with these counts in buckets 0, 1, 2, ... of schema 0.
func flat(counts ...float64) *histogram.FloatHistogram {
	h := &histogram.FloatHistogram{ZeroThreshold: 0x1p-126}
	h.PositiveSpans = []histogram.Span{{Offset: 0, Length: uint32(len(counts))}}
	h.PositiveBuckets = slices.Clone(counts)
	for i, n := range counts {
		h.Count += n
		h.Sum += n * 0.75 * math.Ldexp(1, i)
	}
	return h
}

func nativeCounting(t *testing.T, p correct.Policy, upTo, step float64, n int) *nativeRun {
	r := &nativeRun{t: t, p: p, at: 1_000_000}
	for i := n; i >= 0; i-- {
		v := upTo - float64(i)*step
		r.next(flat(v, v, v))
		if r.chg {
			t.Fatal("a healthy sample was changed")
		}
	}
	return r
}

// next is the sample 15 s later.
func (r *nativeRun) next(h *histogram.FloatHistogram) *nativeRun {
	r.t.Helper()
	r.at += 15000
	var drop bool
	if r.out, r.oST, drop, r.chg, r.cs = r.n.Apply(r.p, r.at, r.st, h); drop {
		r.t.Fatal("dropped")
	}
	if err := r.out.Validate(); err != nil {
		r.t.Fatal(err)
	}
	return r
}

func (r *nativeRun) want(h *histogram.FloatHistogram, kinds ...correct.Kind) {
	r.t.Helper()
	got := r.out.Copy().Compact(0)
	h = h.Copy().Compact(0)
	if h.Sum == 0 {
		h.Sum = got.Sum
	}
	if !got.Equals(h) {
		r.t.Errorf("went out as %v, want %v", got, h)
	}
	if len(r.cs) != len(kinds) {
		r.t.Fatalf("corrections %+v, want %v", r.cs, kinds)
	}
	for i, k := range kinds {
		if r.cs[i].Kind != k {
			r.t.Errorf("correction %d is a %v, want a %v", i, r.cs[i].Kind, k)
		}
	}
}

func TestNativeFullResetIsFoldedInEveryBucket(t *testing.T) {
	r := nativeCounting(t, correct.Policy{}, 1000, 10, 30)
	r.next(flat(6, 0, 2)).want(flat(1006, 1000, 1002), correct.KindReset)
	if r.out.CounterResetHint != histogram.UnknownCounterReset {
		t.Errorf("hint %v", r.out.CounterResetHint)
	}
	r.next(flat(16, 10, 12)).want(flat(1016, 1010, 1012))
}

func TestNativeFullResetPassesWhereTheRuleSaysSo(t *testing.T) {
	r := nativeCounting(t, correct.Policy{Resets: correct.PassResets}, 1000, 10, 30)
	r.next(flat(6, 0, 2)).want(flat(6, 0, 2), correct.KindReset)
	if r.chg {
		t.Error("a reset that every reader sees was changed")
	}
}

func TestNativeHiddenResetIsFoldedOrTheHintSaysSo(t *testing.T) {
	for _, p := range []correct.Policy{{}, {Resets: correct.PassResets}} {
		r := &nativeRun{t: t, p: p, at: 1_000_000, st: 900_000}
		for i := range 10 {
			v := float64(i)
			r.next(flat(v, 0, v))
		}
		before := r.out.Copy()
		r.st = r.at + 4000
		r.next(flat(9, 0, 12))
		if p.Resets == correct.Fold {
			r.want(flat(18, 0, 21), correct.KindHiddenReset)
			if r.oST != 900_000 {
				t.Errorf("start timestamp %d, want that of the folded series", r.oST)
			}
			continue
		}
		r.want(flat(9, 0, 12), correct.KindHiddenReset)
		if r.out.CounterResetHint != histogram.CounterReset || !r.out.DetectReset(before) || r.oST != r.st {
			t.Errorf("hint %v, start timestamp %d", r.out.CounterResetHint, r.oST)
		}
		r.next(flat(10, 0, 13)).want(flat(10, 0, 13))
		if r.chg {
			t.Error("the sample after the reset was changed")
		}
	}
}

func TestNativeLossIsPutBackBucketByBucket(t *testing.T) {
	r := nativeCounting(t, correct.Policy{}, 1000, 1, 30)
	sum := r.out.Sum
	r.next(flat(760, 1001, 1002)).want(flat(1000, 1001, 1002), correct.KindLoss)
	// What came is one observation in (1,2] and two in (2,4].
	if d := r.out.Sum - sum; d < 5 || d > 10 {
		t.Errorf("sum grew by %v", d)
	}
	c := r.cs[0]
	if c.Amount != 240 || !c.Pending || c.Prev != 3000 || c.Raw != 2763 || c.Out != 3003 || c.FalseIncrease != 2763 {
		t.Errorf("correction %+v", c)
	}
	r.next(flat(761, 1002, 1003)).want(flat(1001, 1002, 1003))
}

func TestNativeStaleReadThatComesBackInventsNothing(t *testing.T) {
	r := nativeCounting(t, correct.Policy{}, 1000, 10, 30)
	r.next(flat(960, 960, 960))
	if r.out.Count != 3000 {
		t.Errorf("a dip went out as %v", r.out)
	}
	r.next(flat(1020, 1020, 1020)).want(flat(1020, 1020, 1020), correct.KindJitter)
	r.next(flat(1030, 1030, 1030)).want(flat(1030, 1030, 1030))
	if r.chg {
		t.Error("still changed after all came back")
	}
}

func TestNativeDropAfterAGapIsALoss(t *testing.T) {
	r := nativeCounting(t, correct.Policy{}, 1000, 1, 30)
	r.at += 300_000
	r.next(flat(990, 1000, 1000)).want(flat(1000, 1000, 1000), correct.KindLoss)
	if r.cs[0].Pending {
		t.Error("a drop after a gap is pending")
	}
}

func TestNativeSameTimestamp(t *testing.T) {
	r := nativeCounting(t, correct.Policy{}, 1000, 10, 30)
	r.next(flat(6, 0, 2))
	first := r.out.Copy()
	again, _, drop, changed, cs := r.n.Apply(r.p, r.at, 0, flat(6, 0, 2))
	if drop || !changed || len(cs) > 0 || !again.Equals(first) {
		t.Errorf("again: %v", again)
	}
	_, _, drop, _, cs = r.n.Apply(r.p, r.at, 0, flat(6, 1, 2))
	if !drop || len(cs) != 1 || cs[0].Kind != correct.KindDuplicate {
		t.Errorf("another value: %v %+v", drop, cs)
	}
	older, _, _, changed, _ := r.n.Apply(r.p, r.at-15000, 0, flat(1000, 1000, 1000))
	if changed || older.Count != 3000 {
		t.Errorf("older: %v", older)
	}
	between, _, _, _, _ := r.n.Apply(r.p, r.at-1, 0, flat(3, 0, 0))
	if between.Count != 3000 {
		t.Errorf("from the interval that was decided about: %v", between)
	}
}

func TestNativeSumFollowsItsBuckets(t *testing.T) {
	r := nativeCounting(t, correct.Policy{}, 1000, 10, 30)
	sum := r.out.Sum
	h := flat(1010, 1010, 1010)
	h.Sum = 5 // fell by itself
	r.next(h)
	if r.out.Sum <= sum || r.out.Sum > sum+10*(1+2+4) {
		t.Errorf("sum %v after %v", r.out.Sum, sum)
	}
	if len(r.cs) != 1 || r.cs[0].Kind != correct.KindLoss {
		t.Errorf("%+v", r.cs)
	}
	// With negative observations a sum may fall and be right.
	n := nativeCounting(t, correct.Policy{}, 1000, 10, 30)
	h = flat(1010, 1010, 1010)
	h.NegativeSpans, h.NegativeBuckets = []histogram.Span{{Offset: 12, Length: 1}}, []float64{1}
	h.Count, h.Sum = h.Count+1, 5
	if n.next(h); n.chg || n.out.Sum != 5 {
		t.Errorf("sum %v, changed %v", n.out.Sum, n.chg)
	}
}

func TestNativeFinerBucketsWithoutAResetStayCoarse(t *testing.T) {
	fine := func(v float64) *histogram.FloatHistogram {
		h := &histogram.FloatHistogram{Schema: 1, ZeroThreshold: 0x1p-126, PositiveSpans: []histogram.Span{{Offset: -1, Length: 6}}}
		for range 6 {
			h.PositiveBuckets = append(h.PositiveBuckets, v/2)
			h.Count += v / 2
		}
		h.Sum = flat(v, v, v).Sum
		return h
	}
	r := nativeCounting(t, correct.Policy{}, 1000, 10, 30)
	before := r.out.Copy()
	h := fine(1010)
	if !h.DetectReset(before) {
		t.Fatal("no reader would take it for a reset")
	}
	r.next(h).want(flat(1010, 1010, 1010), correct.KindNoise)
	if r.out.Schema != 0 || r.out.DetectReset(before) {
		t.Errorf("went out as %v", r.out)
	}
	// After a restart finer buckets are what is to be expected.
	n := nativeCounting(t, correct.Policy{}, 1000, 10, 30)
	n.next(fine(8)).want(flat(1008, 1008, 1008), correct.KindReset)
}

func TestNativeHealthySampleDoesNotAllocate(t *testing.T) {
	var n correct.Native
	h := flat(make([]float64, 160)...)
	at := int64(1000)
	next := func() {
		at += 15000
		h.PositiveBuckets[7]++
		h.Count++
		h.Sum++
		if _, _, _, changed, _ := n.Apply(correct.Policy{}, at, 0, h); changed {
			t.Fatal("changed")
		}
	}
	next()
	next()
	if a := testing.AllocsPerRun(100, next); a != 0 {
		t.Fatalf("%v allocations", a)
	}
}

func TestNativeKeepsItsOwnBounds(t *testing.T) {
	h := &histogram.FloatHistogram{
		Schema: histogram.CustomBucketsSchema, CustomValues: []float64{1, 2, 3}, Count: 4, Sum: 4,
		PositiveSpans: []histogram.Span{{Offset: 0, Length: 4}}, PositiveBuckets: []float64{1, 1, 1, 1},
	}
	var n correct.Native
	n.Apply(correct.Policy{}, 1000, 0, h)
	h.CustomValues[0] = 0.5 // the caller reuses its memory
	if _, _, drop, _, _ := n.Apply(correct.Policy{}, 1000, 0, h); !drop {
		t.Error("the bounds that it remembers are the caller's")
	}
}

func TestDecodeNativeRefuses(t *testing.T) {
	var n correct.Native
	for _, s := range wildNative(1) {
		nativeFeed(&n, correct.Policy{}, s)
	}
	good := n.Append(nil)
	if _, err := correct.DecodeNative(good); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"nothing":         nil,
		"a later version": append([]byte{good[0] + 1}, good[1:]...),
		"an earlier one":  append([]byte{good[0] - 1}, good[1:]...),
		"a torn record":   good[:len(good)-1],
		"a torn total":    good[:9],
		"a byte too many": append(slices.Clone(good), 0),
	} {
		if _, err := correct.DecodeNative(bad); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func BenchmarkNativeHealthy(b *testing.B) {
	var n correct.Native
	h := flat(make([]float64, 160)...)
	at := int64(1000)
	b.ReportAllocs()
	for b.Loop() {
		at += 15000
		h.PositiveBuckets[7]++
		h.Count++
		n.Apply(correct.Policy{}, at, 0, h)
	}
}

func BenchmarkNativeCorrected(b *testing.B) {
	var n correct.Native
	h := flat(make([]float64, 160)...)
	for i := range h.PositiveBuckets {
		h.PositiveBuckets[i] = 1000
		h.Count += 1000
	}
	at := int64(1000)
	n.Apply(correct.Policy{}, at, 0, h)
	clear(h.PositiveBuckets)
	h.Count = 0
	b.ReportAllocs()
	for b.Loop() {
		at += 15000
		h.PositiveBuckets[7]++
		h.Count++
		n.Apply(correct.Policy{}, at, 0, h)
	}
}
