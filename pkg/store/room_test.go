package store

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// Rule: no file of the database has a hole, neither while it is written nor when it is new: on a disk that has run full a mapped hole kills
// the process. Before each write the log that the database may begin in its middle is there, with all its blocks: without it, a write
// for which there is room begins none, be it of large values or of many small ones.
func TestTheDatabasesFilesHaveNoHoles(t *testing.T) {
	dir := t.TempDir()
	probe, err := os.Create(filepath.Join(dir, "probe"))
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	if err := unix.Fallocate(int(probe.Fd()), 0, 0, 4096); err != nil {
		t.Logf("this file system does not allocate (%v), so there is nothing to see", err)
		return
	}
	const memTable = 1 << 20
	s, err := openState(filepath.Join(dir, "state"), nil, nil, stateOptions{memTable: memTable, disk: disk{unsynced: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	look := func(when string) {
		t.Helper()
		paths, err := filepath.Glob(filepath.Join(s.badgerDir(), "*"))
		if err != nil {
			t.Fatal(err)
		}
		logs, _ := filepath.Glob(filepath.Join(s.badgerDir(), "*.mem"))
		for _, path := range paths {
			var st unix.Stat_t
			if err := unix.Stat(path, &st); err != nil {
				continue // it was removed meanwhile
			}
			if st.Size == 0 && slices.Contains(logs[:len(logs)-1], path) {
				continue // an older log is being removed: it is emptied first
			}
			want := st.Size
			if filepath.Ext(path) == ".mem" && st.Size == 0 {
				want = logBytes(memTable)
			}
			if st.Blocks*512 < want {
				t.Errorf("%s: %s has %d bytes on the disk, of %d", when, filepath.Base(path), st.Blocks*512, want)
			}
		}
	}
	look("new")
	inUse := func() (last string, next bool) {
		logs, _ := filepath.Glob(filepath.Join(s.badgerDir(), "*.mem"))
		last = logs[len(logs)-1]
		if st, err := os.Stat(last); err == nil && st.Size() == 0 {
			return logs[len(logs)-2], true
		}
		return last, false
	}
	d := s.Begin(1)
	begun, without := 0, 0
	for chunk := range 60 {
		pages, size := 10, 20<<10
		if chunk%2 == 1 {
			pages, size = 300, 3
		}
		for page := range pages {
			d.Put(fmt.Appendf(nil, "s%02d%04d", chunk, page), make([]byte, size))
		}
		if !s.Room(int64(d.Pending())) {
			t.Fatal("there is no room")
		}
		was, next := inUse()
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
		if is, _ := inUse(); is != was {
			begun++
			if !next {
				t.Errorf("chunk %d: the next log was not there, and the database began it", chunk)
			}
		} else if !next {
			without++
		}
		look(fmt.Sprint("chunk ", chunk))
	}
	if begun < 3 || without < 3 {
		t.Errorf("the database began %d logs, and %d writes were without a next one: too few to see anything", begun, without)
	}
	if err := d.Write(); err != nil {
		t.Fatal(err)
	}
	if err := d.Declare(); err != nil {
		t.Fatal(err)
	}
	look("good")
}
