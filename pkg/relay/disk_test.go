package relay

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"pawl/pkg/config"
	"pawl/pkg/store"
)

// Rule: whoever lets the relay fill the disk beyond what a checkpoint needs is told at the start.
func TestAWatermarkUnderWhatACheckpointNeedsIsWarnedOf(t *testing.T) {
	for _, c := range []struct {
		free    config.Bytes
		percent int
		warned  bool
	}{
		{512 * config.MB, 90, false}, {52 * config.MB, 100, false}, {50 * config.MB, 100, true}, {0, 90, false}, {config.KB, 100, true}, {0, 100, true},
	} {
		var log strings.Builder
		d := &disk{path: t.TempDir(), log: slog.New(slog.NewTextHandler(&log, nil))}
		if err := d.makeRoom(config.Storage{MinFreeBytes: c.free, MaxUsedPercent: c.percent}); err != nil {
			t.Fatal(err)
		}
		if warned := strings.Contains(log.String(), "storage.min_free_bytes"); warned != c.warned {
			t.Errorf("%+v: %s", c, &log)
		}
	}
}

// Rule: on a disk that takes nothing, what was delivered is noted once it does, and the log hears of it once, not five times a second.
func TestWhatWasDeliveredIsNotedOnceTheDiskTakesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		j, err := store.OpenJournal(dir, store.JournalOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		if err := j.Append([]store.Record{{Kind: store.KindTick}, {Kind: store.KindTick}}); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		d := &disk{journal: j, note: store.NewDelivered(dir, j), log: slog.New(slog.NewTextHandler(&log, nil))}
		inTheWay := filepath.Join(dir, "delivered.tmp")
		if err := os.Mkdir(inTheWay, 0o700); err != nil {
			t.Fatal(err)
		}
		var low atomic.Uint64
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.noteDelivered(ctx, low.Load) }()
		synctest.Wait()
		low.Store(2)
		time.Sleep(20 * noteEvery)
		if err := os.Remove(inTheWay); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * noteEvery)
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if seq, err := d.note.Load(); seq != 2 || err != nil {
			t.Errorf("noted: %d, %v", seq, err)
		}
		if n := strings.Count(log.String(), "\n"); n != 2 {
			t.Errorf("%d lines, want one of the failure and one of its end:\n%s", n, &log)
		}
	})
}

// Rule: where the kernel has asynchronous I/O, the journal is synced by it (decision 0026).
func TestTheJournalIsSyncedByTheKernel(t *testing.T) {
	var context uintptr
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&context)), 0); errno != 0 {
		t.Skipf("no asynchronous I/O here: %v", errno)
	}
	if _, _, errno := unix.Syscall(unix.SYS_IO_DESTROY, context, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
	const mapped = "[aio]" // of a context of the process
	if b, err := os.ReadFile("/proc/self/maps"); err != nil || strings.Contains(string(b), mapped) {
		t.Fatalf("there is one before the relay is (%v)", err)
	}
	start(t, t.TempDir(), "http://127.0.0.1:9", "")
	if b, err := os.ReadFile("/proc/self/maps"); err != nil || !strings.Contains(string(b), mapped) {
		t.Errorf("there is none (%v)", err)
	}
}
