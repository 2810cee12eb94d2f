package rewrite

import (
	"encoding/binary"
	"math/bits"
)

// Wire types of the protocol buffers encoding.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wireGroup  = 3
	wireEnd    = 4
	wire32     = 5
)

// Reasons of malformed encodings.
const (
	truncated    = "message ends within a field"
	overlong     = "varint of more than 64 bits"
	badLength    = "length reaches beyond its message"
	badTag       = "field number out of range"
	badWire      = "illegal wire type"
	badEnd       = "end of a group that was not begun"
	wrongWire    = "known field with the wrong wire type"
	notUTF8      = "string is not valid UTF-8"
	badPacked    = "packed field's length does not fit its elements"
	badSymbol    = "symbol reference out of range"
	oddRefs      = "odd number of label references"
	emptyName    = "label name is empty"
	duplicate    = "label name occurs twice"
	noLabels     = "series has no labels"
	mixedSeries  = "series has both samples and histograms"
	emptySeries  = "series has no sample, histogram or exemplar"
	firstSymbol  = "first symbol is not the empty string"
	lyingSnappy  = "snappy header promises more than the body can hold"
	brokenSnappy = "snappy body is corrupt"
)

// field is one field of a message: for wireBytes its payload is m[p0:p1], for
// wire64 and wire32 too; for wireVarint its value is v.
type field struct {
	num    int
	wt     int
	v      uint64
	p0, p1 int
}

// uvarint reads a varint at p and returns the position after it; reason is "" if it is well-formed.
// More bytes than needed are legal, more than 64 bits are not.
func uvarint(m []byte, p int) (v uint64, next int, reason string) {
	for shift := uint(0); ; shift += 7 {
		if p >= len(m) {
			return 0, p, truncated
		}
		c := m[p]
		p++
		if shift == 63 && c > 1 {
			return 0, p, overlong
		}
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v, p, ""
		}
	}
}

// length reads a length at p and returns the payload's start and end.
func length(m []byte, p int) (p0, p1 int, reason string) {
	if p+1 < len(m) { // one or two bytes, nearly always
		c := int(m[p])
		if c < 0x80 {
			p0 = p + 1
		} else if d := int(m[p+1]); d < 0x80 {
			c = c&0x7f | d<<7
			p0 = p + 2
		} else {
			return lengthSlow(m, p)
		}
		if c > len(m)-p0 {
			return 0, 0, badLength
		}
		return p0, p0 + c, ""
	}
	return lengthSlow(m, p)
}

func lengthSlow(m []byte, p int) (p0, p1 int, reason string) {
	v, p0, reason := uvarint(m, p)
	if reason != "" {
		return 0, 0, reason
	}
	if v > uint64(len(m)-p0) {
		return 0, 0, badLength
	}
	return p0, p0 + int(v), ""
}

// next reads the field at p and returns the position after it. Unknown fields
// come back like known ones; a group's payload is all of it, its end tag included.
func next(m []byte, p int) (f field, q int, reason string) {
	v, q, reason := uvarint(m, p)
	if reason != "" {
		return f, q, reason
	}
	if v>>3 == 0 || v>>3 > 1<<29-1 {
		return f, q, badTag
	}
	f.num, f.wt = int(v>>3), int(v&7)
	switch f.wt {
	case wireVarint:
		f.p0 = q
		f.v, q, reason = uvarint(m, q)
		f.p1 = q
	case wire64, wire32:
		n := 8
		if f.wt == wire32 {
			n = 4
		}
		if len(m)-q < n {
			return f, q, truncated
		}
		f.p0, f.p1 = q, q+n
		q = f.p1
	case wireBytes:
		f.p0, f.p1, reason = length(m, q)
		q = f.p1
	case wireGroup:
		f.p0 = q
		q, reason = skipGroup(m, q)
		f.p1 = q
	case wireEnd:
		reason = badEnd
	default:
		reason = badWire
	}
	return f, q, reason
}

// skipGroup returns the position after the end of the group that was begun before p. It does not recurse.
func skipGroup(m []byte, p int) (q int, reason string) {
	for depth := 1; depth > 0; {
		v, q, reason := uvarint(m, p)
		if reason != "" {
			return q, reason
		}
		switch v & 7 {
		case wireGroup:
			depth++
			p = q
		case wireEnd:
			depth--
			p = q
		default:
			if _, p, reason = next(m, p); reason != "" {
				return p, reason
			}
		}
	}
	return p, ""
}

func le64(m []byte, p int) uint64 { return binary.LittleEndian.Uint64(m[p:]) }

// zigzag decodes sint32 and sint64.
func zigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

func varintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// appendBytes appends a length-delimited field whose number is below 16.
func appendBytes(dst []byte, num int, payload []byte) []byte {
	dst = append(dst, byte(num<<3|wireBytes))
	dst = binary.AppendUvarint(dst, uint64(len(payload)))
	return append(dst, payload...)
}
