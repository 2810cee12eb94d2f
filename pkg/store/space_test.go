package store

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestBallastTakesRealBlocksAndGivesThemBack(t *testing.T) {
	dir := t.TempDir()
	b := NewBallast(dir, 8<<20)
	if b.Held() != 0 {
		t.Errorf("held %d before Fill", b.Held())
	}
	for range 2 {
		if err := b.Fill(); err != nil {
			t.Fatal(err)
		}
		if got := b.Held(); got < 8<<20 {
			t.Errorf("held %d: the file is sparse", got)
		}
	}
	for range 2 {
		if err := b.Release(); err != nil {
			t.Fatal(err)
		}
	}
	if b.Held() != 0 {
		t.Errorf("held %d after Release", b.Held())
	}
}

func TestBallastIsAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	free, _, err := FreeSpace(dir)
	if err != nil {
		t.Fatal(err)
	}
	b := NewBallast(dir, free*4)
	if err := b.Fill(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("Fill = %v", err)
	}
	if b.Held() != 0 {
		t.Errorf("held %d", b.Held())
	}
}

func TestBallastWithoutFallocateIsWritten(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := writeZeros(f, 3<<20+5); err != nil {
		t.Fatal(err)
	}
	if st, err := f.Stat(); err != nil || st.Size() != 3<<20+5 {
		t.Errorf("%v, %v", st.Size(), err)
	}
}

func TestFreeSpaceIsOfTheFileSystemOfThePath(t *testing.T) {
	free, used, err := FreeSpace(t.TempDir())
	if err != nil || free <= 0 || used <= 0 || used >= 100 {
		t.Errorf("FreeSpace = %d, %v, %v", free, used, err)
	}
	if _, _, err := FreeSpace(filepath.Join(t.TempDir(), "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("FreeSpace of nothing: %v", err)
	}
}

func TestStoragePathBelongsToOneProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	l, err := LockPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LockPath(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("second LockPath: %v", err)
	}
	mustClose(t, closer(l.Unlock))
	if l, err = LockPath(dir); err != nil {
		t.Fatal(err)
	}
	mustClose(t, closer(l.Unlock))
}

type closer func() error

func (c closer) Close() error { return c() }
