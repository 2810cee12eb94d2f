package store

import "fmt"

// Level says how bad a Finding is.
type Level uint8

// The levels, from good to bad.
const (
	Whole   Level = iota // as it was written
	Note                 // not as it would be after a clean stop, and no harm: the next start deals with it
	Damaged              // what had been acknowledged is missing or changed; a start refuses it, or will when it reads it
)

func (l Level) String() string { return [...]string{"ok", "note", "DAMAGED"}[l] }

// Finding is one thing that reading a storage path offline turned up.
type Finding struct {
	Part   string // lock, journal, delivered, state, rejected, held, ballast
	Level  Level
	Path   string
	Offset int64  // bytes from the start of the file; -1: the whole file
	Text   string // what is there, or what is wrong with it
	Remedy string // what to do next; "" when there is nothing to do
}

func (f Finding) String() string {
	s := fmt.Sprintf("%-9s %-7s %s", f.Part, f.Level, f.Path)
	if f.Offset >= 0 {
		s += fmt.Sprintf(" at byte %d", f.Offset)
	}
	s += ": " + f.Text
	if f.Remedy != "" {
		s += "; " + f.Remedy
	}
	return s
}
