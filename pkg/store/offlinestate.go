package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// State reads the series state. Badger cannot open a directory without writing to it (after a kill it has logs to cut), so it is given
// a copy in a new directory under scratch ("" for the system's own), which Close of the returned state removes. The tables are checked
// where they are. The state is nil when there is none, or when it cannot be opened.
func (o *Offline) State(scratch string) (*OfflineState, []Finding, error) {
	dir := o.path("state")
	if !o.has("state") {
		return nil, []Finding{{Part: "state", Level: Note, Path: dir, Offset: -1, Text: "is not there yet; the relay makes it at its first start"}}, nil
	}
	bad := func(path, text string) (*OfflineState, []Finding, error) {
		return nil, []Finding{{Part: "state", Level: Damaged, Path: path, Offset: -1, Text: text, Remedy: remedyState}}, nil
	}
	c, present, reason, err := readStateHead(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("read series state: %w", err)
	}
	if reason != "" {
		return bad(filepath.Join(dir, "head"), reason)
	}
	in := &State{dir: dir, memTable: memTableBytes, log: slog.New(slog.DiscardHandler)}
	tables, err := listTables(in.badgerDir(), in.badgerOptions())
	if err != nil {
		return bad(in.badgerDir(), err.Error())
	}
	for _, path := range tables {
		if err := guard(func() error { return verifyTable(path) }); err != nil {
			return bad(path, err.Error())
		}
	}
	tmp, err := os.MkdirTemp(scratch, "pawl-state-")
	if err != nil {
		return nil, nil, fmt.Errorf("copy series state: %w", err)
	}
	cp := &OfflineState{dir: tmp, of: dir}
	if err := copyTree(dir, filepath.Join(tmp, "state")); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("copy series state to %s (another place: --scratch): %w", tmp, err), cp.Close())
	}
	cp.State, err = openState(filepath.Join(tmp, "state"), nil, nil, stateOptions{memTable: memTableBytes, disk: disk{unsynced: true}})
	var damage *StateError
	if errors.As(err, &damage) {
		text := damage.Reason
		if damage.Err != nil {
			text += ": " + strings.ReplaceAll(damage.Err.Error(), filepath.Join(tmp, "state"), dir)
		}
		_, findings, _ := bad(dir, text)
		return nil, findings, cp.Close()
	}
	if err != nil {
		return nil, nil, errors.Join(err, cp.Close())
	}
	o.good, o.stateRead = c, true
	text := "no checkpoint yet"
	if present && c.Version > 0 {
		text = fmt.Sprintf("checkpoint %d with %d keys, up to journal record %d; count and sum are those of the head, %d tables match their checksums", c.Version, c.Keys, c.Seq, len(tables))
	}
	return cp, []Finding{{Part: "state", Path: dir, Offset: -1, Text: text}}, nil
}

// OfflineState is the series state, opened from a copy.
type OfflineState struct {
	*State
	dir string // of the copy
	of  string // what it is a copy of
}

// Of is the path of the state that this is a copy of.
func (s *OfflineState) Of() string { return s.of }

// Close removes the copy.
func (s *OfflineState) Close() error {
	var err error
	if s.State != nil {
		err = s.State.Close()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// copyTree copies regular files and directories; holes stay holes.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case e.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		case e.Name() == "LOCK" || e.Name() == "lock" || !e.Type().IsRegular():
			return nil // the database's own, and the state's
		}
		return copySparse(path, filepath.Join(to, rel))
	})
}

// copySparse copies what of a file is data: Badger's logs are tens of megabytes of holes.
func copySparse(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = copyData(out, in, st.Size())
	if err == nil {
		err = out.Truncate(st.Size())
	}
	return errors.Join(err, out.Close())
}

func copyData(out, in *os.File, size int64) error {
	for at := int64(0); at < size; {
		data, err := in.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // nothing but a hole is left
		}
		end := size
		if err == nil {
			end, err = in.Seek(data, unix.SEEK_HOLE)
		}
		if err != nil { // the file system knows no holes
			data, end = at, size
		}
		if _, err := in.Seek(data, io.SeekStart); err != nil {
			return err
		}
		if _, err := out.Seek(data, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.CopyN(out, in, end-data); err != nil {
			return err
		}
		at = end
	}
	return nil
}
