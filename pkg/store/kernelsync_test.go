package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// kernelSyncOrSkip opens one; where a kernel or a sandbox has none to give there is nothing to test.
func kernelSyncOrSkip(t *testing.T) *kernelSync {
	t.Helper()
	k, err := openKernelSync()
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		t.Skipf("no asynchronous I/O here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.close(); err != nil {
			t.Error(err)
		}
	})
	return k
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

// deafen lets no sync tell any more how it ended.
func deafen(t *testing.T, k *kernelSync) {
	t.Helper()
	if err := k.done.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
}

// Rule: a sync has fdatasync's outcomes, whoever does it.
func TestASyncByTheKernelSaysWhatFdatasyncSays(t *testing.T) {
	k, f := kernelSyncOrSkip(t), openedFile(t)
	good, pipe := int(f.Fd()), int(pipeEnd(t).Fd())
	for i := range 300 {
		for _, fd := range []int{good, pipe, 1 << 20} {
			if got, want := k.sync(fd), fdatasync(fd); !errors.Is(got, want) {
				t.Fatalf("round %d, file %d: %v by the kernel, %v by fdatasync", i, fd, got, want)
			}
		}
	}
	if fdatasync(good) != nil || !errors.Is(fdatasync(pipe), unix.EINVAL) || !errors.Is(fdatasync(1<<20), unix.EBADF) {
		t.Error("the three files do not tell three outcomes apart")
	}
}

// Rule: what the kernel does not take is synced all the same.
func TestWhatTheKernelDoesNotTakeIsSyncedAllTheSame(t *testing.T) {
	k, f := kernelSyncOrSkip(t), openedFile(t)
	context := k.context
	k.context = 1 // there is none
	for range 3 {
		if err := k.sync(int(f.Fd())); err != nil {
			t.Error(err)
		}
		if err := k.sync(1 << 20); !errors.Is(err, unix.EBADF) {
			t.Errorf("%v, want what fdatasync says", err)
		}
	}
	k.context = context
	if err := k.sync(int(f.Fd())); err != nil {
		t.Error(err)
	}
}

// Rule: a sync that failed is not tried again: the second one says nothing, for the kernel has marked the pages clean
// (PostgreSQL's fsync trouble of 2018).
func TestAFailedSyncIsToldAndNotTriedAgain(t *testing.T) {
	for result, want := range map[int64]error{0: nil, -int64(unix.EIO): unix.EIO, -int64(unix.ENOSPC): unix.ENOSPC, -int64(unix.EDQUOT): unix.EDQUOT} {
		if err := (aioEvent{result: result}).err(); !errors.Is(err, want) {
			t.Errorf("after %d: %v, want %v", result, err, want)
		}
	}
	k, f := kernelSyncOrSkip(t), openedFile(t)
	deafen(t, k)
	if err := k.sync(int(f.Fd())); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v for a sync of which nothing is known, want an error", err)
	}
}

// Rule: a journal that is asked to has the kernel sync it, and one that cannot goes on by itself.
func TestTheJournalIsSyncedByTheKernel(t *testing.T) {
	kernelSyncOrSkip(t)
	open := func() *Journal {
		j, err := OpenJournal(t.TempDir(), JournalOptions{Sync: true, KernelSync: true})
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	tick := []Record{{Time: 1, Kind: KindTick}}

	j := open()
	if err := j.Append(tick); err != nil {
		t.Error(err)
	}
	deafen(t, j.kernel)
	if err := j.Append(tick); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v: the kernel was not asked", err)
	}
	_ = j.Close()

	j = open()
	if err := j.kernel.close(); err != nil {
		t.Fatal(err)
	}
	j.kernel = nil // as where openKernelSync failed
	if err := j.Append(tick); err != nil {
		t.Error(err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}
