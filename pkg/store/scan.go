package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// scan reads every byte of a journal's directory, the rejected log's included, and changes nothing. Where a start would refuse at the
// first damage, a scan names it, looks for the next whole record and goes on.
type scan struct {
	dir    string
	part   string               // of its findings
	fn     func(r Record) error // gets every whole record in order; Payload is valid until it returns
	remedy string               // for damage

	head     headSlot
	known    bool   // the head could be read
	first    uint64 // seq of the first record that must be there
	next     uint64 // seq that is due
	records  uint64
	samples  uint64
	bytes    int64
	findings []Finding
}

func (c *scan) note(path string, offset int64, remedy, format string, args ...any) {
	c.findings = append(c.findings, Finding{Part: c.part, Level: Note, Path: path, Offset: offset, Text: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (c *scan) damaged(path string, offset int64, format string, args ...any) {
	c.findings = append(c.findings, Finding{Part: c.part, Level: Damaged, Path: path, Offset: offset, Text: fmt.Sprintf(format, args...), Remedy: c.remedy})
}

// lost reports the records from c.next on that are not there, up to before end.
func (c *scan) lost(path string, offset int64, end uint64, reason string) {
	if end > c.next {
		c.damaged(path, offset, "%s cannot be read: %s", recordsWord(c.next, end), reason)
		c.next = end
	}
}

// recordsWord names the records from from to before end.
func recordsWord(from, end uint64) string {
	if end == from+1 {
		return fmt.Sprintf("record %d", from)
	}
	return fmt.Sprintf("records %d to %d", from, end-1)
}

// run reads all of it. The error is the disk's, or fn's.
func (c *scan) run() error {
	firsts, unfinished, err := segmentsIn(c.dir)
	if errors.Is(err, os.ErrNotExist) {
		c.note(c.dir, -1, "", "is not there yet; the relay makes it at its first start")
		return nil
	}
	if err != nil {
		return err
	}
	for _, path := range unfinished {
		c.note(path, -1, "the next start removes it", "an unfinished creation")
	}
	if err := c.readHead(len(firsts) > 0); err != nil {
		return err
	}
	for len(firsts) > 0 && c.known && firsts[0] < c.head.first {
		c.note(filepath.Join(c.dir, segmentName(firsts[0])), -1, "the next start removes it", "was being cut")
		firsts = firsts[1:]
	}
	if !c.known && len(firsts) > 0 {
		c.first = firsts[0]
	}
	c.next = c.first
	for i, first := range firsts {
		next := uint64(0) // it is the last
		if i+1 < len(firsts) {
			next = firsts[i+1]
		}
		if err := c.segment(first, next); err != nil {
			return err
		}
	}
	if c.known {
		c.lost(filepath.Join(c.dir, segmentName(c.next)), -1, c.head.end, "the segment is missing")
	}
	c.sumUp()
	return nil
}

// readHead reads what had been acknowledged and what had been cut.
func (c *scan) readHead(needed bool) error {
	path := filepath.Join(c.dir, "head")
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	c.first = 1
	var readable int
	c.head, c.known, readable = newestSlot(b)
	switch {
	case c.known:
		c.first = max(1, c.head.first)
		if readable < 2 && c.head.generation > 1 {
			c.note(path, -1, "the next write mends it", "one of the two slots cannot be read")
		}
	case needed:
		c.note(path, -1, "the next start writes it anew; damage at the end of the journal cannot be told from an unfinished write until then",
			"the head is missing or cannot be read")
	}
	return nil
}

// segment reads the segment that begins with record first; next is the first of the one behind it, 0 if there is none.
func (c *scan) segment(first, next uint64) error {
	path := filepath.Join(c.dir, segmentName(first))
	c.lost(filepath.Join(c.dir, segmentName(c.next)), -1, first, "the segment is missing")
	end := next // of what must be in it
	if next == 0 && c.known {
		end = c.head.end
	}
	f, s, err := openSegment(path, first, os.O_RDONLY)
	var corrupt *CorruptionError
	if errors.As(err, &corrupt) {
		switch {
		case end > c.next:
			c.lost(path, -1, end, corrupt.Reason)
		case c.known: // it is empty: nothing is lost, and a start refuses it all the same
			c.damaged(path, -1, "%s", corrupt.Reason)
		default:
			c.damaged(path, -1, "record %d and what followed it cannot be read: %s", c.next, corrupt.Reason)
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	c.bytes += s.size
	if first < c.next {
		c.damaged(path, -1, "begins at record %d, but the segment before it holds records up to %d", first, c.next-1)
	}
	w := &segmentWalk{scan: c, f: f, s: s, w: window{f: f, limit: s.size}, end: end, last: next == 0}
	return w.run()
}

func (c *scan) sumUp() {
	for _, f := range c.findings {
		if f.Level == Damaged {
			return
		}
	}
	text := "no records"
	if c.records > 0 {
		text = fmt.Sprintf("%s with %d samples in %d bytes, every checksum matches", recordsWord(c.next-c.records, c.next), c.samples, c.bytes)
	}
	c.findings = append(c.findings, Finding{Part: c.part, Level: Whole, Path: c.dir, Offset: -1, Text: text})
}
