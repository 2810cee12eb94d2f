package rewrite

import (
	"encoding/binary"
	"math"
)

// SetValue changes the value of b.Samples[s]. It overwrites the eight bytes in
// Message at once; only a zero, which proto3 leaves out, has no place to be overwritten.
func (b *Batch) SetValue(s int, v float64) {
	sample := &b.Samples[s]
	bits := math.Float64bits(v)
	if bits == math.Float64bits(sample.V) {
		return
	}
	sample.V = v
	if sample.val == 0 {
		b.edit(s, editRebuild)
		return
	}
	binary.LittleEndian.PutUint64(b.Message[sample.val:], bits)
	b.patched = true
}

// SetStart changes the start timestamp (ms) of b.Samples[s]; 0 leaves it out. 1.0 has no place for one: nothing happens.
func (b *Batch) SetStart(s int, st int64) {
	sample := &b.Samples[s]
	if b.Version != V2 || st == sample.ST {
		return
	}
	sample.ST = st
	if sample.st == 0 || st == 0 {
		b.edit(s, editRebuild)
		return
	}
	_, q, _ := uvarint(b.Message, int(sample.st))
	if q-int(sample.st) != varintLen(uint64(st)) {
		b.edit(s, editRebuild)
		return
	}
	binary.PutUvarint(b.Message[sample.st:q], uint64(st))
	b.patched = true
}

// Drop leaves b.Samples[s] out of what is forwarded. The entry itself stays where it is.
func (b *Batch) Drop(s int) { b.edit(s, editDrop) }

// InsertZero puts a sample of value 0 at time t (ms), without start timestamp, before
// b.Samples[s] in its series. It is left out with that sample.
func (b *Batch) InsertZero(s int, t int64) {
	if b.zeros == nil {
		b.zeros = make(map[int32]int64)
	}
	b.zeros[int32(s)] = t
	b.edit(s, editZero)
}

// zeroBefore is the time of the 0 that goes out before sample s, if there is one.
func (b *Batch) zeroBefore(s int32) (t int64, ok bool) {
	if b.editOf(s)&(editZero|editDrop) != editZero {
		return 0, false
	}
	return b.zeros[s], true
}

// Changed reports whether anything was set or dropped since Decode.
func (b *Batch) Changed() bool { return b.patched || b.respliced() }

// respliced reports whether there is an edit that was not made in place.
func (b *Batch) respliced() bool {
	return b.edited || b.cut || len(b.natives) > 0 || len(b.pairs.list) > 0
}

func (b *Batch) edit(s int, what uint8) {
	if !b.edited {
		b.edited = true
		if cap(b.edits) < len(b.Samples) {
			b.edits = make([]uint8, len(b.Samples))
		}
		b.edits = b.edits[:len(b.Samples)]
		clear(b.edits)
	}
	b.edits[s] |= what
}

func (b *Batch) editOf(s int32) uint8 {
	if !b.edited {
		return 0
	}
	return b.edits[s]
}

// isEdited reports whether any sample or histogram of s has an edit that was not made in place.
func (b *Batch) isEdited(s *Series) bool {
	if s.flags&stripped != 0 {
		return true
	}
	if !b.edited {
		return b.histogramsEdited(s)
	}
	for _, e := range b.edits[s.S0:s.S1] {
		if e != 0 {
			return true
		}
	}
	return b.histogramsEdited(s)
}

// Remaining is how many samples and native histograms of the batch are still to be forwarded.
func (b *Batch) Remaining() (n int) {
	if !b.Changed() {
		return len(b.Samples) + len(b.Histograms)
	}
	for i := range b.Series {
		samples, histograms := b.remaining(&b.Series[i])
		n += samples + histograms
	}
	return n
}

// remaining is the number of samples and histograms of s that are still to be forwarded.
func (b *Batch) remaining(s *Series) (samples, histograms int) {
	if s.flags&dropped != 0 {
		return 0, 0
	}
	samples, histograms = int(s.S1-s.S0), int(s.H1-s.H0)
	if b.edited {
		for _, e := range b.edits[s.S0:s.S1] {
			switch {
			case e&editDrop != 0:
				samples--
			case e&editZero != 0:
				samples++
			}
		}
	}
	if len(b.natives) > 0 {
		for j := s.H0; j < s.H1; j++ {
			if b.histogramDropped(j) {
				histograms--
			}
		}
	}
	return samples, histograms
}
