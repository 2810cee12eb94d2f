package store

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"time"

	"pawl/internal/killpoint"
)

// rotate seals the last segment with its footer and begins the next.
func (j *Journal) rotate() error {
	s := j.active()
	b := appendFooter(nil, s.seed, s.first, s.footer())
	if err := j.o.disk.writeAt(j.file, b, s.end); err != nil {
		return err
	}
	if err := j.syncTo(s, s.next, s.end); err != nil {
		return j.fail(err)
	}
	j.mu.Lock()
	s.size = s.end + int64(len(b))
	j.bytes += int64(len(b))
	j.mu.Unlock()
	killpoint.At(killpoint.RotateFooter)
	return j.begin(s.next, s.last)
}

// begin makes a new last segment. The head is synced with it: from now on the file must be there.
func (j *Journal) begin(first uint64, floor int64) error {
	var salt [8]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return err
	}
	h := segmentHeader{First: first, Salt: binary.LittleEndian.Uint64(salt[:]), Floor: floor}
	b := make([]byte, segmentHeaderLen)
	putSegmentHeader(b, h)
	path := filepath.Join(j.dir, segmentName(first))
	f, err := j.o.disk.create(path, b)
	if err != nil {
		return err
	}
	s := &segment{
		path: path, first: first, seed: salted(h.Salt), floor: floor, next: first,
		end: segmentHeaderLen, size: segmentHeaderLen, last: floor,
	}
	if j.file != nil {
		if err := j.file.Close(); err != nil {
			f.Close()
			return err
		}
	}
	j.file = f
	j.mu.Lock()
	j.segments = append(j.segments, s)
	j.bytes += s.size
	j.mu.Unlock()
	killpoint.At(killpoint.RotateHead)
	return j.syncHead()
}

// syncHead notes durably where the journal ends; all of it is on disk.
func (j *Journal) syncHead() error {
	s := j.active()
	if err := j.head.set(headSlot{first: j.First(), end: s.next, segment: s.first, offset: s.end}); err != nil {
		return err
	}
	return j.head.sync()
}

// Deleting a segment takes the file system some milliseconds, in which a sync of the journal waits: so there is a rest after each, so
// many times as long, but no more than longestCut in all, as the disk may be waiting for the space.
const (
	cutRestTimes = 5
	longestCut   = time.Second
)

// Cut drops whole segments all of whose records are older than before. The last segment always stays.
func (j *Journal) Cut(before uint64) error {
	drop, err := j.cut(before)
	if err != nil {
		return err
	}
	rests := longestCut
	for _, s := range drop {
		killpoint.At(killpoint.CutFiles)
		began := time.Now()
		if err := j.o.disk.remove(s.path); err != nil {
			return fmt.Errorf("cut journal: %w", err) // a start removes what is left: the head says that it was cut
		}
		killpoint.At(killpoint.CutFile)
		j.log.Debug("journal segment dropped", "path", s.path, "first", s.first, "next", s.next)
		rest := min(cutRestTimes*time.Since(began), rests)
		rests -= rest
		time.Sleep(rest)
	}
	if len(drop) > 0 {
		if err := j.o.disk.syncDir(j.dir); err != nil {
			return fmt.Errorf("cut journal: %w", err)
		}
	}
	return nil
}

// cut takes the segments out of the journal's books, durably, before their files go.
func (j *Journal) cut(before uint64) ([]*segment, error) {
	j.writeMu.Lock()
	defer j.writeMu.Unlock()
	if err := j.failure(); err != nil {
		return nil, err
	}
	j.mu.Lock()
	n := 0
	for n < len(j.segments)-1 && j.segments[n].next <= before {
		j.bytes -= j.segments[n].size
		n++
	}
	drop := j.segments[:n:n]
	j.segments = j.segments[n:]
	j.mu.Unlock()
	if n == 0 {
		return nil, nil
	}
	slot := j.head.slot
	slot.first = j.First()
	for range 2 { // both slots, so that losing one does not bring the old first back
		err := j.head.set(slot)
		if err == nil {
			err = j.head.sync()
		}
		if err != nil {
			return nil, j.fail(fmt.Errorf("cut journal: %w", err))
		}
		killpoint.At(killpoint.CutHead)
	}
	return drop, nil
}
