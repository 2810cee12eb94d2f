package rewrite

import (
	"encoding/binary"
	"fmt"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// histogramEdit is what is to become of one native histogram.
type histogramEdit struct {
	drop  bool
	start bool   // its start timestamp was changed
	body  []byte // the message without its start timestamp, written anew; nil: as it came
}

// startField is the start timestamp of 2.0's Histogram message; 1.0 has none.
const startField = 17

// SetHistogram replaces the value of native histogram j of b.Histograms. It goes out
// with integer counts if it came with them and all of h's are whole (and below 2^53), else
// with floats. Its timestamps and unknown fields stay. h is not kept. It must be valid.
func (b *Batch) SetHistogram(j int, h *histogram.FloatHistogram) {
	e := b.natives[int32(j)]
	e.body = b.histogramBody(j, h)
	b.editHistogram(j, e)
}

// SetHistogramStart changes the start timestamp (ms) of native histogram j; 0
// leaves it out. 1.0 has no place for one: nothing happens.
func (b *Batch) SetHistogramStart(j int, st int64) {
	x := &b.Histograms[j]
	if b.Version != V2 || st == x.ST {
		return
	}
	x.ST = st
	e := b.natives[int32(j)]
	e.start = true
	b.editHistogram(j, e)
}

// DropHistogram leaves native histogram j out of what is forwarded. The entry itself stays where it is.
func (b *Batch) DropHistogram(j int) {
	e := b.natives[int32(j)]
	e.drop = true
	b.editHistogram(j, e)
}

func (b *Batch) editHistogram(j int, e histogramEdit) {
	if b.natives == nil {
		b.natives = make(map[int32]histogramEdit)
	}
	b.natives[int32(j)] = e
}

// histogramsEdited reports whether any native histogram of s has an edit.
func (b *Batch) histogramsEdited(s *Series) bool {
	if len(b.natives) == 0 {
		return false
	}
	for j := s.H0; j < s.H1; j++ {
		if _, ok := b.natives[j]; ok {
			return true
		}
	}
	return false
}

// histogramBody is h as a Histogram message with the timestamp and the unknown fields of histogram j.
func (b *Batch) histogramBody(j int, h *histogram.FloatHistogram) []byte {
	x := &b.Histograms[j]
	unknown, float := []byte(nil), false
	m := b.Message[:x.p1]
	for p := int(x.p0); p < len(m); {
		f, q := known(m, p)
		switch {
		case f.num == 1, f.num == 2:
			float = f.num == 2
		case f.num > startField, f.num == startField && b.Version == V1:
			unknown = append(unknown, m[p:q]...)
		}
		p = q
	}
	unknown = negativeZero(unknown, 3, h.Sum)
	whole, ok := (*histogram.Histogram)(nil), false
	if !float {
		whole, ok = integerHistogram(h)
	}
	// The types differ by the start timestamp alone, which is not written here.
	var out prompb.Histogram
	if ok {
		out = prompb.FromIntHistogram(x.T, whole)
	} else {
		out = prompb.FromFloatHistogram(x.T, h)
	}
	out.XXX_unrecognized = unknown
	body, err := out.Marshal()
	if err != nil {
		panic(fmt.Sprintf("BUG: rewrite: marshal a histogram: %v", err))
	}
	return body
}

// appendHistogram appends the Histogram field num for histogram j with its edits
// made. explicit: its start timestamp is written into it, whatever the series says.
func (b *Batch) appendHistogram(dst []byte, num int, j int32, created int64, explicit bool) []byte {
	message := b.editedHistogram(j, created != 0, explicit)
	return appendBytes(dst, num, message)
}

// editedHistogram is the message of histogram j with its edits made.
// spoken: the series' own field speaks for its start timestamp.
func (b *Batch) editedHistogram(j int32, spoken, explicit bool) []byte {
	x, e := &b.Histograms[j], b.natives[j]
	if e.body == nil && !e.start && !explicit {
		return b.histogramMessage(j)
	}
	body := e.body
	if body == nil {
		body = b.withoutStart(x)
	}
	if b.Version != V2 || spoken || x.ST == 0 {
		return body
	}
	out := make([]byte, 0, len(body)+12)
	out = append(out, body...)
	out = binary.AppendUvarint(out, startField<<3|wireVarint)
	return binary.AppendUvarint(out, uint64(x.ST))
}

func (b *Batch) withoutStart(x *Histogram) []byte {
	m := b.Message[:x.p1]
	out := make([]byte, 0, int(x.p1-x.p0))
	for p := int(x.p0); p < len(m); {
		f, q := known(m, p)
		if f.num != startField || b.Version != V2 {
			out = append(out, m[p:q]...)
		}
		p = q
	}
	return out
}

func (b *Batch) histogramDropped(j int32) bool { return len(b.natives) > 0 && b.natives[j].drop }

// histogramsV2 are the histograms of a 1.0 series, edits included.
func (b *Batch) histogramsV2(s *Series) (out []writev2.Histogram, err error) {
	for j := s.H0; j < s.H1; j++ {
		if b.histogramDropped(j) {
			continue
		}
		var h prompb.Histogram
		if err := h.Unmarshal(b.editedHistogram(j, true, false)); err != nil {
			return nil, err
		}
		out = append(out, histogramV2(&h))
	}
	return out, nil
}

// histogramsV1 are the histograms of a 2.0 series, edits included.
func (b *Batch) histogramsV1(s *Series) (out []prompb.Histogram, err error) {
	for j := s.H0; j < s.H1; j++ {
		if b.histogramDropped(j) {
			continue
		}
		var h writev2.Histogram
		if err := h.Unmarshal(b.editedHistogram(j, true, false)); err != nil {
			return nil, err
		}
		out = append(out, histogramV1(&h))
	}
	return out, nil
}

// startOfHistograms is startPlace for a series of native histograms.
func (b *Batch) startOfHistograms(s *Series) (created int64, explicit bool) {
	first := true
	for j := s.H0; j < s.H1; j++ {
		if b.histogramDropped(j) {
			continue
		}
		if x := &b.Histograms[j]; first {
			created, first = x.ST, false
		} else if x.ST != created {
			return 0, true
		}
	}
	return created, false
}
