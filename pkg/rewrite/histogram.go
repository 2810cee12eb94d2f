package rewrite

import (
	"math"

	"github.com/prometheus/prometheus/model/histogram"
)

// Reasons why a native histogram is refused, in the words of Prometheus' model (model/histogram).
const (
	badSchema        = "native histogram: schema is neither exponential nor custom buckets"
	badSpanOffset    = "native histogram: negative offset of a span"
	badSpanBuckets   = "native histogram: spans and buckets differ in number"
	negativeBucket   = "native histogram: bucket with a negative count"
	negativeCount    = "native histogram: negative count"
	countMismatch    = "native histogram: buckets do not add up to the count"
	customOnExp      = "native histogram: custom bounds on an exponential schema"
	customZero       = "native histogram: custom buckets with a zero bucket"
	customNegative   = "native histogram: custom buckets with a negative side"
	customBounds     = "native histogram: custom bounds do not increase"
	customInfinite   = "native histogram: custom bounds end in +Inf"
	customShortRange = "native histogram: spans reach beyond the custom bounds"
)

// histogramCheck judges a native histogram as Histogram.Validate and
// FloatHistogram.Validate of Prometheus' model do after ToIntHistogram and
// ToFloatHistogram, but while walking the message: it holds sums, not buckets,
// so no message makes it allocate. A field that the histogram's kind does not
// use (float counts of an integer histogram) is ignored, as it is there.
type histogramCheck struct {
	t, st  int64
	schema int32
	float  bool // the count came as a float
	sum    float64

	countInt, zeroInt     uint64
	countFloat, zeroFloat float64
	zeroThreshold         float64

	positive, negative side

	bounds      int // custom bounds
	lastBound   float64
	boundsOrder bool // some bound is NaN or not above the one before
}

// side is one side's spans and buckets, added up.
type side struct {
	spans       int
	spanBuckets int
	reach       int  // offsets and lengths together
	firstBelow  bool // the first span's offset is negative
	otherBelow  bool // a later one's is

	deltas   int
	last     int64
	sumInt   uint64
	belowInt bool

	counts     int
	belowFloat bool
}

// walk reads the Histogram message from p to m's end. On failure it says where and why.
func (c *histogramCheck) walk(m []byte, p int, v Version) (at int, reason string) {
	for p < len(m) {
		f, q, reason := next(m, p)
		if reason == "" {
			reason = c.field(m, f, v)
		}
		if reason != "" {
			return p, reason
		}
		p = q
	}
	return p, ""
}

func (c *histogramCheck) field(m []byte, f field, v Version) string {
	switch f.num {
	case 8, 11: // spans
		if f.wt != wireBytes {
			return wrongWire
		}
		return c.side(f.num == 11).span(m[:f.p1], f.p0)
	case 9, 12: // deltas
		return repeatedVarint(m, f, c.side(f.num == 12).delta)
	case 10, 13: // counts
		return repeatedDouble(m, f, c.side(f.num == 13).count)
	case 16:
		return repeatedDouble(m, f, c.bound)
	case 2, 3, 5, 7:
		if f.wt != wire64 {
			return wrongWire
		}
		c.double(f.num, math.Float64frombits(le64(m, f.p0)))
	case 1, 4, 6, 14, 15:
		if f.wt != wireVarint {
			return wrongWire
		}
		c.varint(f.num, f.v)
	case 17:
		if v == V1 {
			break // unknown there
		}
		if f.wt != wireVarint {
			return wrongWire
		}
		c.st = int64(f.v)
	}
	return ""
}

func (c *histogramCheck) side(positive bool) *side {
	if positive {
		return &c.positive
	}
	return &c.negative
}

// double takes a scalar field. Of the two kinds of a count the last one given holds.
func (c *histogramCheck) double(num int, v float64) {
	switch num {
	case 2:
		c.float, c.countFloat, c.countInt = true, v, 0
	case 3:
		c.sum = v
	case 5:
		c.zeroThreshold = v
	case 7:
		c.zeroFloat, c.zeroInt = v, 0
	}
}

func (c *histogramCheck) varint(num int, v uint64) {
	switch num {
	case 1:
		c.float, c.countInt, c.countFloat = false, v, 0
	case 4:
		c.schema = int32(zigzag(uint64(uint32(v))))
	case 6:
		c.zeroInt, c.zeroFloat = v, 0
	case 15:
		c.t = int64(v)
	}
}

// span takes a BucketSpan message from p to m's end.
func (s *side) span(m []byte, p int) string {
	var offset int32
	var length uint32
	for p < len(m) {
		f, q, reason := next(m, p)
		if reason != "" {
			return reason
		}
		if f.num == 1 || f.num == 2 {
			if f.wt != wireVarint {
				return wrongWire
			}
			if f.num == 1 {
				offset = int32(zigzag(uint64(uint32(f.v))))
			} else {
				length = uint32(f.v)
			}
		}
		p = q
	}
	if offset < 0 {
		if s.spans == 0 {
			s.firstBelow = true
		} else {
			s.otherBelow = true
		}
	}
	s.spans++
	s.spanBuckets += int(length)
	s.reach += int(length) + int(offset)
	return ""
}

func (s *side) delta(v uint64) {
	s.deltas++
	s.last += zigzag(v)
	s.belowInt = s.belowInt || s.last < 0
	s.sumInt += uint64(s.last)
}

func (s *side) count(v float64) {
	s.counts++
	s.belowFloat = s.belowFloat || v < 0
}

func (c *histogramCheck) bound(v float64) {
	if math.IsNaN(v) || c.bounds > 0 && v <= c.lastBound {
		c.boundsOrder = true
	}
	c.bounds++
	c.lastBound = v
}

// repeatedVarint calls each for the elements of a repeated varint field, packed or not.
func repeatedVarint(m []byte, f field, each func(uint64)) string {
	switch f.wt {
	case wireVarint:
		each(f.v)
		return ""
	case wireBytes:
		for p := f.p0; p < f.p1; {
			v, q, reason := uvarint(m[:f.p1], p)
			if reason != "" {
				return reason
			}
			each(v)
			p = q
		}
		return ""
	}
	return wrongWire
}

// repeatedDouble calls each for the elements of a repeated double field, packed or not.
func repeatedDouble(m []byte, f field, each func(float64)) string {
	if f.wt != wire64 && f.wt != wireBytes {
		return wrongWire
	}
	if (f.p1-f.p0)%8 != 0 {
		return badPacked
	}
	for p := f.p0; p < f.p1; p += 8 {
		each(math.Float64frombits(le64(m, p)))
	}
	return ""
}

// judge holds what was walked against the model's rules; "" means it is sound.
func (c *histogramCheck) judge() string {
	schema := c.schema
	if histogram.IsExponentialSchemaReserved(schema) && schema > histogram.ExponentialSchemaMax {
		schema = histogram.ExponentialSchemaMax // receivers reduce the resolution of such
	}
	switch {
	case histogram.IsCustomBucketsSchema(schema):
		if reason := c.judgeCustom(); reason != "" {
			return reason
		}
	case histogram.IsExponentialSchema(schema):
		if reason := c.judgeExponential(); reason != "" {
			return reason
		}
	default:
		return badSchema
	}
	if c.float {
		switch {
		case c.countFloat < 0:
			return negativeCount
		case c.positive.belowFloat:
			return negativeBucket
		}
		return ""
	}
	if c.positive.belowInt {
		return negativeBucket
	}
	total := c.negative.sumInt + c.positive.sumInt + c.zeroInt
	if histogram.IsCustomBucketsSchema(schema) {
		total = c.positive.sumInt
	}
	// With NaN observed, count may exceed the buckets.
	if math.IsNaN(c.sum) && total > c.countInt || !math.IsNaN(c.sum) && total != c.countInt {
		return countMismatch
	}
	return ""
}

// buckets is the number of a side's buckets of the histogram's own kind.
func (c *histogramCheck) buckets(s *side) int {
	if c.float {
		return s.counts
	}
	return s.deltas
}

func (c *histogramCheck) judgeExponential() string {
	for _, s := range [...]*side{&c.positive, &c.negative} {
		if s.otherBelow {
			return badSpanOffset
		}
		if s.spanBuckets != c.buckets(s) {
			return badSpanBuckets
		}
	}
	switch {
	case c.float && (c.negative.belowFloat || c.zeroFloat < 0), !c.float && c.negative.belowInt:
		return negativeBucket
	case c.bounds > 0:
		return customOnExp
	}
	return ""
}

func (c *histogramCheck) judgeCustom() string {
	switch {
	case c.boundsOrder:
		return customBounds
	case c.bounds > 0 && math.IsInf(c.lastBound, 1):
		return customInfinite
	case c.positive.firstBelow || c.positive.otherBelow:
		return badSpanOffset
	case c.positive.spanBuckets != c.buckets(&c.positive):
		return badSpanBuckets
	case c.bounds+1 < c.positive.reach:
		return customShortRange
	case c.zeroThreshold != 0, c.float && c.zeroFloat != 0, !c.float && c.zeroInt != 0:
		return customZero
	case c.negative.spans > 0, c.buckets(&c.negative) > 0:
		return customNegative
	}
	return ""
}
