package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// ringOrSkip opens a ring; where the kernel or a container has none to give there is nothing to test.
func ringOrSkip(t *testing.T) *syncRing {
	t.Helper()
	r, err := openSyncRing()
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		t.Skipf("no io_uring here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func openedFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteString("text"); err != nil {
		t.Fatal(err)
	}
	return f
}

// pipeEnd is an open file that cannot be synced.
func pipeEnd(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return w
}

func TestASyncByRingSaysWhatFdatasyncSays(t *testing.T) {
	r, f := ringOrSkip(t), openedFile(t)
	good, pipe := int(f.Fd()), int(pipeEnd(t).Fd())
	for i := range 300 {
		for _, fd := range []int{good, pipe, 1 << 20} {
			if got, want := r.sync(fd), fdatasync(fd); !errors.Is(got, want) {
				t.Fatalf("round %d, file %d: %v by ring, %v by fdatasync", i, fd, got, want)
			}
		}
	}
	if fdatasync(good) != nil || !errors.Is(fdatasync(pipe), unix.EINVAL) || !errors.Is(fdatasync(1<<20), unix.EBADF) {
		t.Error("the three files do not tell three outcomes apart")
	}
}

func TestWhatARingDoesNotTakeIsSyncedAllTheSame(t *testing.T) {
	r, f := ringOrSkip(t), openedFile(t)
	ring := r.fd
	r.fd = int(f.Fd()) // no ring
	for range 3 {
		if err := r.sync(int(f.Fd())); err != nil {
			t.Error(err)
		}
		if err := r.sync(1 << 20); !errors.Is(err, unix.EBADF) {
			t.Errorf("%v, want what fdatasync says", err)
		}
	}
	r.fd = ring
	if err := r.sync(int(f.Fd())); err != nil {
		t.Error(err)
	}
	if done := *r.word(r.at.cq.tail); done != 2 { // the first is openSyncRing's own
		t.Errorf("the ring did %d operations, want 2: what was not taken must not be left in it", done)
	}
}

// told is a ring by which the kernel has just said so.
func told(t *testing.T, result int32) *syncRing {
	t.Helper()
	r := &syncRing{rings: make([]byte, 64)}
	r.at.cq.tail, r.at.cq.mask, r.at.cq.cqes = 4, 8, 16
	*r.word(4) = 1
	*r.word(16 + 8) = uint32(result)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	r.done = out
	t.Cleanup(func() { out.Close(); in.Close() })
	return r
}

// A sync that failed once says nothing the second time: the kernel has marked the pages clean (PostgreSQL's fsync trouble of 2018).
func TestAFailedSyncIsNotTriedAgain(t *testing.T) {
	fd := int(openedFile(t).Fd())
	for errno, want := range map[unix.Errno]error{
		unix.EIO: unix.EIO, unix.ENOSPC: unix.ENOSPC, unix.EDQUOT: unix.EDQUOT,
		unix.ECANCELED: nil, unix.EINTR: nil, unix.EAGAIN: nil, // it has not begun
	} {
		if err := told(t, -int32(errno)).outcome(fd); !errors.Is(err, want) {
			t.Errorf("after %v: %v, want %v", errno, err, want)
		}
	}
}

func TestTheJournalSyncsByRing(t *testing.T) {
	if r := ringOrSkip(t); r == nil {
		t.Fatal("no ring")
	}
	j, err := OpenJournal(t.TempDir(), JournalOptions{Sync: true})
	if err != nil {
		t.Fatal(err)
	}
	before := *j.ring.word(j.ring.at.cq.tail)
	for range 5 {
		if err := j.Append([]Record{{Time: 1, Kind: KindTick}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := *j.ring.word(j.ring.at.cq.tail) - before; n != 5 {
		t.Errorf("%d syncs by ring for 5 groups", n)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

func TestTheJournalSyncsWithoutARing(t *testing.T) {
	j, err := OpenJournal(t.TempDir(), JournalOptions{Sync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.ring.close(); err != nil {
		t.Fatal(err)
	}
	j.ring = nil // as where openSyncRing failed
	if err := j.Append([]Record{{Time: 1, Kind: KindTick}}); err != nil {
		t.Error(err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}
