package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pawl/internal/fingerprint"
)

// storagePath has a journal, a killed process' state and a rejected log; locked, as by a relay, until unlock.
func storagePath(t *testing.T, state files) (dir string, unlock func()) {
	t.Helper()
	dir = t.TempDir()
	lock, err := LockPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	j := openJournal(t, filepath.Join(dir, "journal"), JournalOptions{Sync: true})
	mustAppend(t, j, samples(1, 50)...)
	if err := NewDelivered(filepath.Join(dir, "journal"), j).Save(20); err != nil {
		t.Fatal(err)
	}
	mustClose(t, j)
	l := mustOpenRejected(t, filepath.Join(dir, "rejected"), 0)
	for i := 1; i <= 5; i++ {
		if err := l.Add(refused(i)); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, l)
	for name, b := range state {
		path := filepath.Join(dir, "state", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, func() { mustClose(t, closerFunc(lock.Unlock)) }
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }

// readAllParts reads everything offline and gives the findings.
func readAllParts(t *testing.T, dir string) (findings []Finding, keys int) {
	t.Helper()
	o, err := OpenOffline(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, o)
	found, err := o.Journal(nil)
	if err != nil {
		t.Fatal(err)
	}
	findings = append(findings, o.Lock(), o.Ballast())
	findings = append(findings, found...)
	scratch := t.TempDir()
	state, found, err := o.State(scratch)
	if err != nil {
		t.Fatal(err)
	}
	findings = append(findings, found...)
	if state != nil {
		if err := state.Load([]byte("s"), func(_, _ []byte) error { keys++; return nil }); err != nil {
			t.Fatal(err)
		}
		mustClose(t, state)
	}
	if left, _ := os.ReadDir(scratch); len(left) > 0 {
		t.Errorf("the copy was left behind: %v", left)
	}
	findings = append(findings, o.Agree()...)
	if found, err = o.Rejected(nil); err != nil {
		t.Fatal(err)
	}
	return append(findings, found...), keys
}

func TestReadingOfflineChangesNothing(t *testing.T) {
	dir, unlock := storagePath(t, makeCrashedState(t))
	unlock()
	before := fingerprint.Of(t, dir)
	findings, keys := readAllParts(t, dir)
	if fingerprint.Of(t, dir) != before {
		t.Error("the storage path was changed")
	}
	if bad := damages(findings); len(bad) > 0 || keys != 6000 {
		t.Errorf("%d keys, findings %v", keys, bad)
	}
}

func TestReadingOfflineIsRefusedWhileARelayRuns(t *testing.T) {
	dir, unlock := storagePath(t, nil)
	if _, err := OpenOffline(dir); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("got %v", err)
	}
	unlock()
	a, err := OpenOffline(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := OpenOffline(dir) // two readers do not disturb one another
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, b)
	if _, err := LockPath(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("a relay starts beside a reader: %v", err)
	}
	mustClose(t, a)
	if _, err := OpenOffline(t.TempDir()); err == nil {
		t.Error("an empty directory is a storage path")
	}
}

// childReadOffline prints what is found of the state. It is a process of its own because Badger leaves goroutines behind when it
// refuses to open.
func childReadOffline(dir string) error {
	o, err := OpenOffline(dir)
	if err != nil {
		return err
	}
	state, found, err := o.State("")
	if state != nil {
		err = errors.Join(err, state.Close())
	}
	fmt.Printf("%q\n", fmt.Sprint(found))
	return errors.Join(err, o.Close())
}

// TestRotInTheStateIsNamedOffline holds reading offline against a start, over random damage to the state.
func TestRotInTheStateIsNamedOffline(t *testing.T) {
	f := makeCrashedState(t)
	var names []string
	for name := range f {
		names = append(names, name)
	}
	rng := rand.New(rand.NewPCG(21, 22))
	refused := 0
	for i := range 15 * *torture {
		damaged, what := rot(rng, f, names[i%len(names)], names)
		dir, unlock := storagePath(t, damaged)
		unlock()
		before := fingerprint.Of(t, dir)
		c, found, said := startChild(t, "read-offline", dir)
		found.Scan()
		read := found.Text()
		if err := c.Wait(); err != nil {
			t.Errorf("case %d, %s: %v", i, what, err)
		}
		if fingerprint.Of(t, dir) != before {
			t.Fatalf("case %d, %s: the storage path was changed", i, what)
		}
		start := openInChild(t, filepath.Join(dir, "state"))
		bad := strings.Contains(read, "DAMAGED")
		if read == "" || bad != strings.HasPrefix(start, "refused: ") {
			t.Errorf("case %d, %s: found %q (%s), but a start says: %.300s", i, what, read, said, start)
		}
		if bad {
			refused++
		}
	}
	t.Logf("%d damages are named", refused)
}

// The note of what was delivered is a hint: whatever becomes of it is no damage.
func TestOfflineTheDeliveredNoteIsNoEvidence(t *testing.T) {
	dir, unlock := storagePath(t, nil)
	unlock()
	path := filepath.Join(dir, "journal", "delivered")
	note := func() Finding {
		findings, _ := readAllParts(t, dir)
		if bad := damages(findings); len(bad) > 0 {
			t.Errorf("findings %v", bad)
		}
		for _, f := range findings {
			if f.Part == "delivered" {
				return f
			}
		}
		t.Fatal("no finding")
		return Finding{}
	}
	if f := note(); f.Level != Whole || !strings.Contains(f.Text, "up to 20") {
		t.Error(f)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range [][]byte{nil, append([]byte{b[0] ^ 1}, b[1:]...)} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if f := note(); f.Level != Note {
			t.Error(f)
		}
	}
}
