package sequence

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"pawl/pkg/forward"
)

// Rule: memory is flat whatever the length of the backlog: while the upstream
// takes nothing, requests are held up to the bytes of tail and window, the rest
// waits in the journal, and all of it goes out in order afterwards.
func TestTheBacklogWaitsOnDisk(t *testing.T) {
	const tail, window = 512 << 10, 512 << 10
	j, st := openStore(t, t.TempDir())
	out := make(chan forward.Item) // nobody takes from it yet
	mark := forward.NewMark(0)
	o := options(j, st, mark, out)
	o.TailBytes, o.WindowBytes = tail, window
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- s.Run(ctx) }()
	at, one := scrapes(100), int64(0)
	commit := func(from, to int) {
		for k := from; k < to; k++ {
			r := Borrow(0)
			r.Body = append(r.Body, at(k)...)
			if err := r.Batch.Decode(1, "", r.Body, trusted); err != nil {
				t.Fatal(err)
			}
			one = max(one, r.weigh())
			if err := s.Commit(r); err != nil {
				t.Fatal(err)
			}
			if held := s.writer.flow.bytes.Load(); held > window {
				t.Fatalf("request %d: %d bytes are in flight, %d are allowed", k, held, window)
			}
			s.feed.mu.Lock()
			if s.feed.bytes > tail {
				t.Fatalf("request %d: %d bytes wait in memory, %d are allowed", k, s.feed.bytes, tail)
			}
			s.feed.mu.Unlock()
		}
	}
	heap := func() int64 {
		var m runtime.MemStats
		for range 3 { // pools are emptied by the second
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	const few, many = 100, 3000
	commit(0, few)
	short := heap()
	commit(few, many)
	if one*many < 20*(tail+window) {
		t.Fatalf("a backlog of %d bytes would prove nothing", one*many)
	}
	// What grows is the journal's index, some bytes a record.
	if grew := heap() - short; grew > tail+window {
		t.Errorf("the heap grew by %d bytes with a backlog of %d more", grew, one*(many-few))
	}
	for k := range many {
		var it forward.Item
		select {
		case it = <-out:
		case <-time.After(20 * time.Second):
			t.Fatalf("batch %d did not come within 20 s", k)
		}
		if want := fmt.Sprint(1_790_000_000_000 + int64(k)*15_000); fmt.Sprint(it.Batch.Samples[0].T) != want {
			t.Fatalf("batch %d has time %d, want %s", k, it.Batch.Samples[0].T, want)
		}
		mark.Done(it.Seq)
		it.Done()
	}
	cancel()
	if err := <-over; err != nil {
		t.Error(err)
	}
	if held := s.writer.flow.bytes.Load(); held != 0 {
		t.Errorf("%d bytes are still counted as in flight", held)
	}
}

// Rule (RELIABILITY.md, a failed fsync ends the relay): a checkpoint that cannot be written ends the run with its error. It
// waited for that checkpoint again, for ever.
func TestACheckpointThatFailsEndsTheRun(t *testing.T) {
	j, st := openStore(t, t.TempDir())
	out := make(chan forward.Item, 1)
	s, err := New(options(j, st, forward.NewMark(0), out))
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() { over <- s.Run(t.Context()) }()
	r := Borrow(0)
	r.Body = append(r.Body, scrapes(1)(0)...)
	if err := r.Batch.Decode(1, "", r.Body, trusted); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(r); err != nil {
		t.Fatal(err)
	}
	<-out
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	s.CheckpointNow()
	select {
	case err := <-over:
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it goes on")
	}
}
