package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// Parked keeps batches aside on disk that are ready to be sent and may not be for long, so that they take no memory. It is a place to
// put things, not a promise: everything in it is in the journal too, and nothing of it outlives the process. So it is never synced,
// and emptied when opened.
//
// It is a row of files, held/00000001 and on, each written once from front to back, and deleted when nothing in it is needed any more.
// What is in a file are records as in the journal, whose checksums begin with the file's number for a salt.
type Parked struct {
	dir string
	max int64

	mu    sync.Mutex
	files map[uint32]*parkedFile
	last  uint32 // the file that is written
	bytes int64  // of all files
	buf   []byte // a record as it is written
}

type parkedFile struct {
	f    *os.File
	size int64
	live int // records that are still needed
}

// ParkedRef is where a record is.
type ParkedRef struct {
	file   uint32
	size   uint32 // of the record, in bytes
	offset int64
}

// parkedFileBytes is where the next file is begun: small enough that few needed records do not hold much, large enough for few files.
const parkedFileBytes = 16 << 20

// ErrParkedFull: what is parked would take more than it may.
var ErrParkedFull = errors.New("no more batches can be kept aside")

// OpenParked empties dir and keeps at most max bytes in it.
func OpenParked(dir string, max int64) (*Parked, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("empty the batches kept aside: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make room for batches kept aside: %w", err)
	}
	return &Parked{dir: dir, max: max, files: map[uint32]*parkedFile{}}, nil
}

// Put keeps a batch. ErrParkedFull, or the disk's error: then it is not kept.
func (p *Parked) Put(h Held) (ParkedRef, error) {
	r := h.record()
	p.mu.Lock()
	defer p.mu.Unlock()
	n := recordSize(&r)
	if p.bytes+n > p.max {
		return ParkedRef{}, ErrParkedFull
	}
	if len(r.Tenant) > maxTenant || len(r.Payload) > maxPayload {
		return ParkedRef{}, fmt.Errorf("keep a batch aside: %w", ErrTooLarge)
	}
	pf := p.files[p.last]
	if pf == nil || pf.size >= parkedFileBytes {
		f, err := os.OpenFile(p.path(p.last+1), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if err != nil {
			return ParkedRef{}, fmt.Errorf("keep a batch aside: %w", err)
		}
		p.forget(p.last)
		p.last++
		pf = &parkedFile{f: f}
		p.files[p.last] = pf
	}
	p.buf = appendRecord(p.buf[:0], salted(uint64(p.last)), &r, 0, 0)
	// What a failed write leaves behind is overwritten by the next.
	_, err := pf.f.WriteAt(p.buf, pf.size)
	if cap(p.buf) > windowKeep {
		p.buf = nil
	}
	if err != nil {
		return ParkedRef{}, fmt.Errorf("keep a batch aside: %w", err)
	}
	ref := ParkedRef{file: p.last, offset: pf.size, size: uint32(n)}
	pf.size += n
	pf.live++
	p.bytes += n
	return ref, nil
}

// Get reads a batch back. A *CorruptionError means that the disk does not give back what was written.
func (p *Parked) Get(ref ParkedRef) (Held, error) {
	p.mu.Lock()
	pf := p.files[ref.file]
	p.mu.Unlock()
	if pf == nil {
		panic("BUG: a batch kept aside was asked for after it was dropped")
	}
	b := make([]byte, ref.size)
	if _, err := pf.f.ReadAt(b, ref.offset); err != nil {
		return Held{}, fmt.Errorf("read a batch kept aside: %w", err)
	}
	h, reason := getRecordHeader(b)
	switch {
	case reason != "":
	case h.size() != int64(ref.size):
		reason = fmt.Sprintf("record of %d bytes where %d were written", h.size(), ref.size)
	default:
		reason = checkRecord(b, salted(uint64(ref.file)), h)
	}
	var held Held
	if reason == "" {
		held, reason = getHeld(h.record(b))
	}
	if reason != "" {
		return Held{}, &CorruptionError{Path: p.path(ref.file), Offset: ref.offset, Reason: reason}
	}
	return held, nil
}

// Drop says that a record is no longer needed.
func (p *Parked) Drop(ref ParkedRef) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pf := p.files[ref.file]
	pf.live--
	if ref.file != p.last {
		p.forget(ref.file)
	} else if pf.live == 0 {
		// Nothing in it is needed: it begins anew. Were it not cut, what is written next would stand before the rest of a record.
		p.bytes -= pf.size
		pf.size = 0
		_ = pf.f.Truncate(0)
	}
}

// forget deletes a file that is no longer written, if nothing in it is needed.
func (p *Parked) forget(n uint32) {
	pf := p.files[n]
	if pf == nil || pf.live > 0 {
		return
	}
	pf.f.Close()
	_ = os.Remove(p.path(n)) // left behind it is deleted by the next start
	p.bytes -= pf.size
	delete(p.files, n)
}

// Bytes is the size of the files.
func (p *Parked) Bytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// Close deletes everything: the journal has it.
func (p *Parked) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pf := range p.files {
		pf.f.Close()
	}
	p.files = map[uint32]*parkedFile{}
	return os.RemoveAll(p.dir)
}

func (p *Parked) path(n uint32) string { return filepath.Join(p.dir, parkedName(n)) }

func parkedName(n uint32) string { return fmt.Sprintf("%08d", n) }
