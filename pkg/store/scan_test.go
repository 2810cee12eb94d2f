package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// scanDir reads a journal offline.
func scanDir(t testing.TB, dir string) (got []Record, findings []Finding) {
	t.Helper()
	c := &scan{dir: dir, part: "journal", remedy: "mend it"}
	c.fn = func(r Record) error {
		r.Payload = bytes.Clone(r.Payload)
		got = append(got, r)
		return nil
	}
	if err := c.run(); err != nil {
		t.Fatal(err)
	}
	return got, c.findings
}

func damages(findings []Finding) (bad []Finding) {
	for _, f := range findings {
		if f.Level == Damaged {
			bad = append(bad, f)
		}
	}
	return bad
}

// TestOfflineReadingAgreesWithAStart holds the two against each other over random damage: whole means that a start opens and reads every
// record, damaged means that it refuses; and reading changes nothing.
func TestOfflineReadingAgreesWithAStart(t *testing.T) {
	f, segs, first := makeSegments(t)
	rng := rand.New(rand.NewPCG(11, 12))
	names := append(slices.Clone(segs), "head")
	dir := t.TempDir()
	refused := 0
	for i := range 300 * *torture {
		name := names[rng.IntN(len(names))]
		damaged, what := rot(rng, f, name, names)
		damaged.write(t, dir)
		before := readFiles(t, dir)
		scanned, findings := scanDir(t, dir)
		if !reflect.DeepEqual(readFiles(t, dir), before) {
			t.Fatalf("case %d, %s: the directory was changed", i, what)
		}
		_, got, err := openAndRead(t, dir)
		bad := damages(findings)
		if (len(bad) > 0) != (err != nil) {
			t.Fatalf("case %d, %s: findings %v, but a start says: %v", i, what, findings, err)
		}
		if len(scanned) < len(got) {
			t.Fatalf("case %d, %s: %d records read offline, %d by a start", i, what, len(scanned), len(got))
		}
		for _, r := range scanned {
			w := sample(int(r.Seq))
			w.Seq = r.Seq
			if err := sameRecord(r, w); err != nil {
				t.Fatalf("case %d, %s: %v", i, what, err)
			}
		}
		if len(bad) > 0 {
			refused++
			checkNamesTheLost(t, fmt.Sprintf("case %d, %s", i, what), bad, scanned, first)
		}
	}
	t.Logf("%d of %d damages are named", refused, 300**torture)
}

// checkNamesTheLost holds that every record is either read or named in a finding.
func checkNamesTheLost(t *testing.T, what string, bad []Finding, read []Record, first uint64) {
	t.Helper()
	there := map[uint64]bool{}
	for _, r := range read {
		there[r.Seq] = true
	}
	for _, f := range bad {
		var from, to uint64
		if n, _ := fmt.Sscanf(f.Text, "records %d to %d", &from, &to); n < 2 {
			if n, _ = fmt.Sscanf(f.Text, "record %d", &from); n == 1 {
				to = from
			}
		}
		if strings.Contains(f.Text, "and what followed it") {
			to = 300
		}
		for seq := from; from > 0 && seq <= to; seq++ {
			if there[seq] {
				t.Errorf("%s: record %d was read and is named as lost: %v", what, seq, f)
			}
			there[seq] = true
		}
	}
	for seq := first; seq <= 300; seq++ {
		if !there[seq] {
			t.Fatalf("%s: record %d was neither read nor named: %v", what, seq, bad)
		}
	}
}

func TestOfflineReadingGoesOnBehindDamage(t *testing.T) {
	f, segs, first := makeSegments(t)
	b := bytes.Clone(f[segs[2]])
	b[segmentHeaderLen+50] ^= 1 // in its first record
	b[len(b)/2] ^= 1            // in another
	dir := t.TempDir()
	f.with(segs[2], b).without(segs[4]).write(t, dir)
	read, findings := scanDir(t, dir)
	bad := damages(findings)
	if len(bad) != 3 {
		t.Fatalf("%d findings: %v", len(bad), bad)
	}
	checkNamesTheLost(t, "two records and a segment", bad, read, first)
	seg2, _ := segmentSeq(segs[2])
	if bad[0].Offset != segmentHeaderLen || !strings.HasSuffix(bad[0].Path, segs[2]) || !strings.HasPrefix(bad[0].Text, fmt.Sprintf("record %d cannot be read", seg2)) {
		t.Errorf("first: %v", bad[0])
	}
	if !strings.HasSuffix(bad[2].Path, segs[4]) || bad[2].Offset != -1 {
		t.Errorf("third: %v", bad[2])
	}
	for _, f := range bad {
		if f.Remedy == "" {
			t.Errorf("no remedy: %v", f)
		}
	}
}

// A tail that was never acknowledged is no damage: the next start cuts it.
func TestOfflineReadingTellsATornTailFromDamage(t *testing.T) {
	f, segs, first := makeSegments(t)
	last := segs[len(segs)-1]
	dir := t.TempDir()
	f.with(last, append(bytes.Clone(f[last]), "PLWR and then the power went"...)).write(t, dir)
	read, findings := scanDir(t, dir)
	wantSamples(t, read, int(first), 301-int(first))
	if len(damages(findings)) > 0 || len(findings) != 2 || findings[0].Level != Note || findings[0].Offset != int64(len(f[last])) {
		t.Errorf("findings %v", findings)
	}
	// The same bytes missing before the head's end are damage.
	f.with(last, f[last][:len(f[last])-10]).write(t, dir)
	_, findings = scanDir(t, dir)
	if bad := damages(findings); len(bad) != 1 || !strings.Contains(bad[0].Text, "record 300 cannot be read") {
		t.Errorf("findings %v", findings)
	}
}

func TestOfflineReadingEndsWithTheReadersError(t *testing.T) {
	f, _, _ := makeSegments(t)
	dir := t.TempDir()
	f.write(t, dir)
	enough := errors.New("enough")
	c := &scan{dir: dir, fn: func(Record) error { return enough }}
	if err := c.run(); !errors.Is(err, enough) {
		t.Error(err)
	}
}
