package store

import (
	"fmt"
	"io"
	"os"
)

// JournalReader reads records in order. It belongs to one goroutine, beside which others may append and cut.
type JournalReader struct {
	j   *Journal
	f   *os.File
	s   *segment
	w   window
	off int64  // of the next record in s
	seq uint64 // of the next record
	err error  // sticky
}

// Reader returns a reader whose first record is from, which lies between First and End. ErrCut if it is older.
func (j *Journal) Reader(from uint64) (*JournalReader, error) {
	if from > j.End() {
		return nil, fmt.Errorf("read journal from record %d: it ends before %d", from, j.End())
	}
	r := &JournalReader{j: j, seq: from}
	if err := r.open(); err != nil {
		return nil, err
	}
	for seq, off := r.start(); ; {
		if seq == from {
			r.off = off
			return r, nil
		}
		h, err := r.header(off, seq)
		if err != nil {
			r.Close()
			return nil, err
		}
		seq, off = seq+1, off+h.size()
	}
}

// open opens the segment that holds r.seq, or will.
func (r *JournalReader) open() error {
	r.j.mu.Lock()
	if r.seq < r.j.segments[0].first {
		first := r.j.segments[0].first
		r.j.mu.Unlock()
		return fmt.Errorf("read journal from record %d, the first is %d: %w", r.seq, first, ErrCut)
	}
	s := r.j.segments[r.j.segmentOf(r.seq)]
	limit := s.end
	r.j.mu.Unlock()
	f, err := os.Open(s.path)
	if err != nil {
		if os.IsNotExist(err) && r.seq < r.j.First() {
			err = ErrCut
		}
		return fmt.Errorf("read journal from record %d: %w", r.seq, err)
	}
	if r.f != nil {
		r.f.Close()
	}
	r.f, r.s, r.off = f, s, segmentHeaderLen
	r.w = window{f: f, limit: limit, buf: r.w.buf[:0]}
	return nil
}

// start is the nearest record before r.seq that the index knows the place of.
func (r *JournalReader) start() (seq uint64, off int64) {
	r.j.mu.Lock()
	defer r.j.mu.Unlock()
	if k := r.s.blockOf(r.seq); k >= 0 {
		b := r.s.blocks[k]
		return b.seq, b.offset
	}
	return r.s.first, segmentHeaderLen
}

// header reads the fixed part of the record seq at off, for stepping over it.
func (r *JournalReader) header(off int64, seq uint64) (recordHeader, error) {
	if r.w.limit-off < recordHeaderLen {
		return recordHeader{}, r.corrupt(off, fmt.Sprintf("record %d is not where the index says", seq))
	}
	b, err := r.w.bytes(off, recordHeaderLen)
	if err != nil {
		return recordHeader{}, fmt.Errorf("read %s: %w", r.s.path, err)
	}
	h, reason := getRecordHeader(b)
	if reason == "" && h.seq != seq {
		reason = fmt.Sprintf("record %d where %d was expected", h.seq, seq)
	}
	if reason != "" {
		return recordHeader{}, r.corrupt(off, reason)
	}
	return h, nil
}

func (r *JournalReader) corrupt(off int64, reason string) error {
	return &CorruptionError{Path: r.s.path, Offset: off, Reason: reason}
}

// Next returns the next record; its Payload is valid until the next call. io.EOF at the present end: a later call may find more.
// Every other error stays: *CorruptionError for a record that is not as it was written, ErrCut when the journal was cut past it.
func (r *JournalReader) Next() (Record, error) {
	if r.err != nil {
		return Record{}, r.err
	}
	for r.off >= r.w.limit {
		more, err := r.advance()
		if err != nil {
			r.err = err
			return Record{}, err
		}
		if !more {
			return Record{}, io.EOF
		}
	}
	b, h, reason, err := r.w.record(r.off, r.s.seed)
	if err != nil {
		r.err = fmt.Errorf("read %s: %w", r.s.path, err)
		return Record{}, r.err
	}
	if reason == "" && h.seq != r.seq {
		reason = fmt.Sprintf("record %d where %d was expected", h.seq, r.seq)
	}
	if reason != "" {
		r.err = r.corrupt(r.off, fmt.Sprintf("record %d: %s", r.seq, reason))
		return Record{}, r.err
	}
	r.off += h.size()
	r.seq++
	return h.record(b), nil
}

// advance looks for what was appended since, here or in the next segment.
func (r *JournalReader) advance() (more bool, err error) {
	r.j.mu.Lock()
	end, next := r.s.end, r.s.next
	last := r.j.segments[len(r.j.segments)-1] == r.s
	r.j.mu.Unlock()
	if end > r.w.limit {
		r.w.limit = end
		return true, nil
	}
	if r.seq != next {
		return false, r.corrupt(r.off, fmt.Sprintf("segment ends at record %d, its index says %d", r.seq, next))
	}
	if last {
		return false, nil
	}
	return true, r.open()
}

// Close gives the file back.
func (r *JournalReader) Close() error {
	if r.err == nil {
		r.err = os.ErrClosed
	}
	return r.f.Close()
}
