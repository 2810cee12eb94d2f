package z

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate makes all of the first size bytes of a file take blocks of the disk, or fails with ENOSPC. A file system that cannot
// (neither ext4, xfs, btrfs nor tmpfs is one) leaves the file as it is.
func allocate(fd *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(fd.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return nil
		}
		return err
	}
}

// populate makes a mapping's pages ready to be written to. The kernel can from 5.14 on.
func populate(b []byte) error { return unix.Madvise(b, unix.MADV_POPULATE_WRITE) }

// datasync makes what was written to a file durable.
func datasync(fd *os.File) error {
	for {
		if err := unix.Fdatasync(int(fd.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
