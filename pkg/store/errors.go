package store

import (
	"errors"
	"fmt"
)

var (
	// ErrFull is returned by Journal.Append when the group would take the journal over JournalOptions.MaxBytes, or the disk has no
	// space for it. Nothing was written.
	ErrFull = errors.New("journal is full")
	// ErrTooLarge is returned by Journal.Append for a record over the format's limits. Nothing was written.
	ErrTooLarge = errors.New("record is over the journal's limits")
	// ErrCut is returned by readers whose position is older than the journal's first record.
	ErrCut = errors.New("position is older than the journal's first record")
	// ErrNoRoom is returned by Draft.Flush, Write and Declare when the disk had no space to begin with it. Nothing was changed: try again
	// once State.Room says so.
	ErrNoRoom = errors.New("the disk has no room")
	// ErrLocked is returned when another process owns the directory.
	ErrLocked = errors.New("directory is in use by another process")
)

// CorruptionError says that bytes which had been acknowledged are not there or not as they were written.
type CorruptionError struct {
	Path   string
	Offset int64 // bytes from the start of the file; -1 when the whole file is meant
	Reason string
}

func (e *CorruptionError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("%s is corrupt: %s", e.Path, e.Reason)
	}
	return fmt.Sprintf("%s is corrupt at byte %d: %s", e.Path, e.Offset, e.Reason)
}

// StateError says that the series state is not what its head promises. Nothing can be trusted of it then: set it aside with
// SetAsideState and rebuild from the journal if Journal.First() is 1 (Rebuildable), else only go on if the operator says so.
type StateError struct {
	Dir    string
	Head   Checkpoint // what must be there; zero if the head itself cannot be read
	Reason string
	Err    error // cause, may be nil
}

func (e *StateError) Error() string {
	s := fmt.Sprintf("series state in %s: %s", e.Dir, e.Reason)
	if e.Head.Version > 0 {
		s += fmt.Sprintf(" (the last good checkpoint is version %d with %d keys, up to journal record %d)", e.Head.Version, e.Head.Keys, e.Head.Seq)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *StateError) Unwrap() error { return e.Err }
