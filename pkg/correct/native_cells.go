package correct

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
)

// cell is a populated bucket. Cells in the order of at are in the order of what
// they hold: at is 0 for the zero bucket, cellSide+i for positive bucket i (or custom
// bucket i), -(cellSide+i) for negative bucket i.
type cell struct {
	at int64
	n  float64
}

const (
	cellSide = 1 << 40
	// cellNone counts what is in no bucket: observations of NaN.
	cellNone = math.MaxInt64
	// indexMax bounds bucket indices: float64 itself reaches less than 2^19 at the finest schema.
	indexMax = 1 << 28
	// countRounding is what the buckets of a float histogram may differ from its count by.
	countRounding = 1e-9
)

// grid is a layout of buckets.
type grid struct {
	schema int32
	zero   float64   // zero threshold
	bounds []float64 // of custom buckets
}

func gridOf(h *histogram.FloatHistogram) grid {
	return grid{schema: h.Schema, zero: h.ZeroThreshold, bounds: h.CustomValues}
}

func (g grid) custom() bool { return histogram.IsCustomBucketsSchema(g.schema) }

func (g grid) same(o grid) bool {
	return g.schema == o.schema && g.zero == o.zero && slices.Equal(g.bounds, o.bounds)
}

// finer reports whether g shows more than o did, as a histogram does that began anew.
func (g grid) finer(o grid) bool { return !g.custom() && (g.schema > o.schema || g.zero < o.zero) }

// cells is a histogram, or a difference of two: its populated buckets in order.
type cells struct {
	grid grid
	list []cell
	sum  float64
}

func cellsOf(h *histogram.FloatHistogram) cells {
	c := cells{grid: gridOf(h), sum: h.Sum, list: make([]cell, 0, len(h.PositiveBuckets)+len(h.NegativeBuckets)+1)}
	c.side(h.NegativeSpans, h.NegativeBuckets)
	slices.Reverse(c.list)
	for k := range c.list {
		c.list[k].at = -c.list[k].at
	}
	if h.ZeroCount != 0 {
		c.list = append(c.list, cell{0, h.ZeroCount})
	}
	c.side(h.PositiveSpans, h.PositiveBuckets)
	if none := h.Count - c.total(); none > countRounding*h.Count {
		c.list = append(c.list, cell{cellNone, none})
	}
	return c
}

func (c *cells) side(spans []histogram.Span, buckets []float64) {
	i, k := int64(cellSide), 0
	for _, s := range spans {
		i += int64(s.Offset)
		for range s.Length {
			if n := buckets[k]; n != 0 {
				c.list = append(c.list, cell{i, n})
			}
			i++
			k++
		}
	}
}

func (c *cells) total() (n float64) {
	for _, x := range c.list {
		n += x.n
	}
	return min(n, math.MaxFloat64)
}

// histogram is c as one that is valid and compact. NaN observations need a sum that is NaN.
func (c *cells) histogram(count float64) *histogram.FloatHistogram {
	h := &histogram.FloatHistogram{Schema: c.grid.schema, ZeroThreshold: c.grid.zero, Count: count, Sum: c.sum}
	if c.grid.custom() {
		h.CustomValues = slices.Clone(c.grid.bounds)
	}
	from := int64(cellSide)
	for _, x := range c.list {
		switch {
		case x.at == 0:
			h.ZeroCount = x.n
		case x.at == cellNone:
			if !math.IsNaN(h.Sum) {
				h.Sum = math.NaN()
			}
		case x.at > 0:
			h.PositiveSpans = extend(h.PositiveSpans, x.at-from)
			h.PositiveBuckets = append(h.PositiveBuckets, x.n)
			from = x.at + 1
		}
	}
	from = cellSide
	for _, x := range slices.Backward(c.list) {
		if x.at < 0 {
			h.NegativeSpans = extend(h.NegativeSpans, -x.at-from)
			h.NegativeBuckets = append(h.NegativeBuckets, x.n)
			from = -x.at + 1
		}
	}
	return h
}

// extend adds a bucket to the spans, gap places after the one before.
func extend(spans []histogram.Span, gap int64) []histogram.Span {
	if gap == 0 && len(spans) > 0 {
		spans[len(spans)-1].Length++
		return spans
	}
	return append(spans, histogram.Span{Offset: int32(gap), Length: 1})
}

// zip is f of a and b in every bucket that either has; both are on the same grid. The sum is f of the sums.
func zip(a, b cells, f func(x, y float64) float64) cells {
	out := cells{grid: a.grid, sum: f(a.sum, b.sum), list: make([]cell, 0, max(len(a.list), len(b.list)))}
	each(a, b, func(at int64, x, y float64) {
		if n := f(x, y); n != 0 {
			out.list = append(out.list, cell{at, n})
		}
	})
	return out
}

// each calls f for every bucket that a or b has, in order.
func each(a, b cells, f func(at int64, x, y float64)) {
	i, k := 0, 0
	for i < len(a.list) || k < len(b.list) {
		switch {
		case k == len(b.list) || i < len(a.list) && a.list[i].at < b.list[k].at:
			f(a.list[i].at, a.list[i].n, 0)
			i++
		case i == len(a.list) || b.list[k].at < a.list[i].at:
			f(b.list[k].at, 0, b.list[k].n)
			k++
		default:
			f(a.list[i].at, a.list[i].n, b.list[k].n)
			i++
			k++
		}
	}
}

func plus(x, y float64) float64  { return clip(x+y, -math.MaxFloat64, math.MaxFloat64) }
func minus(x, y float64) float64 { return clip(x-y, -math.MaxFloat64, math.MaxFloat64) }
func lost(x, y float64) float64  { return max(0, x-y) }

// common is the finest grid that all of list can be expressed on: the coarser
// schema, the larger zero threshold (raised past a populated bucket that it would cut), the
// bounds that all have. ok is false for exponential beside custom buckets.
func common(list ...*cells) (g grid, ok bool) {
	g = list[0].grid
	for _, c := range list[1:] {
		switch {
		case g.custom() != c.grid.custom():
			return g, false
		case g.custom():
			g.bounds = intersect(g.bounds, c.grid.bounds)
		default:
			g.schema, g.zero = min(g.schema, c.grid.schema), max(g.zero, c.grid.zero)
		}
	}
	if g.custom() {
		return g, true
	}
	for raised := true; raised; {
		raised = false
		for _, c := range list {
			if z := c.uncut(g.zero); z > g.zero {
				g.zero, raised = z, true
			}
		}
	}
	return g, true
}

func intersect(a, b []float64) []float64 {
	if slices.Equal(a, b) {
		return a
	}
	var out []float64
	for _, x := range a {
		if _, ok := slices.BinarySearch(b, x); ok {
			out = append(out, x)
		}
	}
	return out
}

// uncut is the zero threshold from z on that cuts no populated bucket.
func (c *cells) uncut(z float64) float64 {
	if z <= c.grid.zero {
		return z
	}
	first, _ := slices.BinarySearchFunc(c.list, 0, func(x cell, at int64) int {
		if x.at < at {
			return -1
		}
		return 1
	})
	// From the middle outwards on both sides: upper bounds rise.
	raise := func(at int64) bool {
		if at == 0 || at == cellNone {
			return at == 0
		}
		lower, upper := c.grid.boundsOf(at)
		if lower < z && z < upper {
			z = min(upper, math.MaxFloat64)
		}
		return upper <= z
	}
	for k := first; k < len(c.list) && raise(c.list[k].at); k++ {
	}
	for k := first - 1; k >= 0 && raise(c.list[k].at); k-- {
	}
	return z
}

// boundsOf are a bucket's bounds as absolute values, as the model has them.
func (g grid) boundsOf(at int64) (lower, upper float64) {
	if at < 0 {
		at = -at
	}
	h := histogram.FloatHistogram{Schema: g.schema, PositiveSpans: []histogram.Span{{Offset: int32(at - cellSide), Length: 1}}, PositiveBuckets: []float64{1}}
	it := h.PositiveBucketIterator()
	it.Next()
	b := it.At()
	return b.Lower, b.Upper
}

// on is c on the grid g, which is as coarse as c's or coarser.
func (c cells) on(g grid) cells {
	if c.grid.same(g) {
		return c
	}
	out := cells{grid: g, sum: c.sum, list: make([]cell, 0, len(c.list))}
	var zero float64
	inner := c.inner(g)
	for _, x := range c.list {
		if x.at = c.moved(x.at, g, inner); x.at == 0 {
			zero += x.n
			continue
		}
		if last := len(out.list) - 1; last >= 0 && out.list[last].at == x.at {
			out.list[last].n += x.n
			continue
		}
		out.list = append(out.list, x)
	}
	if zero != 0 {
		k, _ := slices.BinarySearchFunc(out.list, 0, func(x cell, at int64) int {
			if x.at < at {
				return -1
			}
			return 1
		})
		out.list = slices.Insert(out.list, k, cell{0, zero})
	}
	return out
}

// inner is the highest index of a bucket of c that begins below a larger zero
// threshold, and so becomes part of the zero bucket.
func (c *cells) inner(g grid) int64 {
	if g.custom() || g.zero <= c.grid.zero {
		return math.MinInt64
	}
	// Bounds are powers of 2^(2^-schema); the model's own decide about the last bits.
	i := int64(math.Floor(math.Log2(g.zero)*math.Ldexp(1, int(c.grid.schema)))) + 2
	for ; ; i-- {
		if lower, _ := c.grid.boundsOf(cellSide + i); lower < g.zero {
			return i
		}
	}
}

// moved is where a bucket of c is on the grid g; see inner.
func (c *cells) moved(at int64, g grid, inner int64) int64 {
	switch {
	case at == 0 || at == cellNone:
		return at
	case g.custom():
		upper := math.Inf(1)
		if i := at - cellSide; i < int64(len(c.grid.bounds)) {
			upper = c.grid.bounds[i]
		}
		k, _ := slices.BinarySearch(g.bounds, upper)
		return cellSide + int64(k)
	}
	i := max(at, -at) - cellSide
	if i <= inner {
		return 0
	}
	i = (i-1)>>(c.grid.schema-g.schema) + 1
	if at < 0 {
		return -(cellSide + i)
	}
	return cellSide + i
}
