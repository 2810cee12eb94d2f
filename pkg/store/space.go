package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// FreeSpace is what is left on the file system of path for a process without privileges: bytes, and how much of it is used in
// percent as df counts it (what is reserved for root counts as neither).
func FreeSpace(path string) (free int64, usedPercent float64, err error) {
	var st unix.Statfs_t
	for {
		if err = unix.Statfs(path, &st); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", path, err)
	}
	used := float64(st.Blocks - st.Bfree)
	if all := used + float64(st.Bavail); all > 0 {
		usedPercent = 100 * used / all
	}
	return int64(st.Bavail) * st.Bsize, usedPercent, nil
}

// Ballast is a file that takes real blocks, to be given back when a full disk keeps the relay from starting or cutting its journal.
type Ballast struct {
	path  string
	bytes int64
}

// NewBallast describes the ballast of a storage path; nothing is done to the disk yet.
func NewBallast(dir string, bytes int64) *Ballast {
	return &Ballast{path: filepath.Join(dir, "ballast"), bytes: bytes}
}

// Fill allocates the ballast, or what is missing of it. It fails with ENOSPC rather than leave a part of it.
func (b *Ballast) Fill() error {
	if b.Held() >= b.bytes {
		return nil
	}
	// Asked first, because fallocate takes what there is before it finds that it is not enough.
	free, _, err := FreeSpace(filepath.Dir(b.path))
	if err == nil && free < b.bytes-b.Held() {
		err = fmt.Errorf("%d bytes are free: %w", free, unix.ENOSPC)
	}
	if err != nil {
		return fmt.Errorf("fill ballast of %d bytes: %w", b.bytes, err)
	}
	f, err := os.OpenFile(b.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("fill ballast: %w", err)
	}
	err = allocate(f, b.bytes)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(b.path)
		return fmt.Errorf("fill ballast: %w", err)
	}
	return nil
}

// Held is how many bytes of disk the ballast takes now.
func (b *Ballast) Held() int64 {
	var st unix.Stat_t
	if unix.Lstat(b.path, &st) != nil {
		return 0
	}
	return st.Blocks * 512
}

// Release gives the space back; no error if it was already.
func (b *Ballast) Release() error {
	if err := os.Remove(b.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("release ballast: %w", err)
	}
	return nil
}

// allocate makes the first n bytes of f take blocks: by fallocate, or where the file system cannot by writing zeros.
func allocate(f *os.File, n int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, n)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return writeZeros(f, n)
		case err != nil:
			return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
		}
		return nil
	}
}

func writeZeros(f *os.File, n int64) error {
	zeros := make([]byte, 1<<20)
	for off := int64(0); off < n; off += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), n-off)], off); err != nil {
			return err
		}
	}
	return nil
}
