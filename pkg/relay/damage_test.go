package relay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"pawl/pkg/config"
	"pawl/pkg/store"
)

// refusedStart starts a relay that must not start, and gives what it says. The storage must be as it was.
func refusedStart(t *testing.T, dir string) error {
	t.Helper()
	cfg, err := config.ForURL("http://127.0.0.1:1/")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Storage.MinFreeBytes, cfg.Storage.BallastBytes, cfg.Storage.MaxUsedPercent = 0, 0, 100
	r, err := New(Options{Config: cfg, StoragePath: dir, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Version: "test"})
	if err == nil {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = r.Run(ctx)
		t.Fatal("it starts")
	}
	return err
}

// startAside starts a relay that goes on without what is damaged, and gives its log.
func startAside(t *testing.T, dir, upstream string) (*running, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	r := startWith(t, dir, upstream, "", func(o *Options) {
		o.SetAsideDamaged = true
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	})
	return r, &log
}

// filled is the storage of a relay that was stopped after n requests of a counter that fell by 25, of what grew by 10, at its
// fifth: from then on it is forwarded with an offset of 25, the fall undone. All of it is delivered and in the checkpoint.
func filled(t *testing.T, up *recorder, n int) string {
	t.Helper()
	dir := t.TempDir()
	r := start(t, dir, up.URL, "")
	for i := range n {
		v := float64(100 + 10*i)
		if i >= 4 {
			v -= 35
		}
		r.push("", "requests_total", t0+int64(i)*15_000, v)
	}
	r.delivered()
	r.stop()
	return dir
}

func glob(t *testing.T, pattern string) string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) != 1 {
		t.Fatal(pattern, paths, err)
	}
	return paths[0]
}

func change(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustSay(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("it does not say %q: %s", w, text)
		}
	}
}

// Rule: a damaged state is rebuilt from the journal, to the same values, while that has every record.
func TestADamagedStateIsRebuiltFromAWholeJournal(t *testing.T) {
	up := newRecorder(t)
	dir := filled(t, up, 8)
	change(t, filepath.Join(dir, "state", "head"), 20)
	r := start(t, dir, up.URL, "")
	r.push("", "requests_total", t0+8*15_000, 145)
	r.delivered()
	got := values(distinct(t, up.of(" requests_total")))
	if len(got) != 9 || got[8] != 170 {
		t.Errorf("forwarded %v: the offset of 25 is not there", got)
	}
	glob(t, filepath.Join(dir, "state.damaged-1", "head"))
}

// cutJournal makes the journal begin later than record 1, as checkpoints do once segments are full: its first records go.
func cutJournal(t *testing.T, dir string) (first uint64) {
	t.Helper()
	j, err := store.OpenJournal(filepath.Join(dir, "journal"), store.JournalOptions{SegmentBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Append([]store.Record{{Kind: store.KindTick}}); err != nil {
		t.Fatal(err)
	}
	if err := j.Cut(j.End() - 1); err != nil {
		t.Fatal(err)
	}
	first = j.First()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if first == 1 {
		t.Fatal("nothing was cut")
	}
	return first
}

// Rule: without the state and without the beginning of the journal a start is refused, naming what is missing, until the operator says to go on.
func TestALostStateIsRefusedUntilTheOperatorSaysSo(t *testing.T) {
	up := newRecorder(t)
	dir := filled(t, up, 8)
	cutJournal(t, dir)
	change(t, filepath.Join(dir, "state", "head"), 20)
	before := tree(t, filepath.Join(dir, "state"))
	err := refusedStart(t, dir)
	var lost *store.StateError
	if !errors.As(err, &lost) {
		t.Errorf("refused with %v", err)
	}
	mustSay(t, err.Error(), "the head file is damaged", "checksum does not match", SetAsideFlag)
	if tree(t, filepath.Join(dir, "state")) != before {
		t.Error("a refused start changed the state")
	}
	r, log := startAside(t, dir, up.URL)
	mustSay(t, log.String(), "going on without the series state", "no series has an offset", "state.damaged-1")
	r.push("", "requests_total", t0+8*15_000, 145)
	r.delivered()
	if got := values(distinct(t, up.of(" requests_total"))); got[len(got)-1] != 145 {
		t.Errorf("forwarded %v", got)
	}
	r.stop()
	start(t, dir, up.URL, "").stop() // the flag is for one start
}

// tree is every file's name and a hash of its content.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(&all, "%s %x\n", path, sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// Rule: damage to acknowledged records is named; the operator may go on without them, and everything else of the journal is kept.
func TestADamagedJournalIsRefusedUntilTheOperatorSaysSo(t *testing.T) {
	up := newRecorder(t)
	dir := filled(t, up, 8)
	up.set(func() int { return 503 }) // what follows stays in the journal
	r := start(t, dir, up.URL, "")
	for i := 8; i < 14; i++ {
		r.push("", "requests_total", t0+int64(i)*15_000, float64(65+10*i))
	}
	killed := filepath.Join(t.TempDir(), "data") // as a kill leaves it
	copyTree(t, dir, killed)
	r.stop()
	up.set(nil)

	path := glob(t, filepath.Join(killed, "journal", "*.seg"))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for range 12 { // the third of those that wait: rules, eight requests, rules, two, this
		at += 4 + bytes.Index(b[at+4:], []byte("PLWR"))
	}
	change(t, path, at+60)
	err = refusedStart(t, killed)
	mustSay(t, err.Error(), "is corrupt at byte", SetAsideFlag, "relay verify")

	r, log := startAside(t, killed, up.URL)
	mustSay(t, log.String(), "going on without what is damaged", "cannot be read", "journal.damaged-1", "taken_over=")
	r.delivered()
	points := distinct(t, up.of(" requests_total"))
	if len(points) != 13 {
		t.Errorf("%d points upstream, want all but one of 14: %v", len(points), values(points))
	}
	if last := values(points)[len(points)-1]; last != 220 {
		t.Errorf("the last is %v: the offset of 25 is gone", last)
	}
	r.stop()
	start(t, killed, up.URL, "").stop()
}

// Rule: a journal that is gone is not taken for a new one.
func TestAMissingJournalIsRefusedUntilTheOperatorSaysSo(t *testing.T) {
	up := newRecorder(t)
	dir := filled(t, up, 8)
	if err := os.RemoveAll(filepath.Join(dir, "journal")); err != nil {
		t.Fatal(err)
	}
	mustSay(t, refusedStart(t, dir).Error(), "older than the series state, or gone", SetAsideFlag)
	r, log := startAside(t, dir, up.URL)
	mustSay(t, log.String(), "are missing")
	r.push("", "requests_total", t0+8*15_000, 145)
	r.delivered()
	if got := values(distinct(t, up.of(" requests_total"))); got[len(got)-1] != 170 {
		t.Errorf("forwarded %v: the state's offset is gone", got)
	}
	r.stop()
	start(t, dir, up.URL, "").stop()
}

// Rule: rejected batches that cannot be read are named; the others are kept.
func TestADamagedRejectedStoreIsRefusedUntilTheOperatorSaysSo(t *testing.T) {
	up, dir := newRecorder(t), t.TempDir()
	up.set(func() int { return 400 })
	r := start(t, dir, up.URL, "")
	for i := range 3 {
		r.push("", fmt.Sprintf("requests_%d_total", i), t0, 1)
	}
	r.delivered()
	r.stop()
	change(t, glob(t, filepath.Join(dir, "rejected", "*.seg")), 120)
	mustSay(t, refusedStart(t, dir).Error(), "is corrupt", "rejected", SetAsideFlag)
	r, log := startAside(t, dir, up.URL)
	mustSay(t, log.String(), "record 1 cannot be read", "rejected.damaged-1")
	if ids := r.rejectedIDs(); len(ids) != 2 {
		t.Errorf("kept: %v", ids)
	}
	r.stop()
	start(t, dir, up.URL, "").stop()
}

// Rule: a storage of another release's format is refused untouched, its lock file and ballast too.
func TestAStorageOfAnotherFormatIsRefusedUntouched(t *testing.T) {
	up := newRecorder(t)
	dir := filled(t, up, 3)
	path := filepath.Join(dir, "state", "head")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[8]++
	binary.LittleEndian.PutUint32(b[52:], crc32.Checksum(b[:52], crc32.MakeTable(crc32.Castagnoli)))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	var version *store.VersionError
	if err := refusedStart(t, dir); !errors.As(err, &version) {
		t.Errorf("refused with %v", err)
	}
	if tree(t, dir) != before {
		t.Error("the storage was changed")
	}
}
