package fulldisk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pawl/pkg/store"
)

// writerEnv makes this test binary write checkpoints into the directory that it names.
const writerEnv = "PAWL_FULLDISK_WRITER"

// The checkpoint of TestANeighbourTakesTheLastByteWhileACheckpointIsWritten: enough for several logs and tables of the database.
const (
	chunks     = 36 // ends in the middle of a log, of 8 MB
	chunkPages = 64
	pageBytes  = 16 << 10
)

// writeCheckpoint writes one, chunk by chunk. It says when there is room for the next chunk, and writes it when it is told to.
func writeCheckpoint(dir string) error {
	s, err := store.OpenState(dir, nil, nil)
	if err != nil {
		return err
	}
	told := bufio.NewScanner(os.Stdin)
	d := s.Begin(1)
	rng := rand.New(rand.NewPCG(1, 1))
	for c := range chunks {
		for p := range chunkPages {
			page := make([]byte, pageBytes)
			for i := range page {
				page[i] = byte(rng.Uint32())
			}
			d.Put(fmt.Appendf(nil, "s%02d%02d", c, p), page)
		}
		err := inRoom(s, int64(d.Pending()), func() error {
			fmt.Println("room")
			if !told.Scan() {
				return io.ErrUnexpectedEOF
			}
			err := d.Flush()
			if errors.Is(err, store.ErrNoRoom) {
				fmt.Println("flushed") // nothing of it, and it will be said again
			}
			return err
		})
		if err != nil {
			return err
		}
		fmt.Println("flushed")
	}
	err = errors.Join(d.Write(), inRoom(s, 1, func() error { return nil })) // the log that this began has its successor, as between any two steps
	if err != nil {
		return err
	}
	fmt.Println("written")
	if !told.Scan() {
		return io.ErrUnexpectedEOF
	}
	if err := inRoom(s, 0, d.Declare); err != nil {
		return err
	}
	fmt.Println("declared")
	if !told.Scan() {
		return io.ErrUnexpectedEOF
	}
	if err := s.Close(); err != nil {
		return err
	}
	fmt.Println("good")
	return nil
}

// inRoom does what the sequencer does.
func inRoom(s *store.State, n int64, do func() error) error {
	for {
		for !s.Room(n) {
			time.Sleep(time.Millisecond)
		}
		if err := do(); !errors.Is(err, store.ErrNoRoom) {
			return err
		}
	}
}

// Rule: a neighbour that takes the last byte of the disk between the check for room and the write of a checkpoint, or while the database
// makes a table of what was written, makes it wait for space. It never is the SIGBUS that a page of a mapped file without a block is.
func TestANeighbourTakesTheLastByteWhileACheckpointIsWritten(t *testing.T) {
	each(t, func(t *testing.T, seed uint64) {
		disk, ok := mountDisk(t, diskBytes)
		if !ok {
			t.Log("pkg/store tests that the database's files have no holes")
			return
		}
		dir := filepath.Join(disk, "state")
		w := startWriter(t, dir)
		rng := rand.New(rand.NewPCG(seed, 0))
		for w.next() == "room" {
			giveBack := sync.OnceFunc(fill(t, disk, 0))
			w.tell("write")
			if rng.IntN(2) == 0 {
				time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
				giveBack()
			}
			// Mostly it needs no more than what it had. Where a table must be made of what was written before, it waits.
			late := time.AfterFunc(time.Second, giveBack)
			w.says("flushed")
			late.Stop()
			giveBack()
		}
		if last := w.said.Text(); last != "written" {
			t.Fatalf("it ends with %q:\n%s", last, firstLines(w.log.String(), 12))
		}
		giveBack := fill(t, disk, 1<<20) // what is written can be declared on a full disk, in what its log has left: only that lets the journal be cut
		w.tell("declare it")
		w.says("declared")
		giveBack()
		w.tell("end")
		w.says("good")
		if err := w.cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		s, err := store.OpenState(dir, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if good, _ := s.Good(); good.Keys != chunks*chunkPages {
			t.Errorf("%d keys, want %d", good.Keys, chunks*chunkPages)
		}
	})
}

// Rule: a checkpoint that the database's open log takes for certain is written and declared on a full disk: only it lets the journal be
// cut, and where the journal is what fills the disk nothing else gives space back. That what an unfinished one left is put back too.
func TestASmallCheckpointIsWrittenOnAFullDisk(t *testing.T) {
	disk, ok := mountDisk(t, diskBytes)
	if !ok {
		t.Log("pkg/store tests what the open log takes")
		return
	}
	s, err := store.OpenState(filepath.Join(disk, "state"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	now := func(n int64, do func() error) {
		t.Helper()
		if !s.Room(n) {
			t.Fatalf("no room for %d bytes", n)
		}
		must(do())
	}
	first := s.Begin(1)
	first.Put([]byte("sa"), []byte("old"))
	must(errors.Join(first.Write(), first.Declare()))
	unfinished := s.Begin(2)
	unfinished.Put([]byte("sa"), []byte("new"))
	unfinished.Put([]byte("sb"), []byte("new"))
	must(unfinished.Flush())
	unfinished.Abandon()

	giveBack := fill(t, disk, 64<<10)
	defer giveBack()
	small := s.Begin(3)
	small.Put([]byte("sc"), make([]byte, pageBytes))
	now(pageBytes, small.Flush)
	now(1, small.Write)
	now(0, small.Declare)
	if a, _, err := s.Get([]byte("sa")); string(a) != "old" || err != nil {
		t.Errorf("sa is %q, %v", a, err)
	}
	if _, found, err := s.Get([]byte("sb")); found || err != nil {
		t.Errorf("sb is there, %v", err)
	}

	large := s.Begin(4)
	for p := range 9 << 20 / pageBytes {
		large.Put(fmt.Appendf(nil, "s%04d", p), make([]byte, pageBytes))
	}
	if s.Room(int64(large.Pending())) {
		t.Error("there is room for more than the open log takes, and no next one")
	}
	large.Abandon()
}

// writer is the process that writes the checkpoint.
type writer struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.Writer
	said *bufio.Scanner
	log  strings.Builder
}

func startWriter(t *testing.T, dir string) *writer {
	t.Helper()
	w := &writer{t: t, cmd: exec.Command("/proc/self/exe")}
	w.cmd.Env = append(os.Environ(), writerEnv+"="+dir)
	w.cmd.Stderr = &w.log
	in, err := w.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.in, w.said = in, bufio.NewScanner(out)
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(patience, func() { _ = w.cmd.Process.Signal(syscall.SIGQUIT) }) // it says where
	t.Cleanup(func() { stuck.Stop(); _ = w.cmd.Process.Kill() })
	return w
}

func (w *writer) tell(line string) {
	w.t.Helper()
	if _, err := fmt.Fprintln(w.in, line); err != nil {
		w.t.Fatal(err)
	}
}

func (w *writer) next() string {
	w.said.Scan()
	return w.said.Text()
}

func (w *writer) says(word string) {
	w.t.Helper()
	if !w.said.Scan() || w.said.Text() != word {
		err := w.cmd.Wait()
		w.t.Fatalf("it says %q instead of %q and ends with %v:\n%s", w.said.Text(), word, err, firstLines(w.log.String(), 12))
	}
}

func firstLines(s string, n int) string {
	lines := strings.SplitAfterN(s, "\n", n+1)
	return strings.Join(lines[:min(n, len(lines))], "")
}
