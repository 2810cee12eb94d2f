package z

import "golang.org/x/sys/unix"

// letGo takes the pages of a shared mapping out of this process' page table; what was written to them stays in the file's pages. A
// sync then need not make them read-only one by one, each with an interrupt of the other cores. It is advice: where it is declined, that is done.
// Memory that is no file's would be lost.
func letGo(b []byte) { _ = unix.Madvise(b, unix.MADV_DONTNEED) }
