package z

import (
	"errors"
	"os"
	"sync"
	"time"
	"unsafe"
)

// Badger makes a table by copying it into the mapping of a new file, and syncs that. The kernel has a fault for each page then, and when it
// writes the pages out it makes each read-only again by itself, with an interrupt of every other core that runs the process: together
// two fifths of the CPU of a checkpoint. So a new table is put together in memory, written by write(2), and only then mapped, to be read.

// unwritten are the tables that are put together, by where they are.
var unwritten sync.Map // *byte: *MmapFile

// tableInMemory has a new table of size bytes put together in memory. Its file is allocated already.
func tableInMemory(fd *os.File, size int) *MmapFile {
	m := &MmapFile{Data: Calloc(size, "table"), Fd: fd}
	readyPieces(m.Data)
	unwritten.Store(unsafe.SliceData(m.Data), m)
	return m
}

// writeTable writes a table that was put together in memory to its file, which is durable and mapped then; ok tells whether b is one. After
// an error there is no file.
func writeTable(b []byte) (ok bool, err error) {
	found, ok := unwritten.LoadAndDelete(unsafe.SliceData(b))
	if !ok {
		return false, nil
	}
	m := found.(*MmapFile)
	defer Free(b)
	if err = writePieces(m.Fd, b); err == nil {
		m.Data, err = Mmap(m.Fd, true, int64(len(b)))
	}
	if err != nil {
		m.Data = nil
		err = errors.Join(err, m.Fd.Close(), os.Remove(m.Fd.Name()))
	}
	return true, err
}

// writePieces writes and syncs a file piece by piece, with rests, as long as that is leisurely.
func writePieces(fd *os.File, b []byte) error {
	for at := 0; at < len(b); {
		began, n := time.Now(), min(len(b)-at, pieceBytes())
		if _, err := fd.WriteAt(b[at:at+n], int64(at)); err != nil {
			return err
		}
		at += n
		if !leisurely() {
			continue
		}
		if err := datasync(fd); err != nil {
			return err
		}
		if took := time.Since(began); took > workLeast/10 {
			Rest(took)
		}
	}
	return datasync(fd)
}
