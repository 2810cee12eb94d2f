package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

func leUint32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }

const (
	windowBytes = 256 << 10 // read at once
	windowKeep  = 4 << 20   // a buffer grown over this by one large record is given back
)

var recordMagicBytes = []byte{'P', 'L', 'W', 'R'}

// window reads records of one file through a buffer that moves along it.
type window struct {
	f     io.ReaderAt
	limit int64 // nothing at or after it is read
	buf   []byte
	at    int64 // file offset of buf[0]
}

// bytes returns n bytes at off, valid until the next call. off+n is not over the limit.
func (w *window) bytes(off, n int64) ([]byte, error) {
	if off >= w.at && off+n <= w.at+int64(len(w.buf)) {
		return w.buf[off-w.at : off-w.at+n], nil
	}
	want := min(max(n, windowBytes), w.limit-off)
	if int64(cap(w.buf)) < want || (cap(w.buf) > windowKeep && want <= windowBytes) {
		w.buf = make([]byte, 0, want)
	}
	w.buf = w.buf[:want]
	got, err := w.f.ReadAt(w.buf, off)
	w.at, w.buf = off, w.buf[:got]
	if int64(got) < n {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		w.buf = w.buf[:0]
		return nil, err
	}
	return w.buf[:n], nil
}

// record returns the bytes of the record at off, checked. reason says in words why there is none; err is the disk's.
func (w *window) record(off int64, seed uint32) (b []byte, h recordHeader, reason string, err error) {
	left := w.limit - off
	if left < recordHeaderLen {
		return nil, h, fmt.Sprintf("record header has %d of %d bytes", left, recordHeaderLen), nil
	}
	if b, err = w.bytes(off, recordHeaderLen); err != nil {
		return nil, h, "", err
	}
	if h, reason = getRecordHeader(b); reason != "" {
		return nil, h, reason, nil
	}
	if h.size() > left {
		return nil, h, fmt.Sprintf("record of %d bytes, %d are left", h.size(), left), nil
	}
	if b, err = w.bytes(off, h.size()); err != nil {
		return nil, h, "", err
	}
	return b, h, checkRecord(b, seed, h), nil
}

// find returns the offset of the next record magic at or after off, -1 if there is none.
func (w *window) find(off int64) (int64, error) {
	for w.limit-off >= recordHeaderLen {
		n := min(w.limit-off, windowBytes)
		b, err := w.bytes(off, n)
		if err != nil {
			return -1, err
		}
		if i := bytes.Index(b, recordMagicBytes); i >= 0 {
			return off + int64(i), nil
		}
		off += n - int64(len(recordMagicBytes)) + 1
	}
	return -1, nil
}
