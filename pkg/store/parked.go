package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
)

// Parked keeps batches aside on disk that are ready to be sent and may not be for long, so that they take no memory. It is a place to
// put things, not a promise: everything in it is in the journal too, and nothing of it outlives the process. So it is never synced,
// and emptied when opened.
//
// It is a row of files, held/00000001 and on, each written once from front to back, and deleted when nothing in it is needed any more.
type Parked struct {
	dir string
	max int64

	mu    sync.Mutex
	files map[uint32]*parkedFile
	last  uint32 // the file that is written
	bytes int64  // of all files
}

type parkedFile struct {
	f    *os.File
	size int64
	live int // records that are still needed
}

// ParkedRef is where a record is.
type ParkedRef struct {
	file, length uint32
	offset       int64
}

// parkedFileBytes is where the next file is begun: small enough that few needed records do not hold much, large enough for few files.
const parkedFileBytes = 16 << 20

// parkedHeader is the CRC32C of the record, little endian.
const parkedHeader = 4

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

// Put keeps a record. ErrParkedFull, or the disk's error: then it is not kept.
func (p *Parked) Put(record []byte) (ParkedRef, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := int64(parkedHeader + len(record))
	if p.bytes+n > p.max {
		return ParkedRef{}, ErrParkedFull
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
	var head [parkedHeader]byte
	binary.LittleEndian.PutUint32(head[:], crc32.Checksum(record, castagnoli))
	// What a failed write leaves behind is overwritten by the next.
	if _, err := pf.f.WriteAt(head[:], pf.size); err != nil {
		return ParkedRef{}, fmt.Errorf("keep a batch aside: %w", err)
	}
	if _, err := pf.f.WriteAt(record, pf.size+parkedHeader); err != nil {
		return ParkedRef{}, fmt.Errorf("keep a batch aside: %w", err)
	}
	ref := ParkedRef{p.last, uint32(len(record)), pf.size}
	pf.size += n
	pf.live++
	p.bytes += n
	return ref, nil
}

// Get reads a record into buf, which it grows as needed. A *CorruptionError means that the disk does not give back what was written.
func (p *Parked) Get(ref ParkedRef, buf []byte) ([]byte, error) {
	p.mu.Lock()
	pf := p.files[ref.file]
	p.mu.Unlock()
	if pf == nil {
		panic("BUG: a batch kept aside was asked for after it was dropped")
	}
	n := parkedHeader + int(ref.length)
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := pf.f.ReadAt(buf, ref.offset); err != nil {
		return nil, fmt.Errorf("read a batch kept aside: %w", err)
	}
	if crc32.Checksum(buf[parkedHeader:], castagnoli) != binary.LittleEndian.Uint32(buf) {
		return nil, &CorruptionError{Path: p.path(ref.file), Offset: ref.offset, Reason: "checksum does not match"}
	}
	return buf[parkedHeader:], nil
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
		// Nothing in it is needed: it begins anew.
		p.bytes -= pf.size
		pf.size = 0
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

func (p *Parked) path(n uint32) string { return filepath.Join(p.dir, fmt.Sprintf("%08d", n)) }
