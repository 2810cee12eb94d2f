package store

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// startChild runs this test binary as a process of its own.
func startChild(t *testing.T, role, dir string) (*exec.Cmd, *bufio.Scanner, *bytes.Buffer) {
	t.Helper()
	c := exec.Command(os.Args[0], dir)
	c.Env = append(os.Environ(), childEnv+"="+role, "GORACE=atexit_sleep_ms=0")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewScanner(out), &stderr
}

// killAfter lets the child print lines until the given number of them, and kills it a random moment later. It returns the numbers
// that begin the lines, by the word that follows.
func killAfter(t *testing.T, rng *rand.Rand, role, dir string, lines int) map[string]uint64 {
	t.Helper()
	c, out, stderr := startChild(t, role, dir)
	last := map[string]uint64{}
	n := 0
	for out.Scan() {
		num, word, _ := strings.Cut(out.Text(), " ")
		seq, err := strconv.ParseUint(num, 10, 64)
		if err != nil {
			t.Errorf("child says: %s", out.Text())
			continue
		}
		last[word] = seq
		if n++; n == lines {
			time.AfterFunc(time.Duration(rng.IntN(5000))*time.Microsecond, func() { _ = c.Process.Kill() })
		}
	}
	err := c.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("child ended by itself: %v\n%s", err, stderr)
	}
	return last
}

// childAppend appends to the journal in dir, cuts now and then, and prints the last seq of every acknowledged group.
func childAppend(dir string) error {
	j, err := OpenJournal(dir, JournalOptions{SegmentBytes: 4000, Sync: true})
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(uint64(os.Getpid()), 1))
	for {
		end := j.End()
		group := samples(int(end), 1+rng.IntN(20))
		if err := j.Append(group); err != nil {
			return err
		}
		fmt.Println(group[len(group)-1].Seq, "acknowledged")
		if rng.IntN(10) == 0 && end > 100 {
			if err := j.Cut(end - 100); err != nil {
				return err
			}
			fmt.Println(end-100, "cut")
		}
	}
}

func TestEverythingAcknowledgedBeforeKillIsReadBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	dir := t.TempDir()
	for round := range 10 * *torture {
		last := killAfter(t, rng, "append", dir, 1+rng.IntN(30))
		j, err := OpenJournal(dir, JournalOptions{SegmentBytes: 4000, Sync: true})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if j.End() <= last["acknowledged"] {
			t.Fatalf("round %d: record %d was acknowledged, the journal ends before %d", round, last["acknowledged"], j.End())
		}
		if j.First() > j.End()-min(100, j.End()-1) {
			t.Fatalf("round %d: journal has only records %d to %d, the newest 100 are never cut", round, j.First(), j.End()-1)
		}
		got, err := readAll(j, j.First())
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		wantSamples(t, got, int(j.First()), int(j.End()-j.First()))
		mustClose(t, j)
	}
}

// crashState does without syncs, since a kill leaves the page cache; its memtable is small so that flushes and compactions happen.
var crashState = stateOptions{memTable: 1 << 20, disk: disk{unsynced: true}}

const crashKeys = 10_000

// childCheckpoint writes checkpoints in which every key has the checkpoint's seq as its value, and the number of keys depends on it.
func childCheckpoint(dir string) error { return checkpoints(dir, crashState) }

// childResting does the same and closes the database whenever it can, so that a kill meets it there, and where it is opened again.
func childResting(dir string) error { return checkpoints(dir, restingState) }

func checkpoints(dir string, o stateOptions) error {
	s, err := openState(dir, nil, nil, o)
	if err != nil {
		return err
	}
	for {
		good, _ := s.Good()
		seq := good.Seq + 1
		d := s.Begin(seq)
		for i := range crashKeys {
			if key := fmt.Appendf(nil, "s%06d", i); i < crashLive(seq) {
				d.Put(key, strconv.AppendUint([]byte("a value of usual length, of checkpoint "), seq, 10))
			} else {
				d.Delete(key)
			}
		}
		fmt.Println(seq, "writing")
		if err := d.Write(); err != nil {
			return err
		}
		if o.idle > 0 {
			restNow(s)
		}
		fmt.Println(seq, "declaring")
		if err := d.Declare(); err != nil {
			return err
		}
		fmt.Println(seq, "declared")
	}
}

func crashLive(seq uint64) int { return crashKeys - int(seq%7)*500 }

func TestStateIsUniformAtTheGoodVersionAfterKill(t *testing.T) {
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	dir := t.TempDir()
	torn := 0
	var known uint64
	for round := range 6 * *torture {
		last := killAfter(t, rng, []string{"checkpoint", "resting"}[round%2], dir, 1+rng.IntN(8))
		s, err := openState(dir, nil, nil, crashState)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		good, _ := s.Good()
		known = max(known, last["declared"])
		if good.Seq < known || good.Seq > max(known, last["declaring"]) {
			t.Fatalf("round %d: checkpoint %d was declared and %d being declared, but %d is good", round, known, last["declaring"], good.Seq)
		}
		known = good.Seq
		if s.leftovers {
			torn++
		}
		n := 0
		err = s.Load([]byte("s"), func(k, v []byte) error {
			n++
			if want := fmt.Sprintf("a value of usual length, of checkpoint %d", good.Seq); string(v) != want {
				return fmt.Errorf("%s is %q, want %q", k, v, want)
			}
			return nil
		})
		if want := crashLive(good.Seq); err != nil || good.Seq > 0 && n != want {
			t.Fatalf("round %d: %d keys, want %d: %v", round, n, want, err)
		}
		mustClose(t, s)
	}
	t.Logf("%d of %d kills left a torn checkpoint", torn, 6**torture)
}

// childOpenState prints what the state in dir is.
func childOpenState(dir string) error {
	s, err := openState(dir, nil, nil, crashState)
	var se *StateError
	if errors.As(err, &se) {
		fmt.Println("refused:", se)
		return nil
	}
	if err != nil {
		return err
	}
	good, _ := s.Good()
	var sum uint64
	n := 0
	if err := s.Load([]byte("s"), func(k, v []byte) error { n++; sum += pairSum(k, v); return nil }); err != nil {
		return err
	}
	fmt.Println(good.Seq, n, sum)
	return s.Close()
}

// openInChild opens the state in dir in a process of its own, because Badger may panic in goroutines of its own.
func openInChild(t *testing.T, dir string) string {
	t.Helper()
	c, out, stderr := startChild(t, "open-state", dir)
	text := ""
	for out.Scan() {
		text += out.Text() + "\n"
	}
	if err := c.Wait(); err != nil {
		text += fmt.Sprintf("died: %v\n%s", err, stderr)
	}
	return text
}

// childFill writes six checkpoints and waits to be killed.
func childFill(dir string) error {
	s, err := openState(dir, nil, nil, crashState)
	if err != nil {
		return err
	}
	for seq := uint64(1); seq <= 6; seq++ {
		d := s.Begin(seq)
		for i := range 6000 {
			if uint64(i)%6 <= seq {
				d.Put(fmt.Appendf(nil, "s%06d", i), fmt.Appendf(nil, "a value of usual length, of checkpoint %d", seq))
			}
		}
		if err := errors.Join(d.Write(), d.Declare()); err != nil {
			return err
		}
	}
	for len(s.db.current.Load().Tables()) == 0 { // flushed in the background
		time.Sleep(time.Millisecond)
	}
	fmt.Println(6, "declared")
	time.Sleep(time.Minute)
	return errors.New("was not killed")
}

// makeCrashedState is a state as a kill leaves it: tables, logs with what is not in tables yet, several versions.
func makeCrashedState(t *testing.T) files {
	src := t.TempDir()
	killAfter(t, rand.New(rand.NewPCG(5, 6)), "fill", src, 1)
	f := files{}
	err := filepath.WalkDir(src, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		rel, _ := filepath.Rel(src, path)
		f[rel], err = io.ReadAll(in)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(f, "lock")
	delete(f, "badger/LOCK")
	return f
}

func writeTree(t *testing.T, f files) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range f {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRotInTheStateIsNeverSilentAndNeverAPanic(t *testing.T) {
	f := makeCrashedState(t)
	whole := openInChild(t, writeTree(t, f))
	if !strings.HasPrefix(whole, "6 6000 ") {
		t.Fatalf("undamaged: %s", whole)
	}
	var names []string
	for name := range f {
		names = append(names, name)
	}
	kinds := map[string]bool{}
	for _, name := range names {
		kinds[filepath.Ext(name)] = true
	}
	if !kinds[".sst"] || !kinds[".mem"] || !kinds[".vlog"] {
		t.Fatalf("the state has only %v", names)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	refused := 0
	check := func(what string, damaged files) {
		t.Helper()
		switch got := openInChild(t, writeTree(t, damaged)); {
		case strings.HasPrefix(got, "refused: "):
			refused++
		case got != whole:
			t.Errorf("%s: %.2000s\nwant %s", what, got, whole)
		}
	}
	for _, name := range names {
		check("delete "+name, f.without(name))
	}
	for i := range 40 * *torture {
		name := names[i%len(names)]
		damaged, what := rot(rng, f, name, names)
		check(fmt.Sprintf("case %d: %s", i, what), damaged)
	}
	t.Logf("%d of %d damages were refused, the others did no harm", refused, 40**torture+len(names))
}
