package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"
)

var smallState = stateOptions{memTable: 2 << 20, disk: disk{unsynced: true}}

func tryOpenState(dir string) (*State, error) { return openState(dir, nil, nil, smallState) }

func mustOpenState(t testing.TB, dir string) *State {
	t.Helper()
	s, err := tryOpenState(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// contents is every key of the caller's at the good version.
func contents(t testing.TB, s *State) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, p := range "slcfm" {
		if err := s.Load([]byte{byte(p)}, func(k, v []byte) error { m[string(k)] = string(v); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// checkpoint declares a checkpoint with puts; an empty value deletes.
func checkpoint(t testing.TB, s *State, seq uint64, puts map[string]string) {
	t.Helper()
	d := s.Begin(seq)
	fill(d, puts)
	if err := d.Write(); err != nil {
		t.Fatal(err)
	}
	if err := d.Declare(); err != nil {
		t.Fatal(err)
	}
}

func fill(d *Draft, puts map[string]string) {
	for k, v := range puts {
		if v == "" {
			d.Delete([]byte(k))
		} else {
			d.Put([]byte(k), []byte(v))
		}
	}
}

func wantContents(t testing.TB, s *State, want map[string]string) {
	t.Helper()
	if got := contents(t, s); !maps.Equal(got, want) {
		t.Fatalf("state holds %d keys, want %d:\n got %.300v\nwant %.300v", len(got), len(want), got, want)
	}
}

func TestStateBeginsWithoutACheckpoint(t *testing.T) {
	s := mustOpenState(t, t.TempDir())
	if c, ok := s.Good(); ok || c != (Checkpoint{}) {
		t.Errorf("Good() = %v, %v", c, ok)
	}
	wantContents(t, s, map[string]string{})
	if _, found, err := s.Get([]byte("sx")); found || err != nil {
		t.Errorf("Get = %v, %v", found, err)
	}
}

func TestCheckpointIsSeenWholeOnceDeclaredAndNotBefore(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenState(t, dir)
	checkpoint(t, s, 10, map[string]string{"sa": "1", "sb": "1", "lc": "1"})
	d := s.Begin(20)
	fill(d, map[string]string{"sa": "2", "sb": "", "sd": "2"})
	before := map[string]string{"sa": "1", "sb": "1", "lc": "1"}
	wantContents(t, s, before)
	if err := d.Write(); err != nil {
		t.Fatal(err)
	}
	wantContents(t, s, before)
	if err := d.Declare(); err != nil {
		t.Fatal(err)
	}
	after := map[string]string{"sa": "2", "lc": "1", "sd": "2"}
	wantContents(t, s, after)
	mustClose(t, s)
	s = mustOpenState(t, dir)
	wantContents(t, s, after)
	if c, ok := s.Good(); !ok || c.Seq != 20 || c.Keys != 3 {
		t.Errorf("Good() = %+v, %v", c, ok)
	}
}

func TestWhatATornCheckpointLeftNeverComesToLight(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart=%v", restart), func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpenState(t, dir)
			checkpoint(t, s, 1, map[string]string{"sa": "1", "sb": "1", "sc": "1"})
			d := s.Begin(2)
			fill(d, map[string]string{"sa": "torn", "sb": "", "sz": "torn", "sc": "torn"})
			if err := d.Write(); err != nil {
				t.Fatal(err)
			}
			d.Abandon()
			if restart {
				mustClose(t, s)
				s = mustOpenState(t, dir)
			}
			// The next checkpoint touches other keys, and sc with the value that it had: all the rest must be as at the good version.
			checkpoint(t, s, 3, map[string]string{"sd": "3", "sc": "1"})
			want := map[string]string{"sa": "1", "sb": "1", "sc": "1", "sd": "3"}
			wantContents(t, s, want)
			mustClose(t, s)
			s = mustOpenState(t, dir)
			wantContents(t, s, want)
		})
	}
}

func TestDraftKeepsTheLastChangeOfAKey(t *testing.T) {
	s := mustOpenState(t, t.TempDir())
	d := s.Begin(1)
	for i := range 100 {
		d.Put([]byte("sa"), fmt.Append(nil, i))
		d.Put([]byte("sb"), []byte("x"))
		d.Delete([]byte("sb"))
	}
	if err := errors.Join(d.Write(), d.Declare()); err != nil {
		t.Fatal(err)
	}
	wantContents(t, s, map[string]string{"sa": "99"})
}

func TestThereIsOneDraftAtATime(t *testing.T) {
	s := mustOpenState(t, t.TempDir())
	d := s.Begin(1)
	func() {
		defer func() {
			if r := recover(); r == nil || !strings.HasPrefix(fmt.Sprint(r), "BUG:") {
				t.Errorf("second Begin: %v", r)
			}
		}()
		s.Begin(1)
	}()
	d.Abandon()
	s.Begin(1).Abandon()
}

func TestStateBelongsToOneProcess(t *testing.T) {
	dir := t.TempDir()
	mustOpenState(t, dir)
	if _, err := tryOpenState(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("second OpenState: %v", err)
	}
}

func TestAReadThatIsGoingOnIsNotDisturbedByCheckpoints(t *testing.T) {
	s := mustOpenState(t, t.TempDir())
	want := map[string]string{}
	for i := range 500 {
		want[fmt.Sprintf("s%04d", i)] = "0"
	}
	checkpoint(t, s, 1, want)
	n := 0
	got := map[string]string{}
	err := s.Load([]byte("s"), func(k, v []byte) error {
		if n++; n%100 == 0 {
			next := map[string]string{}
			for k := range want {
				next[k] = fmt.Sprint(n)
			}
			checkpoint(t, s, uint64(n), next)
			if err := s.db.current.Load().Flatten(1); err != nil { // compacts away whatever may go
				t.Error(err)
			}
		}
		got[string(k)] = string(v)
		return nil
	})
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%d keys, %v", len(got), err)
	}
}

func TestScanGoesBothWaysFromACursor(t *testing.T) {
	s := mustOpenState(t, t.TempDir())
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.Custom(func(t *rapid.T) string {
			return string(rapid.SampledFrom([]byte("abc")).Draw(t, "prefix")) + rapid.StringOfN(rapid.SampledFrom([]rune{'\x00', 'a', 'z', '\u00ff'}), 0, 3, 6).Draw(t, "rest")
		})
		all := rapid.SliceOfDistinct(key, func(k string) string { return k }).Draw(t, "keys")
		slices.Sort(all)
		d := s.Begin(1)
		var old []string
		if err := s.Scan(nil, nil, false, func(k, _ []byte) (bool, error) { old = append(old, string(k)); return true, nil }); err != nil {
			t.Fatal(err)
		}
		for _, k := range old {
			if k[0] != 0 {
				d.Delete([]byte(k))
			}
		}
		for _, k := range all {
			d.Put([]byte(k), []byte("v"+k))
		}
		if err := errors.Join(d.Write(), d.Declare()); err != nil {
			t.Fatal(err)
		}
		prefix := rapid.SampledFrom([]string{"a", "b", "c", "bz"}).Draw(t, "scan")
		after := rapid.OneOf(rapid.Just(""), key.Filter(func(k string) bool { return strings.HasPrefix(k, prefix) })).Draw(t, "after")
		reverse := rapid.Bool().Draw(t, "reverse")
		limit := rapid.IntRange(1, 10).Draw(t, "limit")
		var want []string
		for _, k := range all {
			if strings.HasPrefix(k, prefix) && (after == "" || (k > after) != reverse && k != after) {
				want = append(want, k)
			}
		}
		if reverse {
			slices.Reverse(want)
		}
		want = want[:min(limit, len(want))]
		var got []string
		err := s.Scan([]byte(prefix), []byte(after), reverse, func(k, v []byte) (bool, error) {
			if string(v) != "v"+string(k) {
				t.Fatalf("%q has value %q", k, v)
			}
			got = append(got, string(k))
			return len(got) < limit, nil
		})
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("Scan(%q, %q, %v) = %q, want %q (%v)", prefix, after, reverse, got, want, err)
		}
	})
}

// TestStateAgainstAMap declares, abandons, reopens and closes the database in between at random. What is read is always the map as of the last declared checkpoint,
// and reopening checks its number of keys and their sum against the head.
func TestStateAgainstAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "state")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		s, err := tryOpenState(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { s.Close() }()
		model := map[string]string{}
		var seq uint64
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			changes := rapid.MapOfN(rapid.StringMatching(`[slc][a-h]`), rapid.SampledFrom([]string{"", "1", "2", "3"}), 0, 12).Draw(t, "changes")
			d := s.Begin(seq + 1)
			fill(d, changes)
			write := rapid.Bool().Draw(t, "write")
			if write {
				if err := d.Write(); err != nil {
					t.Fatal(err)
				}
				if rapid.Bool().Draw(t, "rest before it is declared") {
					restNow(s)
				}
			}
			if write && rapid.Bool().Draw(t, "declare") {
				if err := d.Declare(); err != nil {
					t.Fatal(err)
				}
				seq++
				for k, v := range changes {
					if model[k] = v; v == "" {
						delete(model, k)
					}
				}
			} else {
				d.Abandon()
			}
			if rapid.IntRange(0, 5).Draw(t, "reopen") == 0 {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if s, err = tryOpenState(dir); err != nil {
					t.Fatal(err)
				}
			}
			if rapid.Bool().Draw(t, "rest") {
				restNow(s)
			}
			got := map[string]string{}
			err := s.Scan(nil, nil, false, func(k, v []byte) (bool, error) {
				if k[0] != 0 {
					got[string(k)] = string(v)
				}
				return true, nil
			})
			if err != nil || !maps.Equal(got, model) {
				t.Fatalf("state is %v, want %v (%v)", got, model, err)
			}
			if c, _ := s.Good(); c.Seq != seq || c.Keys != uint64(len(model)) {
				t.Fatalf("Good() = %+v, want seq %d, %d keys", c, seq, len(model))
			}
		}
	})
}

func TestCheckpointWhoseHeadCannotBeWrittenLeavesTheOldOneOrTheNewOneWhole(t *testing.T) {
	for _, f := range []failNth{
		{op: opCreate, base: "head", err: syscall.ENOSPC},
		{op: opWrite, base: "head.tmp", allow: 20, err: syscall.ENOSPC},
		{op: opSync, base: "head.tmp", err: syscall.EIO},
		{op: opRename, base: "head", err: syscall.EIO},
		{op: opSync, base: "state", err: syscall.EIO},
		{op: opSync, base: "badger", err: syscall.EIO},
	} {
		t.Run(string(f.op)+" "+f.base, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			s := mustOpenState(t, dir)
			before := map[string]string{"sa": "1", "sb": "1"}
			checkpoint(t, s, 1, before)
			mustClose(t, s)

			f := f
			f.nth = 1
			if f.base == "state" {
				f.nth = 2 // the first is opening's
			}
			o := smallState
			o.disk = f.disk()
			s, err := openState(dir, nil, nil, o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			d := s.Begin(2)
			after := map[string]string{"sa": "2", "sc": "2"}
			fill(d, map[string]string{"sa": "2", "sb": "", "sc": "2"})
			if err := d.Write(); err != nil {
				t.Fatal(err)
			}
			if err := d.Declare(); !errors.Is(err, f.err) {
				t.Fatalf("Declare = %v", err)
			}
			wantContents(t, s, before)
			d.Abandon()
			mustClose(t, s)

			s = mustOpenState(t, dir)
			if c, _ := s.Good(); c.Seq == 1 {
				wantContents(t, s, before)
			} else {
				wantContents(t, s, after)
			}
			checkpoint(t, s, 3, map[string]string{"sd": "3"})
		})
	}
}

func TestStateThatWasSetAsideIsKeptAndANewOneBegins(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	for i := 1; i <= 2; i++ {
		s := mustOpenState(t, dir)
		checkpoint(t, s, 1, map[string]string{"sa": "1"})
		mustClose(t, s)
		if err := os.WriteFile(filepath.Join(dir, "head"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := tryOpenState(dir)
		var se *StateError
		if !errors.As(err, &se) {
			t.Fatalf("OpenState = %v", err)
		}
		to, err := SetAsideState(dir)
		if err != nil || to != fmt.Sprintf("%s.damaged-%d", dir, i) {
			t.Fatalf("SetAsideState = %s, %v", to, err)
		}
	}
	s := mustOpenState(t, dir)
	if _, ok := s.Good(); ok {
		t.Error("the new state has a checkpoint")
	}
}

func TestStateMetricsAndSize(t *testing.T) {
	reg := prometheus.NewRegistry()
	s, err := openState(t.TempDir(), nil, reg, smallState)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	checkpoint(t, s, 1, map[string]string{"sa": "1", "sb": "2"})
	if err := testutil.GatherAndCompare(reg, strings.NewReader("# HELP pawl_state_keys Keys of the last good checkpoint.\n# TYPE pawl_state_keys gauge\npawl_state_keys 2\n"), "pawl_state_keys"); err != nil {
		t.Error(err)
	}
	if s.Size() <= 0 || s.Size() > 10<<20 {
		t.Errorf("Size() = %d", s.Size())
	}
}

func TestKeysThatDoNotChangeAreNotWrittenAgain(t *testing.T) {
	s := mustOpenState(t, t.TempDir())
	checkpoint(t, s, 1, map[string]string{"sa": "1", "sb": "1"})
	checkpoint(t, s, 2, map[string]string{"sa": "1", "sb": "2", "sx": ""})
	if got := testutil.ToFloat64(s.metrics.written); got != 3 {
		t.Errorf("%v keys were written, want 3", got)
	}
	wantContents(t, s, map[string]string{"sa": "1", "sb": "2"})
}

func TestSuccessorIsBehindThePrefixAndNothingBetween(t *testing.T) {
	for _, c := range []struct{ in, want string }{{"a", "b"}, {"a\xff", "b"}, {"\xff\xff", ""}, {"", ""}} {
		if got := successor([]byte(c.in)); !bytes.Equal(got, []byte(c.want)) {
			t.Errorf("successor(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}
