package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Lock is the exclusive right to a storage path. It is given back by Unlock or by the end of the process, however that ends.
type Lock struct{ f *os.File }

// LockPath takes the storage path for this process, creating the directory if need be. ErrLocked if another one has it.
func LockPath(dir string) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create storage path: %w", err)
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock storage path: %w", err)
	}
	if err := flock(f); err != nil {
		holder, _ := os.ReadFile(path)
		f.Close()
		return nil, fmt.Errorf("lock storage path %s (process %s): %w", dir, strings.TrimSpace(string(holder)), err)
	}
	// The process id is for people only; nothing reads it back.
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return &Lock{f}, nil
}

// Unlock gives the path back. The file stays: removing it would let two processes lock two files of one name.
func (l *Lock) Unlock() error { return l.f.Close() }
