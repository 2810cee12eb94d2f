package correct_test

import (
	"bytes"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"pawl/pkg/correct"

	"pgregory.net/rapid"
)

// nativeSample is one sample of a native histogram series.
type nativeSample struct {
	t, st int64
	h     *histogram.FloatHistogram
}

// nativeLength is how many samples a trace of native histograms has.
const nativeLength = 200

// hist is a histogram as a client library builds one: counts by bucket index.
type hist struct {
	schema   int32
	zero     float64
	bounds   []float64
	pos, neg map[int]float64
	at0, sum float64
}

func newHist(schema int32) *hist {
	h := &hist{schema: schema, zero: 0x1p-126, pos: map[int]float64{}, neg: map[int]float64{}}
	if schema == histogram.CustomBucketsSchema {
		h.zero, h.bounds = 0, []float64{-1, 0, 1, 2, 5, 10, 100}
	}
	return h
}

// observe counts n observations of v.
func (h *hist) observe(v, n float64) {
	h.sum += v * n
	switch {
	case h.bounds != nil:
		i := 0
		for i < len(h.bounds) && v > h.bounds[i] {
			i++
		}
		h.pos[i] += n
	case math.Abs(v) <= h.zero:
		h.at0 += n
	case v > 0:
		h.pos[int(math.Ceil(math.Log2(v)*math.Ldexp(1, int(h.schema))))] += n
	default:
		h.neg[int(math.Ceil(math.Log2(-v)*math.Ldexp(1, int(h.schema))))] += n
	}
}

// model is h in Prometheus' model, with sparse spans, as small as can be.
func (h *hist) model() *histogram.FloatHistogram {
	out := &histogram.FloatHistogram{Schema: h.schema, ZeroThreshold: h.zero, ZeroCount: h.at0, Count: h.at0, Sum: h.sum, CustomValues: h.bounds}
	fill := func(counts map[int]float64) (spans []histogram.Span, buckets []float64) {
		next := 0
		for _, i := range slices.Sorted(maps.Keys(counts)) {
			n := counts[i]
			if gap := i - next; gap == 0 && len(spans) > 0 {
				spans[len(spans)-1].Length++
			} else {
				spans = append(spans, histogram.Span{Offset: int32(gap), Length: 1})
			}
			buckets = append(buckets, n)
			out.Count += n
			next = i + 1
		}
		return spans, buckets
	}
	out.PositiveSpans, out.PositiveBuckets = fill(h.pos)
	out.NegativeSpans, out.NegativeBuckets = fill(h.neg)
	return out
}

// fall takes a share of every bucket away, rounded at random.
func (h *hist) fall(r *rand.Rand, share float64) {
	before, after := 0.0, 0.0
	for _, side := range [...]map[int]float64{h.pos, h.neg} {
		for _, i := range slices.Sorted(maps.Keys(side)) {
			n := side[i]
			before += n
			side[i] = math.Floor(n * (1 - share*r.Float64()))
			after += side[i]
		}
	}
	if before > 0 {
		h.sum *= after / before
	}
}

func clone(h *hist) *hist {
	out := *h
	out.pos, out.neg = maps.Clone(h.pos), maps.Clone(h.neg)
	return &out
}

// coarser is m with half the resolution, or a larger zero threshold, as a client with too many buckets makes it.
func coarser(r *rand.Rand, m *histogram.FloatHistogram) *histogram.FloatHistogram {
	if m.UsesCustomBuckets() {
		return m
	}
	if r.IntN(2) == 0 {
		wider := &histogram.FloatHistogram{Schema: m.Schema, ZeroThreshold: m.ZeroThreshold * math.Ldexp(1, r.IntN(130))}
		if out, _, _, err := wider.Add(m); err == nil {
			out.Sum = m.Sum
			return out
		}
	}
	if m.Schema > -4 {
		m = m.Copy()
		if err := m.ReduceResolution(m.Schema - 1); err != nil {
			panic(err)
		}
	}
	return m
}

// wildNative is a trace of anything: losses, restarts, dips, layouts that change, hints, markers.
func wildNative(seed uint64) []nativeSample {
	r := rand.New(rand.NewPCG(seed, 11))
	schemas := []int32{3, 0, -2, 8, histogram.CustomBucketsSchema}
	schema := schemas[r.IntN(len(schemas))]
	h, rate := newHist(schema), math.Exp(r.Float64()*5)
	negatives := r.IntN(3) == 0
	old := clone(h)
	now, start := int64(1000), int64(0)
	if r.IntN(2) == 0 {
		start = 500
	}
	level := 0 // how often the layout got coarser
	var trace []nativeSample
	for len(trace) < nativeLength {
		before := now
		now += 15000 * int64(1+r.IntN(20)/19*r.IntN(20))
		for range 1 + r.IntN(3) {
			v := math.Exp(r.NormFloat64())
			if negatives && r.IntN(3) == 0 {
				v = -v
			}
			if r.IntN(10) == 0 {
				v = 0
			}
			h.observe(v, math.Floor(rate*r.ExpFloat64()))
		}
		shown := h
		switch r.IntN(20) {
		case 0:
			h.fall(r, r.Float64())
		case 1:
			h, level = newHist(schema), 0
			h.observe(1, math.Floor(rate*r.Float64()))
			shown = h
			if start != 0 && r.IntN(2) == 0 {
				start = before + 1 + r.Int64N(now-before)
			}
		case 2:
			shown = old
		case 3:
			level++
		case 4:
			level = 0
		case 5:
			if h.bounds != nil {
				h = newHist(schema)
				h.bounds = [][]float64{{-1, 0, 1, 2, 5, 10, 100}, {0, 1, 5, 100}, {0.5, 3}}[r.IntN(3)]
			}
			shown = h
		}
		m := shown.model()
		for k := range level {
			m = coarser(rand.New(rand.NewPCG(seed, uint64(k))), m)
		}
		old = clone(h)
		s := nativeSample{now, start, m}
		switch r.IntN(40) {
		case 0:
			m.Sum = math.Float64frombits(staleMarker)
		case 1:
			m.CounterResetHint = histogram.GaugeType
		case 2:
			m.CounterResetHint = histogram.NotCounterReset
		case 3:
			m.CounterResetHint = histogram.CounterReset
		case 4:
			s.st = now - 1
		case 5:
			m.Count = math.NaN()
		case 6:
			if len(m.PositiveBuckets) > 0 {
				m.PositiveBuckets[0] += 0.5
				m.Count += 0.5
			}
		case 7:
			m.Sum = math.NaN()
			m.Count += 3
		}
		trace = append(trace, s)
	}
	return trace
}

// counts reports whether a sample is one that a counter histogram moves on by.
func (s nativeSample) counts() bool {
	return s.h.CounterResetHint != histogram.GaugeType && math.Float64bits(s.h.Sum) != staleMarker && s.h.Count >= 0
}

func everyNative(t *testing.T, check func(t rapid.TB, seed uint64)) {
	rapid.Check(t, func(t *rapid.T) { check(t, rapid.Uint64().Draw(t, "seed")) })
}

// Forward only: with Fold, Prometheus' own model finds no reset in what goes out; with
// PassResets only where a full reset was found. What goes out changed is valid and compact.
func TestNativeForwardOnly(t *testing.T) {
	everyNative(t, func(t rapid.TB, seed uint64) {
		p := policyOf(seed)
		if seed%7 == 0 {
			p.Resets = correct.PassResets
		}
		var n correct.Native
		var last *histogram.FloatHistogram
		for i, s := range wildNative(seed) {
			raw := s.h.Copy()
			out, _, drop, changed, cs := n.Apply(p, s.t, s.st, s.h)
			if !s.h.Equals(raw) && raw.Count == raw.Count {
				t.Fatalf("sample %d was changed in place", i)
			}
			if drop {
				t.Fatalf("sample %d was dropped", i)
			}
			if changed {
				if err := out.Validate(); err != nil {
					t.Fatalf("sample %d: %v", i, err)
				}
				if !out.Copy().Compact(0).Equals(out) {
					t.Fatalf("sample %d is not compact: %v", i, out)
				}
			} else if out != s.h {
				t.Fatalf("sample %d: unchanged, but another", i)
			}
			if !s.counts() {
				if changed {
					t.Fatalf("sample %d must pass", i)
				}
				continue
			}
			if last != nil && out.DetectReset(last) && out.UsesCustomBuckets() == last.UsesCustomBuckets() {
				found := false
				for _, c := range cs {
					found = found || c.Kind == correct.KindReset || c.Kind == correct.KindHiddenReset
				}
				if p.Resets == correct.Fold || !found {
					t.Fatalf("sample %d: a reader sees a reset\n was %v\n raw %v\n now %v\n %+v", i, last, s.h, out, cs)
				}
			}
			last = out.Copy()
		}
	})
}

// grown is a fault-free trace, with layouts that only ever get coarser.
func grown(seed uint64) []nativeSample {
	r := rand.New(rand.NewPCG(seed, 12))
	schemas := []int32{8, 3, 0, histogram.CustomBucketsSchema}
	h := newHist(schemas[r.IntN(len(schemas))])
	rate, sign := math.Exp(r.Float64()*8), 1.0
	if r.IntN(3) == 0 {
		sign = -1
	}
	var trace []nativeSample
	now, level := int64(1000), 0
	for range nativeLength {
		now += 1 + r.Int64N(60000)
		for range r.IntN(4) {
			h.observe(math.Exp(r.NormFloat64()*2), math.Floor(rate*r.ExpFloat64()))
			h.observe(sign*math.Exp(r.NormFloat64()*2), math.Floor(rate*r.ExpFloat64()))
		}
		m := h.model()
		if r.IntN(50) == 0 && level < 3 {
			level++
		}
		for range level {
			if !m.UsesCustomBuckets() {
				m = m.CopyToSchema(m.Schema - 1)
			}
		}
		m.CounterResetHint = []histogram.CounterResetHint{histogram.UnknownCounterReset, histogram.NotCounterReset}[r.IntN(2)]
		trace = append(trace, nativeSample{now, 1, m})
	}
	return trace
}

func TestNativeHealthyBitForBit(t *testing.T) {
	everyNative(t, func(t rapid.TB, seed uint64) {
		var n correct.Native
		for i, s := range grown(seed) {
			out, st, drop, changed, cs := n.Apply(policyOf(seed), s.t, s.st, s.h)
			if changed || drop || out != s.h || st != s.st || len(cs) > 0 {
				t.Fatalf("sample %d came out as %v (changed %v, drop %v, %+v)\n%v", i, out, changed, drop, cs, s.h)
			}
		}
	})
}

type nativeAnswer struct {
	h     *histogram.FloatHistogram
	st    int64
	drop  bool
	hint  histogram.CounterResetHint
	kinds int
}

func nativeFeed(n *correct.Native, p correct.Policy, s nativeSample) nativeAnswer {
	out, st, drop, _, cs := n.Apply(p, s.t, s.st, s.h)
	return nativeAnswer{out.Copy(), st, drop, out.CounterResetHint, len(cs)}
}

func (a nativeAnswer) same(b nativeAnswer) bool {
	nan := a.h.Count != a.h.Count && b.h.Count != b.h.Count
	return (nan || a.h.Equals(b.h)) && a.st == b.st && a.drop == b.drop && a.hint == b.hint
}

func TestNativeRetriesChangeNothing(t *testing.T) {
	everyNative(t, func(t rapid.TB, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 13))
		var n, once correct.Native
		trace, p := wildNative(seed), policyOf(seed)
		if seed%7 == 0 {
			p.Resets = correct.PassResets
		}
		answers := make([]nativeAnswer, len(trace))
		for i, s := range trace {
			answers[i] = nativeFeed(&n, p, s)
			nativeFeed(&once, p, s)
			for k := r.IntN(4) / 3 * r.IntN(9); k >= 0 && i >= k; k-- {
				if again := nativeFeed(&n, p, trace[i-k]); !again.same(answers[i-k]) {
					t.Fatalf("sample %d again after %d: %+v, was %+v", i-k, i, again, answers[i-k])
				}
			}
			if !bytes.Equal(n.Append(nil), once.Append(nil)) {
				t.Fatalf("after sample %d retries have changed the state", i)
			}
		}
	})
}

func TestNativeSavedAndReadBackChangesNothing(t *testing.T) {
	everyNative(t, func(t rapid.TB, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 14))
		n, saved := new(correct.Native), new(correct.Native)
		p := policyOf(seed)
		for i, s := range wildNative(seed) {
			a, b := nativeFeed(n, p, s), nativeFeed(saved, p, s)
			if !a.same(b) || a.kinds != b.kinds {
				t.Fatalf("sample %d: %+v, after reading back %+v", i, a, b)
			}
			if r.IntN(10) > 0 {
				continue
			}
			record := saved.Append(nil)
			again, err := correct.DecodeNative(record)
			if err != nil {
				t.Fatalf("sample %d: %v", i, err)
			}
			if !bytes.Equal(record, again.Append(nil)) {
				t.Fatalf("sample %d: the record differs from the one it was read from", i)
			}
			saved = again
		}
	})
}

// FuzzDecodeNative: no bytes make DecodeNative panic, nor what is decoded panic
// later, and what is decoded is written as bytes that are read alike.
func FuzzDecodeNative(f *testing.F) {
	f.Add(new(correct.Native).Append(nil))
	for seed := range uint64(8) {
		var n correct.Native
		for i, s := range wildNative(seed)[:100] {
			if nativeFeed(&n, correct.Policy{}, s); i%25 == 24 {
				f.Add(n.Append(nil))
			}
		}
	}
	var traces [][]nativeSample
	for seed := range uint64(6) {
		traces = append(traces, wildNative(seed)[:12])
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		if len(record) > 1<<12 {
			return
		}
		n, err := correct.DecodeNative(record)
		if err != nil {
			return
		}
		again := n.Append(nil)
		second, err := correct.DecodeNative(again)
		if err != nil {
			t.Fatalf("what was decoded does not decode again: %v", err)
		}
		if !bytes.Equal(again, second.Append(nil)) {
			t.Fatal("a second round trip differs")
		}
		last, _, _, _ := n.Last()
		for _, trace := range traces {
			for _, s := range trace {
				s.t += last &^ (1 << 62)
				nativeFeed(n, correct.Policy{Impute: true}, s)
			}
		}
	})
}
