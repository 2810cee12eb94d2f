package store

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"pawl/internal/fingerprint"
)

// TestSalvageKeepsEveryWholeRecord damages journals at random: the new journal has every record that can be read, in order, and the
// old one is kept as it was. A second try finds nothing to do.
func TestSalvageKeepsEveryWholeRecord(t *testing.T) {
	f, segs, _ := makeSegments(t)
	rng := rand.New(rand.NewPCG(31, 32))
	names := append(slices.Clone(segs), "head")
	quiet := slog.New(slog.DiscardHandler)
	salvaged := 0
	for i := range 60 * *torture {
		damaged, what := rot(rng, f, names[i%len(names)], names)
		dir := filepath.Join(t.TempDir(), "journal")
		damaged.write(t, dir)
		const from = 100
		whole, findings := scanDir(t, dir)
		whole = slices.DeleteFunc(whole, func(r Record) bool { return r.Seq < from })
		s, err := SalvageJournal(dir, from, 0, quiet)
		if err != nil {
			t.Fatalf("case %d, %s: %v", i, what, err)
		}
		if len(s.Damage) != len(damages(findings)) {
			t.Fatalf("case %d, %s: %v, a scan finds %v", i, what, s.Damage, findings)
		}
		if len(s.Damage) == 0 {
			continue
		}
		salvaged++
		if !reflect.DeepEqual(readFiles(t, s.Aside), damaged) {
			t.Fatalf("case %d, %s: what was set aside is not what was there", i, what)
		}
		first, got, err := openAndRead(t, dir)
		if err != nil || first != s.First || len(got) != len(whole) || uint64(len(got)) != s.Kept {
			t.Fatalf("case %d, %s: %d records from %d on, %v; want %d from %d", i, what, len(got), first, err, len(whole), s.First)
		}
		for k, r := range got {
			w := whole[k]
			if r.Seq <= w.Seq && w.Seq >= s.First {
				t.Fatalf("case %d: seq %d is used again", i, r.Seq)
			}
			w.Seq = r.Seq
			if err := sameRecord(r, w); err != nil {
				t.Fatalf("case %d, %s: %v", i, what, err)
			}
		}
		if again, err := SalvageJournal(dir, from, 0, quiet); err != nil || len(again.Damage) > 0 {
			t.Fatalf("case %d, %s: salvaged again: %v, %v", i, what, again.Damage, err)
		}
	}
	t.Logf("%d journals were salvaged", salvaged)
}

// TestSalvageInterruptedAnywhereIsFinished stops it between its renames.
func TestSalvageInterruptedAnywhereIsFinished(t *testing.T) {
	f, segs, _ := makeSegments(t)
	dir := filepath.Join(t.TempDir(), "journal")
	f.without(segs[1]).write(t, dir)
	if _, err := SalvageJournal(dir, 0, 0, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	_, want, err := openAndRead(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+stageWhole); err != nil { // before the last rename
		t.Fatal(err)
	}
	if err := FinishSalvage(dir); err != nil {
		t.Fatal(err)
	}
	_, got, err := openAndRead(t, dir)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d records of %d, %v", len(got), len(want), err)
	}
	f.without(segs[1]).write(t, dir+stageWhole) // before the old one was set aside: it counts
	if err := FinishSalvage(dir); err != nil {
		t.Fatal(err)
	}
	if _, got, err = openAndRead(t, dir); err != nil || len(got) != len(want) {
		t.Fatalf("%d records of %d, %v", len(got), len(want), err)
	}
}

// Rule: what another release wrote is refused untouched.
func TestFutureFormatIsNamedBeforeAnythingIsTouched(t *testing.T) {
	bump := func(path string, at int64, n int) func(dir string) string {
		return func(dir string) string {
			path, err := filepath.Glob(filepath.Join(dir, path))
			if err != nil || len(path) == 0 {
				t.Fatal(path, err)
			}
			b, err := os.ReadFile(path[0])
			if err != nil {
				t.Fatal(err)
			}
			h := b[at : at+int64(n)]
			binary.LittleEndian.PutUint32(h[8:], 1+binary.LittleEndian.Uint32(h[8:]))
			binary.LittleEndian.PutUint32(h[n-4:], crcOf(h[:n-4]))
			if err := os.WriteFile(path[0], b, 0o600); err != nil {
				t.Fatal(err)
			}
			return path[0]
		}
	}
	state := makeCrashedState(t)
	for name, change := range map[string]func(dir string) string{
		"segment of the journal":  bump("journal/*.seg", 0, segmentHeaderLen),
		"head of the journal":     bump("journal/head", headSlotStride, headSlotLen),
		"segment of the rejected": bump("rejected/*.seg", 0, segmentHeaderLen),
		"head of the rejected":    bump("rejected/head", 0, headSlotLen),
		"head of the state":       bump("state/head", 0, checkpointLen),
	} {
		t.Run(name, func(t *testing.T) {
			dir, unlock := storagePath(t, state)
			unlock()
			if err := CheckFormat(dir); err != nil {
				t.Fatal(err)
			}
			path := change(dir)
			before := fingerprint.Of(t, dir)
			var ve *VersionError
			if err := CheckFormat(dir); !errors.As(err, &ve) || ve.Path != path || ve.Found != ve.Written+1 {
				t.Errorf("got %v", err)
			}
			if fingerprint.Of(t, dir) != before {
				t.Error("the storage path was changed")
			}
		})
	}
	if err := CheckFormat(filepath.Join(t.TempDir(), "new")); err != nil {
		t.Errorf("a path that is not there yet: %v", err)
	}
}
