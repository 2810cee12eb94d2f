package store

import (
	"fmt"
	"os"
	"path/filepath"

	"pawl/internal/killpoint"
)

// recover brings the journal's memory up from its files. known says that the head could be read.
func (j *Journal) recover(known bool) error {
	firsts, err := listSegments(j.dir, j.o.disk)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	h := j.head.slot
	if known {
		if firsts, err = j.finishCut(firsts, h); err != nil {
			return err
		}
	}
	if len(firsts) == 0 {
		if known && h.end > h.first {
			return &CorruptionError{Path: j.dir, Offset: -1, Reason: fmt.Sprintf("there is no segment, but records %d to %d had been acknowledged", h.first, h.end-1)}
		}
		if err := j.begin(max(1, h.first), 0); err != nil {
			return fmt.Errorf("create journal: %w", err)
		}
		return j.o.disk.syncDir(filepath.Dir(j.dir))
	}
	if !known {
		j.log.Warn("journal head is missing or unreadable; a torn tail cannot be told from damage to the last group", "path", j.head.f.Name())
	}
	for i, first := range firsts[:len(firsts)-1] {
		s, err := j.openSealed(first, firsts[i+1])
		if err != nil {
			return err
		}
		j.segments = append(j.segments, s)
		j.bytes += s.size
	}
	return j.openLast(firsts[len(firsts)-1], known)
}

// finishCut removes segments that an interrupted Cut left behind, and checks that the oldest that must be there is.
func (j *Journal) finishCut(firsts []uint64, h headSlot) ([]uint64, error) {
	for len(firsts) > 0 && firsts[0] < h.first {
		path := filepath.Join(j.dir, segmentName(firsts[0]))
		j.log.Info("removing a journal segment that was being cut", "path", path)
		if err := j.o.disk.remove(path); err != nil {
			return nil, fmt.Errorf("open journal: %w", err)
		}
		firsts = firsts[1:]
	}
	if len(firsts) > 0 && firsts[0] > h.first {
		return nil, &CorruptionError{
			Path: filepath.Join(j.dir, segmentName(h.first)), Offset: -1,
			Reason: fmt.Sprintf("segment is missing: the journal begins at record %d, but %d to %d were not cut", firsts[0], h.first, firsts[0]-1),
		}
	}
	return firsts, nil
}

// openSealed opens a segment that has a successor, which begins at next. Its footer is believed; without one every record is read.
func (j *Journal) openSealed(first, next uint64) (*segment, error) {
	path := filepath.Join(j.dir, segmentName(first))
	f, s, err := openSegment(path, first, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	reason, err := s.readFooter(f)
	if err != nil {
		return nil, err
	}
	if reason != "" {
		if _, _, err := s.scanRecords(f); err != nil {
			return nil, err
		}
		if s.next == next {
			j.log.Warn("journal segment has lost its footer, its records are whole", "path", path, "reason", reason)
		}
	}
	switch {
	case s.next < next && reason != "":
		return nil, &CorruptionError{Path: path, Offset: s.end, Reason: fmt.Sprintf("record %d is damaged; records %d to %d had been acknowledged (%s)", s.next, s.next, next-1, reason)}
	case s.next < next:
		return nil, &CorruptionError{Path: filepath.Join(j.dir, segmentName(s.next)), Offset: -1, Reason: fmt.Sprintf("segment is missing: records %d to %d", s.next, next-1)}
	case s.next > next:
		return nil, &CorruptionError{Path: path, Offset: -1, Reason: fmt.Sprintf("holds records up to %d, but the next segment begins at %d", s.next-1, next)}
	}
	return s, nil
}

// openLast opens the segment that will be written to: its records are all read, its torn tail is cut, and what is beyond the head
// is made durable, because the last process may have died between writing and syncing it.
func (j *Journal) openLast(first uint64, known bool) error {
	path := filepath.Join(j.dir, segmentName(first))
	f, s, err := openSegment(path, first, os.O_RDWR)
	if err != nil {
		return err
	}
	j.file = f
	reason, sealed, err := s.scanRecords(f)
	if err != nil {
		return err
	}
	if err := j.judgeTail(f, s, reason, known); err != nil {
		return err
	}
	killpoint.At(killpoint.RecoverTail)
	from := int64(segmentHeaderLen)
	if h := j.head.slot; known && h.segment == first {
		from = h.offset
	}
	if err := j.rewrite(s, from); err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	j.segments = append(j.segments, s)
	j.bytes += s.size
	if err := j.details.begin(f, s); err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	if sealed {
		return j.begin(s.next, s.last)
	}
	return j.syncHead()
}

// judgeTail decides whether what ends the last segment is an unfinished write, which is cut, or damage, which is an error.
func (j *Journal) judgeTail(f *os.File, s *segment, reason string, known bool) error {
	h := j.head.slot
	if known && s.next < h.end {
		if reason == "" {
			reason = "the file ends here"
		}
		return &CorruptionError{Path: s.path, Offset: s.end, Reason: fmt.Sprintf("record %d is damaged or missing; records up to %d had been acknowledged (%s)", s.next, h.end-1, reason)}
	}
	if reason == "" {
		return nil
	}
	written, err := s.written(f)
	if err != nil {
		return fmt.Errorf("read %s: %w", s.path, err)
	}
	if written {
		return &CorruptionError{Path: s.path, Offset: s.end, Reason: fmt.Sprintf("record %d is damaged, but whole records follow it (%s)", s.next, reason)}
	}
	j.log.Warn("cutting the torn tail of the journal, nothing in it was acknowledged", "path", s.path, "offset", s.end, "bytes", s.size-s.end, "reason", reason)
	if err := f.Truncate(s.end); err != nil {
		return fmt.Errorf("cut torn tail: %w", err)
	}
	s.size = s.end
	return nil
}

// rewrite writes what is in the file from an offset on once more and syncs it. Syncing alone is not enough: if the last process died
// of a failed sync, the kernel may hold the pages as clean though they never reached the disk.
func (j *Journal) rewrite(s *segment, from int64) error {
	b := make([]byte, min(windowBytes, max(0, s.size-from)))
	for from < s.size {
		n := min(int64(len(b)), s.size-from)
		if _, err := j.file.ReadAt(b[:n], from); err != nil {
			return err
		}
		if err := j.o.disk.writeAt(j.file, b[:n], from); err != nil {
			return err
		}
		from += n
	}
	return j.o.disk.sync(j.file)
}
