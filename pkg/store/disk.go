package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// operation names what is about to be done to the disk.
type operation string

const (
	opWrite  operation = "write"
	opSync   operation = "sync"
	opCreate operation = "create"
	opRename operation = "rename"
	opRemove operation = "remove"
)

// disk is every change this package makes to files of its own format. The zero value is the real thing; tests set fault.
type disk struct {
	// fault is asked before each operation. For a write of n bytes it says how many of them reach the disk before err.
	fault func(op operation, path string, n int) (allow int, err error)
	// unsynced leaves the syncs out: most tests are not about power loss, and syncs are what takes them long.
	unsynced bool
}

func (d disk) check(op operation, path string, n int) (int, error) {
	if d.fault == nil {
		return n, nil
	}
	return d.fault(op, path, n)
}

// writeAt writes all of b at off, or as much of it as there was before the error.
func (d disk) writeAt(f *os.File, b []byte, off int64) error {
	n, ferr := d.check(opWrite, f.Name(), len(b))
	if n > 0 {
		if _, err := f.WriteAt(b[:n], off); err != nil {
			return err // *PathError: names operation and file
		}
	}
	if ferr != nil {
		return fmt.Errorf("write %s: %w", f.Name(), ferr)
	}
	return nil
}

// sync makes what was written to f durable, with the metadata needed to read it back (fdatasync).
func (d disk) sync(f *os.File) error { return d.syncBy(nil, f) }

// syncBy is sync by way of the kernel's own threads, where there is a way.
func (d disk) syncBy(k *kernelSync, f *os.File) error {
	if _, err := d.check(opSync, f.Name(), 0); err != nil {
		return fmt.Errorf("sync %s: %w", f.Name(), err)
	}
	if d.unsynced {
		return nil
	}
	if err := k.sync(int(f.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", f.Name(), err)
	}
	return nil
}

// syncDir makes created, renamed and removed names in dir durable.
func (d disk) syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := d.check(opSync, dir, 0); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	if d.unsynced {
		return nil
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// create makes path with content, whole and durable or not at all: temporary name, sync, rename, sync of the directory.
// An existing file is replaced. The returned file is open for reading and writing.
func (d disk) create(path string, content []byte) (*os.File, error) {
	tmp := path + ".tmp"
	if _, err := d.check(opCreate, path, len(content)); err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	err = d.writeAt(f, content, 0)
	if err == nil {
		err = d.sync(f)
	}
	if err == nil {
		err = d.rename(tmp, path)
	}
	if err == nil {
		err = d.syncDir(filepath.Dir(path))
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR, 0) // again, so that Name() is the file's own
}

func (d disk) rename(from, to string) error {
	if _, err := d.check(opRename, to, 0); err != nil {
		return fmt.Errorf("rename %s: %w", to, err)
	}
	return os.Rename(from, to)
}

// remove is no error when path is not there: an earlier try may have got that far.
func (d disk) remove(path string) error {
	if _, err := d.check(opRemove, path, 0); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// flock takes the exclusive lock of an open file; it goes with the file or the process.
func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch err {
		case nil:
			return nil
		case unix.EINTR:
			continue
		case unix.EWOULDBLOCK:
			return ErrLocked
		}
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
}
