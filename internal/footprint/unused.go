package footprint

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Unused gives the pages of memory that is about to be garbage back to the system at once. The collector would come to it only
// when there is enough of that, and then keep the pages for a while. What was in them is lost.
func Unused(words []uint64) {
	if len(words) == 0 {
		return
	}
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), len(words)*8)
	_ = unix.Madvise(b, unix.MADV_DONTNEED) // advice: where it is declined, as for half a page, the collector does it
}
