package bench

import (
	"os"

	"golang.org/x/sys/unix"
)

// besides is what a run of many series takes however many there are, in bytes: requests, the journal's pages, the programs.
const besides = 512 << 20

// warm takes as much memory as a run with so many series may, all processes together, and gives it back. A
// virtual machine that has not used a page for a while has given it back to
// its host, and whoever touches it next pays for getting it anew, 1.5 to 12 µs
// for 4 KB by what the host does meanwhile: that is neither the relay's cost
// nor twice the same.
func (b *bencher) warm(series int) error {
	n := min(memoryFor(series)+besides, 4*memoryFor(series), b.memory()/2)
	m, err := unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	for i := 0; i < len(m); i += os.Getpagesize() {
		m[i] = 1
	}
	return unix.Munmap(m)
}
