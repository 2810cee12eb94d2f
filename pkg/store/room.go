package store

// Room is what must be free for the database to write n bytes: it maps its files, so a disk that is full kills the process with SIGBUS
// where a write would fail. The bytes go into its log, then into a table, and tables are merged: three times n, and a margin for what
// others write meanwhile.
func (s *State) Room(n int64) (ok bool) {
	n = 3*n + roomMargin
	if s.db.quiet() {
		n = max(n, RoomToOpen)
	}
	return hasFree(s.dir, n)
}

// RoomToOpen is how many bytes must be free to open the database: it reads its logs back into memtables and writes those out.
const RoomToOpen = 2*memTableBytes + roomMargin

// RoomToClose says whether closing has the room that it needs: an open database writes what is in memory, up to a memtable, into a last table.
func (s *State) RoomToClose() (ok bool) { return s.db.quiet() || hasFree(s.dir, s.memTable+roomMargin) }

// roomMargin is in bytes.
const roomMargin = 8 << 20

// hasFree takes a disk that does not say for one with space: it always was so far.
func hasFree(path string, n int64) bool {
	free, _, err := FreeSpace(path)
	return err != nil || free >= n
}
