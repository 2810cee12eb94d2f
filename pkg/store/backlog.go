package store

import (
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
)

// mark is one record's place, as the backlog's figures need it.
type mark struct {
	offset  int64
	samples int64 // in the segment before it
	time    int64
}

// blockDetails knows every record of two blocks: the one being filled, and the one that was asked for last.
type blockDetails struct {
	tail []mark // of the last block of the last segment

	first  uint64 // seq of cached[0]
	cached []mark
}

// add accounts for a record at the end of s, in s too.
func (d *blockDetails) add(s *segment, size int64, samples uint32, time int64) {
	m := mark{offset: s.end, samples: s.samples, time: time}
	if s.add(size, samples, time) {
		d.tail = d.tail[:0]
	}
	d.tail = append(d.tail, m)
}

// begin reads the last block of the last segment.
func (d *blockDetails) begin(f io.ReaderAt, s *segment) (err error) {
	d.tail = nil
	if k := len(s.blocks) - 1; k >= 0 {
		seq, end := s.blockEnd(k)
		d.tail, err = readMarks(f, s.blocks[k], seq, end, s.samplesBefore(k+1))
	}
	return err
}

// readMarks walks over the record headers of a block that ends before record next at byte end, with samples in the segment up to
// there. The headers are not checked, so a mark's samples are what is left of the block's behind it: what stands before a record, and
// may never be read again, has no say in what waits from that record on.
func readMarks(f io.ReaderAt, b block, next uint64, end, samples int64) ([]mark, error) {
	var (
		marks = make([]mark, 0, next-b.seq)
		m     = mark{offset: b.offset}
		raw   [recordHeaderLen]byte
	)
	for seq := b.seq; seq < next; seq++ {
		if end-m.offset < recordHeaderLen {
			return nil, fmt.Errorf("record %d: index and records disagree", seq)
		}
		if _, err := f.ReadAt(raw[:], m.offset); err != nil {
			return nil, fmt.Errorf("record %d: %w", seq, err)
		}
		h, reason := getRecordHeader(raw[:])
		if reason != "" || h.seq != seq {
			return nil, fmt.Errorf("record %d: index and records disagree (%s)", seq, reason)
		}
		m.time, m.samples = h.time, int64(h.samples)
		marks = append(marks, m)
		m.offset += h.size()
	}
	for i := range slices.Backward(marks) {
		samples -= marks[i].samples
		marks[i].samples = samples
	}
	return marks, nil
}

// Backlog sums up the records from seq from on: samples, bytes on disk, and the time in ms of the oldest of them (0 if there is
// none). It is exact, and reads at most the headers of one block of records. If that fails, the figures are those of the whole block.
func (j *Journal) Backlog(from uint64) (samples, bytes, oldest int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	from = max(from, j.segments[0].first)
	i := j.segmentOf(from)
	s := j.segments[i]
	if from >= s.next {
		return 0, 0, 0
	}
	k := s.blockOf(from)
	m := j.mark(s, k, from, i == len(j.segments)-1 && k == len(s.blocks)-1)
	samples, bytes = -m.samples, -m.offset
	for i, s := range j.segmentsFrom(s) {
		samples += s.samples
		bytes += s.end
		if i > 0 {
			bytes -= segmentHeaderLen
		}
	}
	return samples, bytes, m.time
}

// mark finds record seq in block k of s. mu is held, and given up while reading.
func (j *Journal) mark(s *segment, k int, seq uint64, tail bool) mark {
	b := s.blocks[k]
	if tail {
		return j.details.tail[seq-b.seq]
	}
	if j.details.first != b.seq || j.details.cached == nil {
		next, end := s.blockEnd(k)
		before := s.samplesBefore(k + 1)
		j.mu.Unlock()
		marks, err := readBlockMarks(s.path, b, next, end, before)
		j.mu.Lock()
		if err != nil {
			return mark{offset: b.offset, samples: b.samples, time: b.time}
		}
		j.details.first, j.details.cached = b.seq, marks
		return marks[seq-b.seq]
	}
	return j.details.cached[seq-b.seq]
}

func readBlockMarks(path string, b block, next uint64, end, samples int64) ([]mark, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readMarks(f, b, next, end, samples)
}

// segmentOf is the index of the segment that holds seq, or will; seq is not before the first. mu is held.
func (j *Journal) segmentOf(seq uint64) int {
	return sort.Search(len(j.segments), func(i int) bool { return j.segments[i].first > seq }) - 1
}

// segmentsFrom is s and what follows it, as far as it was not cut. mu is held.
func (j *Journal) segmentsFrom(s *segment) []*segment {
	i := j.segmentOf(max(s.first, j.segments[0].first))
	if j.segments[i] != s { // cut while mu was given up
		return append([]*segment{s}, j.segments...)
	}
	return j.segments[i:]
}
