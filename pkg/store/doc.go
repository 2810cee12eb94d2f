// Package store is the only owner of the disk. Three things live there, each in a directory of its own:
//
//	journal/   the journal: every request that was acknowledged, in the one order of everything after it
//	state/     the series state as of the last good checkpoint, in Badger, and a small head beside it that says what must be there
//	rejected/  what the upstream refused for good, bounded, in the journal's own format
//
// The journal's contract is small on purpose: append a group, read from a position, cut. Who may call what:
//
//   - One committer calls Journal.Append; when it returns nil the whole group is on disk and may be answered.
//   - Any number of readers follow it with Journal.Reader; they see only what was acknowledged.
//   - The checkpointer writes a Draft, declares it good, and then cuts the journal behind it.
//
// What is assumed of the disk: what fdatasync reported as written stays written, unless it rots. What rots is found by checksums and
// by two heads (journal/head, state/head) that remember what had been acknowledged, and is reported as *CorruptionError or *StateError;
// it is never silently skipped. What cannot be found: damage to records acknowledged in the last moments before a power loss (the
// journal's head may be a few groups behind then) in such a way that it looks like a torn write of the last group.
//
// Every byte is described in docs/format.md.
package store
