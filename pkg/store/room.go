package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The database maps its files, and a write into a page of a mapped file for which the disk has no block kills the process with SIGBUS.
// So no file of its has holes: they are allocated when they are made (third_party/ristretto/PAWL.md), and for a table that cannot be the database tries
// again until there is space. Only a log that it begins in the middle of a write must not fail: Room makes the next one beforehand.

// Room tells whether the disk has what the database needs to write what the draft gathered, n bytes. What the open log takes for
// certain needs nothing: a small checkpoint is written on a full disk, and only a checkpoint lets the journal be cut. Else it makes
// the next log. The bytes go into a log, then into a table, and tables are merged: three times n, and a margin for what others write
// meanwhile. Should they take more than that, the write waits for space. With n 0 it is the marker alone, for which the two logs are
// enough: a written checkpoint is declared on a full disk too. It must not be called while a draft is being flushed.
func (s *State) Room(n int64) (ok bool) {
	need := 3*n + roomMargin
	if s.db.quiet() {
		return hasFree(s.dir, max(need, RoomToOpen)) // and begins a log of its own once it is open
	}
	if s.openLogTakes(n + s.gathered()*entryBytes) {
		return true
	}
	if n > 0 && !hasFree(s.dir, need) {
		return false
	}
	if err := s.makeNextLog(); err != nil {
		s.log.Debug("no room for the database's next log", "err", err)
		return false
	}
	return true
}

// gathered is the number of changes that the draft has not flushed; the marker, where it has none.
func (s *State) gathered() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draft == nil {
		return 1
	}
	return int64(max(1, len(s.draft.items)))
}

// openLogTakes says whether n bytes are certain not to make the database begin its next log: it looks whether its memtable is full
// before each batch, and begins with an empty one when it is opened. Of what was written since then all may be in that one.
func (s *State) openLogTakes(n int64) bool { return s.db.written.Load()+n < s.memTable }

// entryBytes is more than a change takes of a memtable and of its log besides key and value, in bytes: a node of at most 103, the
// version, headers and checksum, and the end of a transaction that has it alone.
const entryBytes = 256

// makeNextLog makes the file that the database's next memtable writes its log into: empty, as the database expects a new one, and
// with all its blocks behind the end. What a crash leaves of it removeEmptyLogs removes.
func (s *State) makeNextLog() error {
	logs, err := filepath.Glob(filepath.Join(s.badgerDir(), "*.mem"))
	if err != nil || len(logs) == 0 {
		return err // Badger's own logs: there always is one
	}
	newest := logs[len(logs)-1] // of five digits each, in order
	if st, err := os.Stat(newest); err != nil || st.Size() == 0 {
		return err // it is made already
	}
	var id int
	if _, err := fmt.Sscanf(filepath.Base(newest), "%d.mem", &id); err != nil {
		return fmt.Errorf("%s is no log of the database: %w", newest, err)
	}
	f, err := os.OpenFile(filepath.Join(s.badgerDir(), fmt.Sprintf("%05d.mem", id+1)), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	err = reserve(f, logBytes(s.memTable))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

// logBytes is the size of the file of a memtable's log.
func logBytes(memTable int64) int64 { return 2 * memTable }

// reserve gives a file n bytes of blocks and leaves its size at 0. A file system that cannot leaves it without.
func reserve(f *os.File, n int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, n)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return nil
		case err != nil:
			return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
		}
		return nil
	}
}

// RoomToOpen is how many bytes must be free to open the database and write a checkpoint: it makes a log and the next one, an empty
// value log and its statistics, and writes out as tables what it finds in the logs of the last process.
const RoomToOpen = 2*2*memTableBytes + 2*valueLogBytes + 1<<20 + memTableBytes + roomMargin

// roomForFirst says whether the files of a database that is not there yet can be made: a log, its statistics and an empty value log. Of
// all failures to make one Badger ends the process for the statistics.
func (s *State) roomForFirst() (ok bool) {
	_, err := os.Stat(filepath.Join(s.badgerDir(), "DISCARD"))
	return err == nil || hasFree(s.dir, firstBytes(s.memTable))
}

// firstBytes are what those files take.
func firstBytes(memTable int64) int64 { return logBytes(memTable) + 1<<20 + 2*valueLogBytes }

// RoomToClose says whether closing has the room that it needs: an open database writes what is in memory, up to a memtable, into a last table.
func (s *State) RoomToClose() (ok bool) { return s.db.quiet() || hasFree(s.dir, s.memTable+roomMargin) }

// roomMargin is in bytes.
const roomMargin = 8 << 20

// hasFree takes a disk that does not say for one with space: it always was so far.
func hasFree(path string, n int64) bool {
	free, _, err := FreeSpace(path)
	return err != nil || free >= n
}
