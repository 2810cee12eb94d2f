package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// VersionError says that a file is of a format that this program does not read.
type VersionError struct {
	Path           string
	Found, Written uint32 // Written is what this program writes
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s is of format version %d, this program reads and writes %d: it was written by another release; start that one, or give this one another --storage.path", e.Path, e.Found, e.Written)
}

// CheckFormat looks at every head and segment header under a storage path and returns a *VersionError if one of them is whole and of a
// version that this program does not read. It changes nothing, takes no lock, and leaves damage for opening to find. It comes before
// anything is written: what another release wrote stays as it is.
func CheckFormat(dir string) error {
	for _, log := range []string{"journal", "rejected"} {
		path := filepath.Join(dir, log)
		for _, at := range []int64{0, headSlotStride} {
			if err := checkVersion(filepath.Join(path, "head"), at, headMagic, headSlotLen, formatVersion); err != nil {
				return err
			}
		}
		firsts, _, err := segmentsIn(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("check the format: %w", err)
		}
		for _, first := range firsts {
			if err := checkVersion(filepath.Join(path, segmentName(first)), 0, segmentMagic, segmentHeaderLen, formatVersion); err != nil {
				return err
			}
		}
	}
	return checkVersion(filepath.Join(dir, "state", "head"), 0, checkpointMagic, checkpointLen, stateFormat)
}

// checkVersion reads a header of n bytes at off, all of which begin with magic (8 bytes) and version (4) and end with a checksum (4).
func checkVersion(path string, off int64, magic string, n int, want uint32) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("check the format: %w", err)
	}
	defer f.Close()
	b := make([]byte, n)
	if _, err := f.ReadAt(b, off); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return fmt.Errorf("check the format: %w", err)
	}
	le := binary.LittleEndian
	if string(b[:8]) != magic || crc32.Checksum(b[:n-4], castagnoli) != le.Uint32(b[n-4:]) {
		return nil
	}
	if v := le.Uint32(b[8:]); v != want {
		return &VersionError{Path: path, Found: v, Written: want}
	}
	return nil
}
