package rewrite

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/prometheus/prometheus/prompb"
)

// splice returns the message with all edits made, in its own version: what no
// edit concerns is copied as it is, and of a TimeSeries that one does concern
// everything but the edited samples too (unknown fields, exemplars, histograms).
// With c, for 1.0 only, every TimeSeries gets the labels that c makes of it or is left out.
// The result is valid until the next splice; Message stays as it was.
//
// The TimeSeries is the unit of rebuilding: what else comes to change a sample
// or histogram, or to add one, changes rebuild and what isEdited looks at.
func (b *Batch) splice(c *converter) ([]byte, Counts) {
	moves := b.planMoves(b.Version)
	b.lost = moves.lost
	out := b.spliced[:0]
	kept := Counts{Metadata: b.metadata}
	from := int32(0)
	for i := range b.Series {
		s := &b.Series[i]
		samples, histograms := b.remaining(s)
		guests := moves.guests[int32(i)]
		bare := samples+histograms == 0
		leave := s.flags&dropped != 0 || bare && (s.exemplars > 0 && b.Version == V2 || s.exemplars == 0 && s.S1-s.S0+s.H1-s.H0 > 0)
		var set []prompb.Label
		if c != nil && !leave {
			var keep bool
			set, keep = c.labels(b, i)
			leave = !keep
		}
		if leave {
			out = append(out, b.Message[from:s.at]...)
			from = s.p1
			continue
		}
		kept.Samples += samples
		kept.Histograms += histograms
		kept.Exemplars += int(s.exemplars)
		if !b.isEdited(s) && len(guests) == 0 && c == nil {
			continue
		}
		for _, g := range guests {
			kept.Exemplars += int(b.Series[g].exemplars)
		}
		out = append(out, b.Message[from:s.at]...)
		from = s.p1
		b.series = b.rebuild(appendLabels(b.series[:0], set), s, guests, c != nil)
		num := v1Timeseries
		if b.Version == V2 {
			num = v2Timeseries
		}
		out = appendBytes(out, num, b.series)
	}
	b.spliced = append(out, b.Message[from:]...)
	return b.spliced, kept
}

// appendLabels appends the Label fields of a 1.0 TimeSeries.
func appendLabels(dst []byte, set []prompb.Label) []byte {
	for _, l := range set {
		size := 2 + varintLen(uint64(len(l.Name))) + varintLen(uint64(len(l.Value))) + len(l.Name) + len(l.Value)
		dst = binary.AppendUvarint(append(dst, v1Labels<<3|wireBytes), uint64(size))
		dst = append(binary.AppendUvarint(append(dst, 1<<3|wireBytes), uint64(len(l.Name))), l.Name...)
		dst = append(binary.AppendUvarint(append(dst, 2<<3|wireBytes), uint64(len(l.Value))), l.Value...)
	}
	return dst
}

// rebuild appends the TimeSeries message of s with its edits made and its guests'
// exemplars taken in, without its labels if others are there already.
func (b *Batch) rebuild(dst []byte, s *Series, guests []int32, relabelled bool) []byte {
	m := b.Message[:s.p1]
	exemplar, histograms := v1Exemplars, v1Histograms
	if b.Version == V2 {
		exemplar, histograms = v2Exemplars, v2Histograms
	}
	const samples = v1Samples // the same in both versions
	created, explicit := b.startPlace(s)
	n, j := s.S0, s.H0
	for p := int(s.p0); p < len(m); {
		f, q := known(m, p)
		switch {
		case f.num == samples:
			e := b.editOf(n)
			if t, ok := b.zeroBefore(n); ok {
				dst = appendZero(dst, t)
			}
			switch {
			case e&editDrop != 0:
			case e&editRebuild != 0 || explicit:
				dst = b.appendSample(dst, f, &b.Samples[n], created)
			default:
				dst = append(dst, m[p:q]...)
			}
			n++
		case f.num == histograms:
			if !b.histogramDropped(j) {
				dst = b.appendHistogram(dst, histograms, j, created, explicit)
			}
			j++
		case f.num == v1Labels && relabelled:
		case f.num == v1Labels && b.Version == V1 && b.isStripped(s, f.p0, f.p1):
		case f.num == v2LabelsRefs && b.Version == V2 && s.flags&stripped != 0: // all of them are appended below
		case f.num == exemplar && len(guests) > 0:
		case f.num == v2Created && f.wt == wireVarint && b.Version == V2: // appended below
		default:
			dst = append(dst, m[p:q]...)
		}
		p = q
	}
	if s.flags&stripped != 0 && b.Version == V2 {
		dst = b.appendRefs(dst, s)
	}
	if created != 0 {
		dst = append(dst, v2Created<<3|wireVarint)
		dst = binary.AppendUvarint(dst, uint64(created))
	}
	if len(guests) > 0 {
		dst = b.appendExemplars(dst, s, exemplar, guests)
	}
	return dst
}

// startPlace decides where the start timestamps of a series go that came with
// rc.3's created_timestamp: back there (created) as long as it can speak for
// all samples, so that receivers that know only that one still see it, else
// into every sample (explicit).
func (b *Batch) startPlace(s *Series) (created int64, explicit bool) {
	if s.flags&createdField == 0 {
		return 0, false
	}
	if s.S0 == s.S1 {
		return b.startOfHistograms(s)
	}
	first := true
	for j := s.S0; j < s.S1; j++ {
		sample := &b.Samples[j]
		if b.editOf(j)&editDrop != 0 {
			continue
		}
		// A 0 that goes out before it has no start timestamp: nothing can speak for both.
		if _, zero := b.zeroBefore(j); zero || sample.st != 0 || !first && sample.ST != created {
			return 0, true
		}
		created, first = sample.ST, false
	}
	return created, false
}

// appendSample writes a Sample field anew from what it was (f) and what it is to be. Its unknown fields are kept.
func (b *Batch) appendSample(dst []byte, f field, s *Sample, created int64) []byte {
	size := 0
	value, st := math.Float64bits(s.V), uint64(s.ST)
	if b.Version == V1 || created != 0 {
		st = 0
	}
	if value != 0 {
		size += 9
	}
	if s.T != 0 {
		size += 1 + varintLen(uint64(s.T))
	}
	if st != 0 {
		size += 1 + varintLen(st)
	}
	m := b.Message[:f.p1]
	unknown := func(each func(raw []byte)) {
		for p := f.p0; p < f.p1; {
			u, q := known(m, p)
			if u.num > 3 || u.num == 3 && b.Version == V1 {
				each(m[p:q])
			}
			p = q
		}
	}
	unknown(func(raw []byte) { size += len(raw) })
	dst = append(dst, v1Samples<<3|wireBytes)
	dst = binary.AppendUvarint(dst, uint64(size))
	if value != 0 {
		dst = binary.LittleEndian.AppendUint64(append(dst, 1<<3|wire64), value)
	}
	if s.T != 0 {
		dst = binary.AppendUvarint(append(dst, 2<<3|wireVarint), uint64(s.T))
	}
	if st != 0 {
		dst = binary.AppendUvarint(append(dst, 3<<3|wireVarint), st)
	}
	unknown(func(raw []byte) { dst = append(dst, raw...) })
	return dst
}

// appendZero appends a Sample field of value 0 at t (ms): proto3 leaves the value out.
func appendZero(dst []byte, t int64) []byte {
	if t == 0 {
		return append(dst, v1Samples<<3|wireBytes, 0)
	}
	dst = append(dst, v1Samples<<3|wireBytes, byte(1+varintLen(uint64(t))), 2<<3|wireVarint)
	return binary.AppendUvarint(dst, uint64(t))
}

// known is next for what Decode has been through.
func known(m []byte, p int) (field, int) {
	f, q, reason := next(m, p)
	if reason != "" {
		panic("BUG: rewrite: message changed after it was accepted: " + reason)
	}
	return f, q
}

// moves says which series take in the exemplars of which others.
type moves struct {
	guests map[int32][]int32
	lost   int // exemplars that find no place
}

// exemplarOnly reports whether a series carries exemplars and nothing else.
func (b *Batch) exemplarOnly() bool {
	if b.Exemplars == 0 {
		return false
	}
	for i := range b.Series {
		if s := &b.Series[i]; s.exemplars > 0 && s.S0 == s.S1 && s.H0 == s.H1 {
			return true
		}
	}
	return false
}

// planMoves finds a place for the exemplars of series without a sample.
// Prometheus' 2.0 sender gives every exemplar a TimeSeries of its own
// (prometheus#17857), and its 2.0 receiver refuses those with 400. So they
// go to the first TimeSeries of the same series that carries a sample or histogram.
func (b *Batch) planMoves(to Version) moves {
	if to != V2 || b.Exemplars == 0 {
		return moves{}
	}
	bare, lost := map[Key][]int32{}, 0
	for i := range b.Series {
		s := &b.Series[i]
		if s.exemplars == 0 || s.flags&dropped != 0 {
			continue
		}
		if samples, histograms := b.remaining(s); samples+histograms == 0 {
			bare[s.Key] = append(bare[s.Key], int32(i))
			lost += int(s.exemplars)
		}
	}
	if len(bare) == 0 {
		return moves{}
	}
	guests := make(map[int32][]int32, len(bare))
	for i := range b.Series {
		s := &b.Series[i]
		from, ok := bare[s.Key]
		if !ok {
			continue
		}
		if samples, histograms := b.remaining(s); samples+histograms > 0 {
			guests[int32(i)] = from
			for _, g := range from {
				lost -= int(b.Series[g].exemplars)
			}
			delete(bare, s.Key)
		}
	}
	return moves{guests: guests, lost: lost}
}

// appendExemplars appends the Exemplar fields of s and of its guests in order of time, as receivers want them.
func (b *Batch) appendExemplars(dst []byte, s *Series, num int, guests []int32) []byte {
	type timed struct {
		t   int64
		raw []byte
	}
	var all []timed
	collect := func(s *Series) {
		m := b.Message[:s.p1]
		for p := int(s.p0); p < len(m); {
			f, q := known(m, p)
			if f.num == num {
				all = append(all, timed{exemplarTime(m[:f.p1], f.p0), m[p:q]})
			}
			p = q
		}
	}
	collect(s)
	for _, g := range guests {
		collect(&b.Series[g])
	}
	slices.SortStableFunc(all, func(x, y timed) int { return cmp.Compare(x.t, y.t) })
	for _, e := range all {
		dst = append(dst, e.raw...)
	}
	return dst
}

// exemplarTime is the timestamp (ms) of the Exemplar message from p to m's end, in both versions.
func exemplarTime(m []byte, p int) (t int64) {
	for p < len(m) {
		f, q := known(m, p)
		if f.num == 3 {
			t = int64(f.v)
		}
		p = q
	}
	return t
}
