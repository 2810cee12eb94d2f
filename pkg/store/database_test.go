package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// restingState closes the database as soon as nobody uses it.
var restingState = stateOptions{memTable: 1 << 20, disk: disk{unsynced: true}, idle: time.Nanosecond}

// restNow closes the database as if nobody had used it for long.
func restNow(s *State) {
	s.db.mu.Lock()
	s.db.last = time.Time{}
	s.db.mu.Unlock()
	s.db.rest()
}

func mustBeClosed(t testing.TB, s *State) {
	t.Helper()
	if !s.db.quiet() {
		t.Fatal("the database is open")
	}
}

func TestDatabaseIsClosedWhenNobodyUsesItAndOpenedForWhoDoes(t *testing.T) {
	s := mustOpenState(t, t.TempDir())
	want := map[string]string{"sa": "1", "sb": "1"}
	checkpoint(t, s, 1, want)
	for seq := uint64(2); seq < 6; seq++ {
		restNow(s)
		mustBeClosed(t, s)
		wantContents(t, s, want)
		restNow(s)
		mustBeClosed(t, s)
		want["sb"] = string(rune('0' + seq))
		checkpoint(t, s, seq, want)
	}
	wantContents(t, s, want)
}

func TestDatabaseStaysOpenWhileADraftIsWrittenAndNotWhileItWaitsToBeDeclared(t *testing.T) {
	s := mustOpenState(t, t.TempDir())
	d := s.Begin(1)
	d.Put([]byte("sa"), []byte("1"))
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	restNow(s)
	if s.db.quiet() {
		t.Error("closed under a draft that is being written")
	}
	d.Put([]byte("sb"), []byte("1"))
	if err := d.Write(); err != nil {
		t.Fatal(err)
	}
	restNow(s)
	mustBeClosed(t, s)
	if err := d.Declare(); err != nil {
		t.Fatal(err)
	}
	restNow(s)
	wantContents(t, s, map[string]string{"sa": "1", "sb": "1"})
}

func TestDatabaseIsClosedByItselfAfterAWhile(t *testing.T) {
	o := smallState
	o.idle = time.Millisecond
	s, err := openState(t.TempDir(), nil, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	checkpoint(t, s, 1, map[string]string{"sa": "1"})
	for deadline := time.Now().Add(time.Minute); !s.db.quiet(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("still open")
		}
	}
	wantContents(t, s, map[string]string{"sa": "1"})
}

// Opening writes to the disk, closing too, and a full one kills by SIGBUS.
func TestDatabaseIsReadAndNotClosedWhereTheDiskIsFull(t *testing.T) {
	s := mustOpenState(t, t.TempDir())
	want := map[string]string{"sa": "1"}
	checkpoint(t, s, 1, want)
	full := true
	s.db.room = func(int64) bool { return !full }
	restNow(s)
	if s.db.quiet() {
		t.Fatal("closed, which writes a table, on a full disk")
	}
	full = false
	restNow(s)
	mustBeClosed(t, s)

	full = true
	before := dirNames(t, s.badgerDir())
	h, err := s.acquire()
	if err != nil {
		t.Fatal(err)
	}
	wantContents(t, s, want)
	if after := dirNames(t, s.badgerDir()); len(after) != len(before) {
		t.Errorf("reading on a full disk made files: %q, before %q", after, before)
	}
	full = false
	over := make(chan error)
	go func() {
		d := s.Begin(2)
		d.Put([]byte("sa"), []byte("2"))
		over <- errors.Join(d.Write(), d.Declare())
	}()
	wantContents(t, s, want) // whoever reads is not held up by who waits to write
	s.release(h)
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	wantContents(t, s, map[string]string{"sa": "2"})
}

func dirNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestDamageWhileTheDatabaseIsClosedIsNamedAndNothingIsLostByLooking(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, s *State){
		"table": func(t *testing.T, s *State) {
			paths, err := filepath.Glob(filepath.Join(s.badgerDir(), "*.sst"))
			if err != nil || len(paths) == 0 {
				t.Fatalf("no tables: %v", err)
			}
			b, err := os.ReadFile(paths[0])
			if err != nil {
				t.Fatal(err)
			}
			b[10] ^= 1
			if err := os.WriteFile(paths[0], b, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"manifest": func(t *testing.T, s *State) {
			if err := os.Remove(filepath.Join(s.badgerDir(), badger.ManifestFilename)); err != nil {
				t.Fatal(err)
			}
		},
		"everything": func(t *testing.T, s *State) {
			if err := os.RemoveAll(s.badgerDir()); err != nil {
				t.Fatal(err)
			}
		},
		"older": func(t *testing.T, s *State) { // as if another state had been copied over it
			if err := writeStateHead(s.disk, s.dir, Checkpoint{}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustOpenState(t, t.TempDir())
			checkpoint(t, s, 1, map[string]string{"sa": "1"})
			checkpoint(t, s, 2, map[string]string{"sa": "2"})
			restNow(s)
			mustBeClosed(t, s)
			damage(t, s)
			var before []string
			if name != "everything" {
				before = dirNames(t, s.badgerDir())
			}
			var refused *StateError
			if _, _, err := s.Get([]byte("sa")); !errors.As(err, &refused) {
				t.Errorf("Get = %v, want a StateError", err)
			}
			d := s.Begin(3)
			d.Put([]byte("sa"), []byte("3"))
			if err := d.Write(); !errors.As(err, &refused) {
				t.Errorf("Write = %v, want a StateError", err)
			}
			d.Abandon()
			if name != "everything" && len(dirNames(t, s.badgerDir())) != len(before) {
				t.Errorf("files are %q, were %q", dirNames(t, s.badgerDir()), before)
			}
		})
	}
}
