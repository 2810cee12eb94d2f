//go:build rig

package rig

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
)

// point is one sample as it is sent, and what must become of it.
type point struct {
	series int32
	t      int64 // ms
	raw    float64
	native *prompb.Histogram // instead of raw
	want   uint64            // bits that must arrive, or of a native histogram its fingerprint
	known  bool              // want is known: else it is what a second relay makes of it
}

// stream is what a shard makes of one series, or of one family of series: the
// samples of its next scrape.
type stream interface {
	scrape(r *rand.Rand, t int64, out []point) []point
}

// fleet is all series of a run. Their numbers are places in labels.
type fleet struct {
	labels []labels.Labels
	byName map[string]int32 // by labels as text
}

func (f *fleet) add(ls labels.Labels) int32 {
	if f.byName == nil {
		f.byName = map[string]int32{}
	}
	id := int32(len(f.labels))
	f.labels = append(f.labels, ls)
	f.byName[ls.String()] = id
	return id
}

func bitsOf(v float64) uint64 { return math.Float64bits(v) }

// healthy is a counter that never misbehaves: it must come out bit for bit.
type healthy struct {
	id    int32
	value float64
	step  float64
}

func (s *healthy) scrape(r *rand.Rand, t int64, out []point) []point {
	if r.IntN(200) == 0 {
		return append(out, stale(s.id, t))
	}
	s.value += s.step * r.ExpFloat64()
	return append(out, point{series: s.id, t: t, raw: s.value, want: bitsOf(s.value), known: true})
}

// stale is a stale marker: it passes by its bits.
func stale(id int32, t int64) point {
	return point{series: id, t: t, raw: math.Float64frombits(value.StaleNaN), want: value.StaleNaN, known: true}
}

// gauge is never touched, whatever it does.
type gauge struct{ id int32 }

func (s *gauge) scrape(r *rand.Rand, t int64, out []point) []point {
	v := r.NormFloat64() * math.Exp(r.NormFloat64()*10)
	switch r.IntN(40) {
	case 0:
		v = math.Inf(1)
	case 1:
		v = math.Float64frombits(value.NormalNaN)
	case 2:
		v = math.Float64frombits(value.StaleNaN)
	case 3:
		v = 0
	}
	return append(out, point{series: s.id, t: t, raw: v, want: bitsOf(v), known: true})
}

// faulty is a counter of whole numbers with faults that leave no doubt: its
// steps are all alike, a restart leaves less than one of them, and a loss takes
// at least twelve and leaves a third. So sums are exact, and so is the truth:
// after a restart it goes on from the last value, and a loss adds nothing.
type faulty struct {
	id       int32
	restarts bool // else it loses
	step     float64
	value    float64
	offset   float64
	since    int // samples since the last fault
}

func newFaulty(r *rand.Rand, id int32, restarts bool) *faulty {
	step := float64(50 + r.IntN(5000))
	return &faulty{id: id, restarts: restarts, step: step, value: step * float64(1000+r.IntN(2000)), since: -20}
}

func (s *faulty) scrape(r *rand.Rand, t int64, out []point) []point {
	if r.IntN(300) == 0 {
		return append(out, stale(s.id, t))
	}
	s.since++
	before, now := s.value, s.value+math.Floor(s.step*(0.7+0.6*r.Float64()))
	if s.since > 12 && before > 600*s.step && r.IntN(20) == 0 {
		s.since = 0
		if s.restarts {
			now = 1 + math.Floor(s.step*0.8*r.Float64())
			s.offset += before
		} else {
			now = before - math.Floor(max(12*s.step, before*r.Float64()*0.6))
			s.offset += before - now
		}
	}
	s.value = now
	return append(out, point{series: s.id, t: t, raw: now, want: bitsOf(now + s.offset), known: true})
}

// classic is a classic histogram that restarts: every part falls to less than
// a step, so every part goes on from its last value.
type classic struct {
	ids     []int32 // buckets by le, +Inf last, then _count and _sum
	density []float64
	steps   []float64
	sum     float64
	offsets []float64
	since   int
}

// bounds are the upper bounds of its buckets, in whole numbers so that sums are exact.
var bounds = []float64{1, 5, 25, 100}

func newClassic(r *rand.Rand, f *fleet, shard int, name string) *classic {
	c := &classic{since: -20}
	for i := range len(bounds) + 1 {
		le := "+Inf"
		if i < len(bounds) {
			le = fmt.Sprint(bounds[i])
		}
		c.ids = append(c.ids, f.add(labels.FromStrings("__name__", name+"_bucket", "shard", fmt.Sprint(shard), "le", le)))
		step := float64(60 + r.IntN(300))
		c.steps = append(c.steps, step)
		c.density = append(c.density, step*float64(1000+r.IntN(500)))
	}
	for _, part := range []string{"_count", "_sum"} {
		c.ids = append(c.ids, f.add(labels.FromStrings("__name__", name+part, "shard", fmt.Sprint(shard))))
	}
	c.offsets = make([]float64, len(c.ids))
	for i, n := range c.density {
		c.sum += n * c.observation(i)
	}
	return c
}

// observation is what one of a bucket's observations was.
func (c *classic) observation(bucket int) float64 {
	if bucket < len(bounds) {
		return bounds[bucket]
	}
	return 200
}

func (c *classic) scrape(r *rand.Rand, t int64, out []point) []point {
	c.since++
	reset := c.since > 12 && c.density[0] > 600*c.steps[0] && r.IntN(20) == 0
	if reset {
		c.since = 0
		for i, v := range c.values() {
			c.offsets[i] += v
		}
		c.sum = 0
	}
	for i, step := range c.steps {
		n := math.Floor(step * (0.7 + 0.6*r.Float64()))
		if reset {
			c.density[i], n = 0, 1+math.Floor(step*0.6*r.Float64())
		}
		c.density[i] += n
		c.sum += n * c.observation(i)
	}
	for i, v := range c.values() {
		out = append(out, point{series: c.ids[i], t: t, raw: v, want: bitsOf(v + c.offsets[i]), known: true})
	}
	return out
}

// values are those of its parts, in the order of ids.
func (c *classic) values() []float64 {
	var all []float64
	total := 0.0
	for _, n := range c.density {
		total += n
		all = append(all, total)
	}
	return append(all, total, c.sum)
}

// native is a native histogram; while it has not restarted, it must come out as it went in.
type native struct {
	id     int32
	counts []int64
	sum    float64
	since  int
	wild   bool // it has restarted
	resets bool
}

func (s *native) scrape(r *rand.Rand, t int64, out []point) []point {
	s.since++
	if s.resets && s.since > 100 && r.IntN(50) == 0 {
		s.since, s.wild, s.sum = 0, true, 0
		clear(s.counts)
	}
	for i := range s.counts {
		n := int64(5 + r.IntN(20))
		s.counts[i] += n
		s.sum += float64(n) * float64(i+1)
	}
	h := &prompb.Histogram{Schema: 1, ZeroThreshold: 1e-10, Sum: s.sum, Timestamp: t,
		ZeroCount:     &prompb.Histogram_ZeroCountInt{},
		PositiveSpans: []prompb.BucketSpan{{Offset: 1, Length: uint32(len(s.counts))}}}
	total, last := int64(0), int64(0)
	for _, n := range s.counts {
		h.PositiveDeltas = append(h.PositiveDeltas, n-last)
		total, last = total+n, n
	}
	h.Count = &prompb.Histogram_CountInt{CountInt: uint64(total)}
	return append(out, point{series: s.id, t: t, native: h, want: fingerprint(h), known: !s.wild})
}
