package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// segment is what is kept in memory of one file. Its fields change only under Journal.mu, and only for the last segment.
type segment struct {
	path    string
	first   uint64 // seq of its first record
	seed    uint32 // of its checksums
	floor   int64  // ms, last record's time before it
	next    uint64 // seq that follows its last record
	end     int64  // bytes: where its records end
	size    int64  // bytes of the file, with the footer
	samples int64
	last    int64 // ms, time of its last record; floor if it has none
	blocks  []block
}

func segmentName(first uint64) string { return fmt.Sprintf("%020d.seg", first) }

// segmentSeq is the seq in a segment's file name.
func segmentSeq(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, ".seg")
	if !ok || len(digits) != 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

// add accounts for a record at the end of s, and says whether it began a block.
func (s *segment) add(size int64, samples uint32, time int64) (began bool) {
	k := len(s.blocks) - 1
	if k < 0 || s.next-s.blocks[k].seq >= blockRecords || s.end-s.blocks[k].offset >= blockBytes {
		s.blocks = append(s.blocks, block{seq: s.next, offset: s.end, samples: s.samples, time: time})
		began = true
	}
	s.next++
	s.end += size
	s.samples += int64(samples)
	s.last = time
	return began
}

// blockOf is the index of the block that holds seq, which s holds.
func (s *segment) blockOf(seq uint64) int {
	return sort.Search(len(s.blocks), func(i int) bool { return s.blocks[i].seq > seq }) - 1
}

// blockEnd is where block k ends.
func (s *segment) blockEnd(k int) (seq uint64, offset int64) {
	if k+1 < len(s.blocks) {
		return s.blocks[k+1].seq, s.blocks[k+1].offset
	}
	return s.next, s.end
}

// samplesBefore is how many samples of s are before block k, or all for the block after the last.
func (s *segment) samplesBefore(k int) int64 {
	if k < len(s.blocks) {
		return s.blocks[k].samples
	}
	return s.samples
}

func (s *segment) footer() *footer {
	return &footer{next: s.next, samples: s.samples, last: s.last, blocks: s.blocks}
}

// openSegment reads and checks the header. The error is a *CorruptionError if it is not what its name says.
func openSegment(path string, first uint64, flag int) (*os.File, *segment, error) {
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return nil, nil, err
	}
	b := make([]byte, segmentHeaderLen)
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		f.Close()
		return nil, nil, fmt.Errorf("read segment header: %w", err)
	}
	h, reason := getSegmentHeader(b[:n])
	if reason == "" && h.First != first {
		reason = fmt.Sprintf("header says that its first record is %d", h.First)
	}
	if reason != "" {
		f.Close()
		return nil, nil, &CorruptionError{Path: path, Reason: reason}
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, &segment{
		path: path, first: first, seed: salted(h.Salt), floor: h.Floor, next: first,
		end: segmentHeaderLen, size: st.Size(), last: h.Floor,
	}, nil
}

// readFooter fills s from the footer of a sealed segment. reason says in words why there is none.
func (s *segment) readFooter(f io.ReaderAt) (reason string, err error) {
	size := s.size
	if size < segmentHeaderLen+footerFixedLen {
		return "too short for a footer", nil
	}
	var tail [8]byte
	if _, err := f.ReadAt(tail[:], size-8); err != nil {
		return "", fmt.Errorf("read %s: %w", s.path, err)
	}
	n := int64(leUint32(tail[:]))
	if leUint32(tail[4:]) != trailerMagic || n < footerFixedLen || n > size-segmentHeaderLen {
		return "does not end with a footer", nil
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, size-n); err != nil {
		return "", fmt.Errorf("read %s: %w", s.path, err)
	}
	ft, reason := getFooter(b, s.seed, s.first)
	if reason != "" {
		return reason, nil
	}
	s.next, s.samples, s.last, s.blocks, s.end = ft.next, ft.samples, ft.last, ft.blocks, size-n
	return "", nil
}

// scanRecords reads every record and fills s up to the first byte that is none. reason says in words what stopped it before the end
// of the file, "" if nothing did; sealed says that it was the footer.
func (s *segment) scanRecords(f io.ReaderAt) (reason string, sealed bool, err error) {
	w := window{f: f, limit: s.size}
	for s.end < s.size {
		_, h, reason, err := w.record(s.end, s.seed)
		if err != nil {
			return "", false, fmt.Errorf("read %s: %w", s.path, err)
		}
		if reason == "" && h.seq != s.next {
			reason = fmt.Sprintf("record %d where %d was expected", h.seq, s.next)
		}
		if reason != "" {
			probe := *s
			r, err := probe.readFooter(f)
			if err == nil && r == "" && probe.end == s.end && probe.next == s.next {
				return "", true, nil
			}
			return reason, false, err
		}
		s.add(h.size(), h.samples, h.time)
	}
	return "", false, nil
}

// written looks behind damage at s.end for proof that it had been acknowledged: a record whose group began after the damage
// and was written once everything before it was on disk.
func (s *segment) written(f io.ReaderAt) (bool, error) {
	w := window{f: f, limit: s.size}
	for at := s.end + 1; at+recordHeaderLen <= s.size; at++ {
		next, err := w.find(at)
		if err != nil || next < 0 {
			return false, err
		}
		at = next
		_, h, reason, err := w.record(at, s.seed)
		if err != nil {
			return false, err
		}
		if reason == "" && h.flags&flagAfterSync != 0 && h.seq-uint64(h.group) > s.next {
			return true, nil
		}
	}
	return false, nil
}

// listSegments gives the first seqs of dir's segments in order, and removes what an interrupted creation left.
func listSegments(dir string, d disk) ([]uint64, error) {
	firsts, unfinished, err := segmentsIn(dir)
	if err != nil {
		return nil, err
	}
	for _, path := range unfinished {
		if err := d.remove(path); err != nil {
			return nil, err
		}
	}
	return firsts, nil
}

// segmentsIn lists dir without changing it: the first seqs of its segments in order, and the files that an interrupted creation left.
func segmentsIn(dir string) (firsts []uint64, unfinished []string, err error) {
	entries, err := os.ReadDir(dir) // sorted by name, which has a fixed width
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".tmp") {
			unfinished = append(unfinished, filepath.Join(dir, e.Name()))
		}
		if n, ok := segmentSeq(e.Name()); ok {
			firsts = append(firsts, n)
		}
	}
	return firsts, unfinished, nil
}
