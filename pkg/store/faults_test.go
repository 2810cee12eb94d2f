package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// failNth is a disk whose nth matching operation fails once, after allow of its bytes.
type failNth struct {
	op    operation
	base  string // suffix of the file's name
	nth   int
	allow int
	err   error
	hit   bool
}

func (f *failNth) disk() disk {
	return disk{unsynced: true, fault: func(op operation, path string, n int) (int, error) {
		if op != f.op || !strings.HasSuffix(path, f.base) || f.hit {
			return n, nil
		}
		if f.nth--; f.nth > 0 {
			return n, nil
		}
		f.hit = true
		return min(n, f.allow), f.err
	}}
}

// TestOperationThatFailsOnceThenRetryAndReopenAgree lets each kind of operation fail once at every place: what Append had acknowledged
// is there after reopening, what it had not is either whole or gone, and the journal that failed refuses for good.
func TestOperationThatFailsOnceThenRetryAndReopenAgree(t *testing.T) {
	for _, f := range []failNth{
		{op: opWrite, base: ".seg", err: syscall.ENOSPC},
		{op: opWrite, base: ".seg", allow: 1, err: syscall.ENOSPC},
		{op: opWrite, base: ".seg", allow: 60, err: syscall.EIO},
		{op: opWrite, base: ".seg", allow: 1 << 20, err: syscall.EIO},
		{op: opSync, base: ".seg", err: syscall.EIO},
		{op: opWrite, base: "head", err: syscall.EIO},
		{op: opWrite, base: "head", allow: 30, err: syscall.EIO},
		{op: opSync, base: "head", err: syscall.EIO},
		{op: opCreate, base: ".seg", err: syscall.ENOSPC},
		{op: opWrite, base: ".tmp", allow: 10, err: syscall.ENOSPC},
		{op: opSync, base: ".tmp", err: syscall.EIO},
		{op: opRename, base: ".seg", err: syscall.EIO},
		{op: opSync, base: "journal", err: syscall.EIO},
	} {
		for nth := 1; nth <= 6; nth++ {
			t.Run(fmt.Sprintf("%s %s after %d bytes, %d", f.op, f.base, f.allow, nth), func(t *testing.T) {
				f := f
				f.nth = nth
				dir := filepath.Join(t.TempDir(), "journal")
				mustClose(t, openJournal(t, dir, JournalOptions{}))
				j, err := OpenJournal(dir, JournalOptions{SegmentBytes: 600, Sync: true, disk: f.disk()})
				if err != nil {
					if !errors.Is(err, f.err) {
						t.Fatalf("open: %v", err)
					}
					checkOpens(t, dir, 0, 0)
					return
				}
				acknowledged, failed := appendUntilFailure(t, j, f.err)
				if errors.Is(failed, ErrFull) {
					goesOnWithSpace(t, dir, j, acknowledged)
					return
				}
				if failed != nil {
					if errors.Is(f.err, syscall.ENOSPC) && f.op != opSync {
						t.Errorf("want of space is final: %v", failed)
					}
					if got := j.Append(samples(1, 1)); !errors.Is(got, failed) && got.Error() != failed.Error() {
						t.Errorf("retry: %v, want again %v", got, failed)
					}
					if err := j.Cut(2); err == nil {
						t.Error("a failed journal can be cut")
					}
					if got, err := readAll(j, 1); err != nil || len(got) != acknowledged {
						t.Errorf("after the failure readers see %d records, %d were acknowledged (%v)", len(got), acknowledged, err)
					}
				}
				_ = j.Close()
				checkOpens(t, dir, acknowledged, acknowledged+3)
			})
		}
	}
}

// goesOnWithSpace holds that an append for which there was no space left the journal as it was: what it had is read, the next append
// succeeds, and all of it is there after reopening.
func goesOnWithSpace(t *testing.T, dir string, j *Journal, acknowledged int) {
	t.Helper()
	if got, err := readAll(j, 1); err != nil || len(got) != acknowledged {
		t.Errorf("readers see %d records, %d were acknowledged (%v)", len(got), acknowledged, err)
	}
	var bytes int64
	for name, b := range readFiles(t, dir) {
		if _, ok := segmentSeq(name); ok {
			bytes += int64(len(b))
		}
	}
	if j.Bytes() != bytes {
		t.Errorf("Bytes() = %d, the segments have %d", j.Bytes(), bytes)
	}
	for i := range 7 {
		mustAppend(t, j, samples(acknowledged+1+3*i, 3)...)
	}
	mustClose(t, j)
	checkOpens(t, dir, acknowledged+21, acknowledged+21)
}

// appendUntilFailure appends groups of 3 and returns how many records were acknowledged.
func appendUntilFailure(t *testing.T, j *Journal, want error) (acknowledged int, failed error) {
	for acknowledged < 60 {
		if err := j.Append(samples(acknowledged+1, 3)); err != nil {
			if !errors.Is(err, want) {
				t.Fatalf("Append: %v, want %v", err, want)
			}
			return acknowledged, err
		}
		acknowledged += 3
	}
	return acknowledged, nil
}

// checkOpens wants between least and most records, whole, and a journal that goes on.
func checkOpens(t *testing.T, dir string, least, most int) {
	t.Helper()
	j := openJournal(t, dir, JournalOptions{SegmentBytes: 600, Sync: true})
	got, err := readAll(j, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) < least || len(got) > most {
		t.Fatalf("%d records after reopening, %d were acknowledged", len(got), least)
	}
	wantSamples(t, got, 1, len(got))
	mustAppend(t, j, sample(len(got)+1))
	mustClose(t, j)
}

func TestFailedSyncInIntervalModeStopsTheJournal(t *testing.T) {
	f := failNth{op: opSync, base: ".seg", nth: 2, err: syscall.EIO} // the first is opening's
	dir := t.TempDir()
	mustClose(t, openJournal(t, dir, JournalOptions{}))
	j := openJournal(t, dir, JournalOptions{disk: f.disk()})
	mustAppend(t, j, sample(1))
	if err := j.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Sync = %v", err)
	}
	for _, err := range []error{j.Append(samples(2, 1)), j.Sync(), j.Err(), j.Close()} {
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("after a failed sync: %v", err)
		}
	}
}

func TestInterruptedCutIsFinishedByTheNextStart(t *testing.T) {
	for nth := 1; nth <= 3; nth++ {
		f := failNth{op: opRemove, base: ".seg", nth: nth, err: syscall.EIO}
		dir := t.TempDir()
		j := openJournal(t, dir, JournalOptions{SegmentBytes: 1, Sync: true, disk: f.disk()})
		for n := 1; n <= 6; n++ {
			mustAppend(t, j, sample(n))
		}
		if err := j.Cut(5); !errors.Is(err, syscall.EIO) {
			t.Fatalf("Cut = %v", err)
		}
		if j.First() != 5 {
			t.Errorf("First() = %d", j.First())
		}
		mustClose(t, j)
		j = openJournal(t, dir, JournalOptions{SegmentBytes: 1, Sync: true})
		got, err := readAll(j, j.First())
		if err != nil {
			t.Fatal(err)
		}
		wantSamples(t, got, 5, 2)
		if m, _ := filepath.Glob(filepath.Join(dir, "*.seg")); len(m) != 2 {
			t.Errorf("left: %v", m)
		}
		mustClose(t, j)
	}
}
