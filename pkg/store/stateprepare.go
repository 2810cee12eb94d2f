package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/ristretto/v2/z"
)

// prepare looks at the database before Badger does, for what Badger would not survive: it opens its tables in goroutines of its own,
// where damage panics beyond anybody's reach, and it does not open at all when a kill met it while it was deleting a log.
func (s *State) prepare(readOnly bool) error {
	tables, err := listTables(s.badgerDir(), s.badgerOptions())
	if err != nil {
		return err
	}
	for _, path := range tables {
		began := time.Now()
		if err := guard(func() error { return verifyTable(path) }); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		z.Rest(time.Since(began)) // with all of them a core has nothing else to do for a quarter of a second
	}
	if readOnly {
		return nil
	}
	return s.removeEmptyLogs()
}

// listTables gives the tables that Badger's MANIFEST names. Others were being made or deleted at a crash; Badger removes them.
func listTables(dir string, o badger.Options) (paths []string, err error) {
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // a new database
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	err = guard(func() error {
		m, _, err := badger.ReplayManifestFile(f, o.ExternalMagicVersion, o)
		if err != nil {
			return err
		}
		for id := range m.Tables {
			paths = append(paths, table.NewFilename(id, dir))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return paths, nil
}

// verifyTable reads every block of a table.
func verifyTable(path string) error {
	m, err := z.OpenMmapFile(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer m.Close(-1)
	t, err := table.OpenTable(m, table.Options{ReadOnly: true, ChkMode: options.NoVerification, Compression: options.None})
	if err != nil {
		return err
	}
	return t.VerifyChecksum()
}

// removeEmptyLogs removes logs of no bytes. Badger deletes a log by emptying it first, and when it is killed in between it refuses to
// open ("Create a new file"). If an empty log should not be empty, comparing with the head will tell.
func (s *State) removeEmptyLogs() error {
	for _, pattern := range []string{"*.mem", "*.vlog"} {
		paths, err := filepath.Glob(filepath.Join(s.badgerDir(), pattern))
		if err != nil {
			return err
		}
		for _, path := range paths {
			if st, err := os.Stat(path); err != nil || st.Size() > 0 {
				continue
			}
			s.log.Debug("removing an empty log of the database", "path", path)
			if err := s.disk.remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}
