//go:build !linux

package z

import (
	"errors"
	"os"
)

func allocate(*os.File, int64) error { return nil }

func populate([]byte) error { return errors.ErrUnsupported }

func datasync(fd *os.File) error { return fd.Sync() }
