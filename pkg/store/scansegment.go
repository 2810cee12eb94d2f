package store

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// segmentWalk is a scan's way through one segment.
type segmentWalk struct {
	*scan
	f    *os.File
	s    *segment // grows with what is read
	w    window
	end  uint64 // records before it must be in the segment; 0: not known
	last bool   // the segment is the one that is written to
	torn bool   // records were lost in it
}

func (w *segmentWalk) run() error {
	s := w.s
	w.next = max(w.next, s.first)
	for s.end < s.size {
		b, h, reason, err := w.w.record(s.end, s.seed)
		if err != nil {
			return fmt.Errorf("read %s: %w", s.path, err)
		}
		if reason == "" && h.seq != w.next {
			reason = fmt.Sprintf("record %d where %d was expected", h.seq, w.next)
		}
		if reason == "" {
			if err := w.take(b, h); err != nil {
				return err
			}
			continue
		}
		if w.sealed() {
			return w.footer()
		}
		more, err := w.skip(reason)
		if err != nil {
			return fmt.Errorf("read %s: %w", s.path, err)
		}
		if !more {
			return nil
		}
	}
	w.lost(s.path, s.end, w.end, "the file ends here")
	if !w.last {
		w.noFooter()
	}
	return nil
}

func (w *segmentWalk) noFooter() {
	if !w.torn {
		w.note(w.s.path, w.s.end, "a start reads it in full, which takes longer", "the segment has lost its footer; its records are whole")
	}
}

// take accounts for a whole record and hands it on.
func (w *segmentWalk) take(b []byte, h recordHeader) error {
	w.s.add(h.size(), h.samples, h.time)
	w.next++
	w.records++
	w.samples += uint64(h.samples)
	if w.fn == nil {
		return nil
	}
	return w.fn(h.record(b))
}

// sealed says whether the footer is what stands at the end of the records read so far.
func (w *segmentWalk) sealed() bool {
	probe := *w.s
	reason, err := probe.readFooter(w.f)
	return err == nil && reason == "" && probe.end == w.s.end
}

// footer compares the index with the records.
func (w *segmentWalk) footer() error {
	s, index := w.s, *w.s
	if _, err := index.readFooter(w.f); err != nil {
		return err
	}
	w.lost(s.path, s.end, index.next, "its footer says that they were there")
	same := index.samples == s.samples && index.last == s.last && slices.Equal(index.blocks, s.blocks)
	if !w.torn && !same {
		w.damaged(s.path, s.end, "the index in the footer is not that of the records")
	}
	w.lost(filepath.Join(w.dir, segmentName(w.next)), -1, w.end, "the segment is missing")
	return nil
}

// skip deals with bytes that are no record: an unfinished write at the journal's end, or damage, behind which it looks for the next
// whole record. more says that it stands at one.
func (w *segmentWalk) skip(reason string) (more bool, err error) {
	s := w.s
	if w.last && (!w.known || w.next >= w.head.end) {
		// s.next counts what was read; behind lost records it is behind w.next, which the proof is about.
		probe := *s
		probe.next = w.next
		written, err := probe.written(w.f)
		if err != nil {
			return false, err
		}
		if !written {
			w.note(s.path, s.end, "the next start cuts it", "%d bytes of a write that was not finished and never acknowledged (%s)", s.size-s.end, reason)
			return false, nil
		}
	}
	from := s.end
	at, h, err := w.resync()
	if err != nil {
		return false, err
	}
	if at < 0 {
		end := w.end
		index := *s
		if r, err := index.readFooter(w.f); err == nil && r == "" {
			end = max(end, index.next)
		}
		switch {
		case end > w.next:
		case w.last:
			w.damaged(s.path, from, "record %d and what followed it cannot be read: %s", w.next, reason)
		default:
			w.noFooter()
		}
		w.lost(s.path, from, end, reason)
		return false, nil
	}
	if h.seq == w.next {
		w.damaged(s.path, from, "%d bytes that are no record: %s", at-from, reason)
	}
	w.lost(s.path, from, h.seq, reason)
	s.end, w.torn = at, true
	return true, nil
}

// resync finds the next whole record that may follow.
func (w *segmentWalk) resync() (int64, recordHeader, error) {
	for at := w.s.end + 1; ; at++ {
		next, err := w.w.find(at)
		if err != nil || next < 0 {
			return -1, recordHeader{}, err
		}
		at = next
		_, h, reason, err := w.w.record(at, w.s.seed)
		if err != nil {
			return -1, recordHeader{}, err
		}
		if reason == "" && h.seq >= w.next {
			return at, h, nil
		}
	}
}
