//go:build unix && (!jemalloc || !cgo)

package z

import "golang.org/x/sys/unix"

// Whoever calls Calloc calls Free: with jemalloc it is their only way back. Without it Badger's buffers for tables, 16 MB each, would
// be garbage of Go's, and each as much as the collector lets gather at all, so that it runs for them over and over. So large ones are mapped.

// mapLeast is what is worth a mapping, in bytes.
const mapLeast = 64 << 10

func callocMapped(n int) []byte {
	if n < mapLeast {
		return make([]byte, n)
	}
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return make([]byte, n) // Go's runtime has its own word on what is out of memory
	}
	return b
}

// freeMapped unmaps what callocMapped mapped; of everything else it is no more than the end.
func freeMapped(b []byte) {
	if cap(b) >= mapLeast {
		_ = unix.Munmap(b[:cap(b)]) // EINVAL: it is Go's
	}
}
