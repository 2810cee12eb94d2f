package store

import (
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestReadersBesideAppendAndCutSeeEveryAcknowledgedRecordOnce(t *testing.T) {
	j := openJournal(t, t.TempDir(), JournalOptions{SegmentBytes: 5000, Sync: true})
	const n = 1500
	var wg sync.WaitGroup
	read := make([]chan uint64, 3)
	for i := range read {
		read[i] = make(chan uint64, n)
		wg.Go(func() { follow(t, j, n, read[i]) })
	}
	wg.Go(func() { // cuts behind the slowest reader
		var slowest uint64
		for slowest < n {
			slowest = n
			for i := range read {
				slowest = min(slowest, <-read[i])
			}
			if slowest%50 == 0 {
				if err := j.Cut(slowest); err != nil {
					t.Error(err)
					return
				}
			}
			j.Backlog(slowest)
		}
	})
	for i := 1; i <= n; i += 5 {
		mustAppend(t, j, samples(i, 5)...)
	}
	wg.Wait()
	if j.First() < n/2 {
		t.Errorf("First() = %d: nothing was cut", j.First())
	}
}

// follow reads records 1 to n as they come and reports each.
func follow(t *testing.T, j *Journal, n int, read chan<- uint64) {
	defer close(read)
	r, err := j.Reader(1)
	if err != nil {
		t.Error(err)
		return
	}
	defer r.Close()
	for seq := 1; seq <= n; {
		got, err := r.Next()
		if errors.Is(err, io.EOF) {
			time.Sleep(100 * time.Microsecond)
			continue
		}
		if err != nil {
			t.Error(err)
			return
		}
		want := sample(seq)
		want.Seq = uint64(seq)
		if err := sameRecord(got, want); err != nil {
			t.Error(err)
			return
		}
		if end := j.End(); got.Seq >= end {
			t.Errorf("read record %d before it was acknowledged", got.Seq)
		}
		read <- got.Seq
		seq++
	}
}

func TestIntervalModeSyncsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ops ops
		j, err := OpenJournal(t.TempDir(), JournalOptions{SyncInterval: time.Second, disk: ops.disk()})
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, j, sample(1))
		ops.take()
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if did := ops.take(); len(did) == 0 || did[0] != "sync "+segmentName(1) {
			t.Errorf("after the interval: %v", did)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if did := ops.take(); len(did) != 0 {
			t.Errorf("nothing to sync, but: %v", did)
		}
		mustClose(t, j)
	})
}
