package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// files is a directory's files by name.
type files map[string][]byte

func readFiles(t testing.TB, dir string) files {
	t.Helper()
	f := files{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if f[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// write makes dir hold exactly f.
func (f files) write(t testing.TB, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range f {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (f files) with(name string, b []byte) files {
	c := files{}
	for n, b := range f {
		c[n] = b
	}
	c[name] = b
	return c
}

func (f files) without(name string) files {
	c := f.with(name, nil)
	delete(c, name)
	return c
}

// tail is a journal of one segment whose last group, records 5 to 7, is told apart from the rest.
type tail struct {
	files
	headBefore []byte   // the head as it was before the last group was acknowledged
	start      int64    // where the last group begins
	ends       [3]int64 // where its records end
}

func makeTail(t *testing.T) tail {
	dir := t.TempDir()
	j := openJournal(t, dir, JournalOptions{Sync: true})
	mustAppend(t, j, samples(1, 2)...)
	mustAppend(t, j, samples(3, 2)...)
	x := tail{headBefore: readFiles(t, dir)["head"], start: j.active().end}
	group := samples(5, 3)
	mustAppend(t, j, group...)
	x.files = readFiles(t, dir)
	at := x.start
	for i := range group {
		at += recordSize(&group[i])
		x.ends[i] = at
	}
	if at != int64(len(x.files[segmentName(1)])) {
		t.Fatal("the last group does not end the file")
	}
	return x
}

// whole is how many records end at or before at.
func (x tail) whole(at int64) int {
	n := 4
	for _, end := range x.ends {
		if end <= at {
			n++
		}
	}
	return n
}

// checkCut opens a journal whose last group was never acknowledged and is damaged from byte at on: n records must be left, whole,
// and it must go on from there.
func checkCut(t *testing.T, dir string, n int) {
	t.Helper()
	j, err := OpenJournal(dir, JournalOptions{Sync: true, disk: disk{unsynced: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	got, err := readAll(j, 1)
	if err != nil {
		t.Fatal(err)
	}
	wantSamples(t, got, 1, n)
	mustAppend(t, j, sample(n+1))
	mustClose(t, j)
	j = openJournal(t, dir, JournalOptions{Sync: true})
	if got, err = readAll(j, 1); err != nil {
		t.Fatal(err)
	}
	wantSamples(t, got, 1, n+1)
	mustClose(t, j)
}

// checkNamed opens a journal in which acknowledged record n is damaged, and wants it named with its place; nothing may be changed.
func checkNamed(t *testing.T, dir, path string, offset int64) {
	t.Helper()
	before := readFiles(t, dir)
	j, err := OpenJournal(dir, JournalOptions{Sync: true, disk: disk{unsynced: true}})
	if err == nil {
		j.Close()
		t.Fatal("opened")
	}
	var c *CorruptionError
	if !errors.As(err, &c) || filepath.Base(c.Path) != path || c.Offset != offset || c.Reason == "" {
		t.Fatalf("got %v, want a CorruptionError at %s byte %d", err, path, offset)
	}
	for name, b := range readFiles(t, dir) {
		if !bytes.Equal(b, before[name]) {
			t.Fatalf("%s was changed", name)
		}
	}
}

func TestTornTailCutAtEveryByte(t *testing.T) {
	x := makeTail(t)
	dir := t.TempDir()
	seg := segmentName(1)
	for at := x.start; at < int64(len(x.files[seg])); at++ {
		cut := x.with(seg, x.files[seg][:at])
		cut.with("head", x.headBefore).write(t, dir)
		checkCut(t, dir, x.whole(at))

		cut.write(t, dir)
		n := x.whole(at)
		checkNamed(t, dir, seg, append([]int64{x.start}, x.ends[:]...)[n-4])
	}
}

func TestTornTailWithEveryBitFlipped(t *testing.T) {
	x := makeTail(t)
	dir := t.TempDir()
	seg := segmentName(1)
	for bit := x.start * 8; bit < int64(len(x.files[seg]))*8; bit++ {
		b := bytes.Clone(x.files[seg])
		b[bit/8] ^= 1 << (bit % 8)
		n := x.whole(bit / 8)
		flipped := x.with(seg, b)
		flipped.with("head", x.headBefore).write(t, dir)
		checkCut(t, dir, n)

		flipped.write(t, dir)
		checkNamed(t, dir, seg, append([]int64{x.start}, x.ends[:]...)[n-4])
	}
}

func TestTornTailIsLogged(t *testing.T) {
	x := makeTail(t)
	dir := t.TempDir()
	seg := segmentName(1)
	x.with(seg, x.files[seg][:x.ends[1]+3]).with("head", x.headBefore).write(t, dir)
	log, text := logged()
	openJournal(t, dir, JournalOptions{Logger: log})
	if s := text.String(); !strings.Contains(s, "torn tail") || !strings.Contains(s, seg) || !strings.Contains(s, "bytes=3") {
		t.Errorf("log says %q", s)
	}
}

func TestDamageBeforeALaterGroupIsNeverATornTail(t *testing.T) {
	// Even if the head knows of nothing: the later group was written after the damaged one had been synced.
	x := makeTail(t)
	seg := segmentName(1)
	dir := t.TempDir()
	for _, head := range [][]byte{nil, make([]byte, headFileLen)} {
		for bit := int64(segmentHeaderLen * 8); bit < x.start*8; bit += 5 {
			b := bytes.Clone(x.files[seg])
			b[bit/8] ^= 1 << (bit % 8)
			x.with(seg, b).with("head", head).write(t, dir)
			j, err := OpenJournal(dir, JournalOptions{disk: disk{unsynced: true}})
			var c *CorruptionError
			if !errors.As(err, &c) {
				if err == nil {
					j.Close()
				}
				t.Fatalf("bit %d: %v", bit, err)
			}
			if c.Offset > bit/8 {
				t.Fatalf("bit %d (byte %d): %v", bit, bit/8, c)
			}
		}
	}
}

func TestPagesOfAnUnacknowledgedGroupMayArriveInAnyOrder(t *testing.T) {
	// A power loss before the sync may leave the group's second and third record whole and the first one not.
	x := makeTail(t)
	seg := segmentName(1)
	b := bytes.Clone(x.files[seg])
	clear(b[x.start:x.ends[0]])
	dir := t.TempDir()
	x.with(seg, b).with("head", x.headBefore).write(t, dir)
	checkCut(t, dir, 4)
}

func TestGroupsWrittenWithoutSyncMayArriveInAnyOrder(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, JournalOptions{}) // interval mode
	mustAppend(t, j, samples(1, 2)...)
	if err := j.Sync(); err != nil {
		t.Fatal(err)
	}
	start := j.active().end
	mustAppend(t, j, sample(3))
	mustAppend(t, j, sample(4))
	f := readFiles(t, dir)
	seg := segmentName(1)
	b := bytes.Clone(f[seg])
	b[start+5] ^= 1
	dir = t.TempDir()
	f.with(seg, b).write(t, dir)
	checkCut(t, dir, 2)
}

func TestPayloadThatLooksLikeRecordsDoesNotMakeATornTailCorruption(t *testing.T) {
	// A sender chooses its payload: it could hold a whole record, with the right checksum but for the segment's salt.
	dir := t.TempDir()
	j := openJournal(t, dir, JournalOptions{Sync: true})
	mustAppend(t, j, samples(1, 2)...)
	head, start := readFiles(t, dir)["head"], j.active().end
	var forged []byte
	for seq := uint64(3); seq < 20; seq++ {
		forged = appendRecord(forged, 0, &Record{Seq: seq, Payload: []byte("forged")}, 0, flagAfterSync)
	}
	mustAppend(t, j, Record{Kind: KindBatch1, Payload: forged})
	f := readFiles(t, dir)
	seg := segmentName(1)
	b := bytes.Clone(f[seg])
	b[start+1] ^= 1
	dir = t.TempDir()
	f.with(seg, b).with("head", head).write(t, dir)
	checkCut(t, dir, 2)
}
