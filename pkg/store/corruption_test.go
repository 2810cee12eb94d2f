package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// makeSegments is a closed journal of many segments, 300 records of sample(1) on, with the first segments cut away.
func makeSegments(t testing.TB) (f files, segs []string, first uint64) {
	dir := t.TempDir()
	j := openJournal(t, dir, JournalOptions{SegmentBytes: 3000, Sync: true})
	for n := 1; n <= 300; n += 3 {
		mustAppend(t, j, samples(n, 3)...)
	}
	if err := j.Cut(60); err != nil {
		t.Fatal(err)
	}
	first = j.First()
	mustClose(t, j)
	f = readFiles(t, dir)
	for name := range f {
		if _, ok := segmentSeq(name); ok {
			segs = append(segs, name)
		}
	}
	slices.Sort(segs)
	return f, segs, first
}

// openAndRead gives all records, or the error that opening or reading ended with.
func openAndRead(t testing.TB, dir string) (first uint64, got []Record, err error) {
	j, err := OpenJournal(dir, JournalOptions{SegmentBytes: 3000, Sync: true, disk: disk{unsynced: true}})
	if err != nil {
		return 0, nil, err
	}
	defer j.Close()
	got, err = readAll(j, j.First())
	return j.First(), got, err
}

// What stands before a record is not read again once it is delivered, so damage to it must not change what is said to wait behind it.
func TestBacklogDoesNotTrustWhatIsBeforeIt(t *testing.T) {
	f, segs, first := makeSegments(t)
	b := bytes.Clone(f[segs[0]])
	b[segmentHeaderLen+12+1] ^= 8 // 2,048 samples in the first record's header
	dir := t.TempDir()
	f.with(segs[0], b).write(t, dir)
	j := openJournal(t, dir, JournalOptions{SegmentBytes: 3000, Sync: true})
	var want int64
	for n := first + 1; n <= 300; n++ {
		want += int64(sample(int(n)).Samples)
	}
	if got, _, _ := j.Backlog(first + 1); got != want {
		t.Errorf("%d samples wait from record %d on, want %d", got, first+1, want)
	}
}

func TestNamedCorruptions(t *testing.T) {
	f, segs, first := makeSegments(t)
	n := len(segs)
	if n < 6 {
		t.Fatal(n)
	}
	flip := func(name string, at int) files {
		b := bytes.Clone(f[name])
		if at < 0 {
			at += len(b)
		}
		b[at] ^= 0x10
		return f.with(name, b)
	}
	swap := func(a, b string) files { return f.with(a, f[b]).with(b, f[a]) }
	header := func(name string, change func(h *segmentHeader)) files {
		b := bytes.Clone(f[name])
		h, _ := getSegmentHeader(b)
		change(&h)
		putSegmentHeader(b, h)
		return f.with(name, b)
	}
	seqOf := func(name string) uint64 { s, _ := segmentSeq(name); return s }
	for _, c := range []struct {
		name  string
		files files
		whole bool   // every record survives
		path  string // else the file that is named
	}{
		{"nothing", f, true, ""},
		{"head missing", f.without("head"), true, ""},
		{"head empty", f.with("head", nil), true, ""},
		{"head zeroed", f.with("head", make([]byte, headFileLen)), true, ""},
		{"first slot of the head flipped", flip("head", 20), true, ""},
		{"second slot of the head flipped", flip("head", headSlotStride+20), true, ""},
		{"unfinished creation left behind", f.with(segmentName(999)+".tmp", []byte("PAWL")), true, ""},
		{"stranger in the directory", f.with("notes.txt", []byte("x")), true, ""},
		{"segment that was cut is back", f.with(segmentName(1), f[segs[0]]), true, ""},
		{"footer of a sealed segment flipped", flip(segs[2], -20), true, ""},
		{"footer of a sealed segment cut off", f.with(segs[2], f[segs[2]][:len(f[segs[2]])-30]), true, ""},
		{"trailer of a sealed segment flipped", flip(segs[2], -1), true, ""},

		{"first segment missing", f.without(segs[0]), false, segs[0]},
		{"segment in the middle missing", f.without(segs[2]), false, segs[2]},
		{"two segments in the middle missing", f.without(segs[2]).without(segs[3]), false, segs[2]},
		{"last segment missing", f.without(segs[n-1]), false, segs[n-2]},
		{"all segments missing", files{"head": f["head"]}, false, ""},
		{"last segment empty", f.with(segs[n-1], nil), false, segs[n-1]},
		{"last segment is but its header", f.with(segs[n-1], f[segs[n-1]][:segmentHeaderLen]), false, segs[n-1]},
		{"sealed segment cut in its records", f.with(segs[2], f[segs[2]][:len(f[segs[2]])/2]), false, segs[2]},
		{"sealed segment empty", f.with(segs[2], nil), false, segs[2]},
		{"record of a sealed segment flipped", flip(segs[2], segmentHeaderLen+50), false, segs[2]},
		{"record's magic of a sealed segment flipped", flip(segs[2], segmentHeaderLen), false, segs[2]},
		{"record's length of a sealed segment flipped", flip(segs[2], segmentHeaderLen+8), false, segs[2]},
		{"segment header flipped", flip(segs[2], 33), false, segs[2]},
		{"segment magic flipped", flip(segs[2], 0), false, segs[2]},
		{"two segments swapped", swap(segs[1], segs[2]), false, segs[1]},
		{"segment replaced by its neighbour", f.with(segs[2], f[segs[1]]), false, segs[2]},
		{"segment replaced by the head", f.with(segs[2], f["head"]), false, segs[2]},
		{"wrong first seq in the header", header(segs[2], func(h *segmentHeader) { h.First++ }), false, segs[2]},
		{"another salt in the header", header(segs[2], func(h *segmentHeader) { h.Salt++ }), false, segs[2]},
		{"gap in the names", f.without(segs[2]).with(segmentName(seqOf(segs[2])+1), f[segs[2]]), false, segs[2]},
		{"garbage behind the last record", f.with(segs[n-1], append(bytes.Clone(f[segs[n-1]]), "garbage"...)), true, ""},
		{"record of the last segment flipped", flip(segs[n-1], segmentHeaderLen+50), false, segs[n-1]},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			c.files.write(t, dir)
			gotFirst, got, err := openAndRead(t, dir)
			if c.whole {
				if err != nil || gotFirst != first {
					t.Fatalf("first %d, %v", gotFirst, err)
				}
				wantSamples(t, got, int(first), 301-int(first))
				return
			}
			var ce *CorruptionError
			if !errors.As(err, &ce) {
				t.Fatalf("got %d records and error %v", len(got), err)
			}
			if c.path != "" && !bytes.HasSuffix([]byte(ce.Path), []byte(c.path)) {
				t.Errorf("named %s, want %s: %v", ce.Path, c.path, err)
			}
			if len(got) > 0 {
				wantSamples(t, got, int(first), len(got)) // what was read before the damage is right
			}
		})
	}
}

func TestUnknownFormatVersionIsRefusedUntouched(t *testing.T) {
	f, segs, _ := makeSegments(t)
	b := bytes.Clone(f[segs[2]])
	binary.LittleEndian.PutUint32(b[8:], formatVersion+1)
	binary.LittleEndian.PutUint32(b[60:], crcOf(b[:60]))
	dir := t.TempDir()
	f.with(segs[2], b).write(t, dir)
	checkNamed(t, dir, segs[2], 0)
}

// TestRotInTheJournalIsNeverSilent flips, zeroes, deletes, cuts and swaps at random: everything is read back, or the damage is named.
func TestRotInTheJournalIsNeverSilent(t *testing.T) {
	f, segs, first := makeSegments(t)
	rng := rand.New(rand.NewPCG(1, 2))
	names := append(slices.Clone(segs), "head")
	dir := t.TempDir()
	for i := range 150 * *torture {
		name := names[rng.IntN(len(names))]
		damaged, what := rot(rng, f, name, names)
		damaged.write(t, dir)
		_, got, err := openAndRead(t, dir)
		if err == nil {
			if len(got) != 301-int(first) {
				t.Fatalf("case %d, %s: silently %d records of %d", i, what, len(got), 301-int(first))
			}
			wantSamples(t, got, int(first), len(got))
			continue
		}
		var ce *CorruptionError
		if !errors.As(err, &ce) {
			t.Fatalf("case %d, %s: %v", i, what, err)
		}
		for k, r := range got {
			w := sample(int(first) + k)
			w.Seq = first + uint64(k)
			if err := sameRecord(r, w); err != nil {
				t.Fatalf("case %d, %s: %v", i, what, err)
			}
		}
	}
}

// rot damages one file of f.
func rot(rng *rand.Rand, f files, name string, names []string) (files, string) {
	b := bytes.Clone(f[name])
	if len(b) == 0 {
		return f.without(name), "delete empty " + name
	}
	at := rng.IntN(len(b))
	switch rng.IntN(6) {
	case 0:
		n := min(1+rng.IntN(600), len(b)-at)
		clear(b[at : at+n])
		return f.with(name, b), fmt.Sprintf("zero %d bytes of %s at %d", n, name, at)
	case 1:
		return f.without(name), "delete " + name
	case 2:
		return f.with(name, b[:at]), fmt.Sprintf("cut %s at %d", name, at)
	case 3:
		other := names[rng.IntN(len(names))]
		return f.with(name, f[other]).with(other, b), fmt.Sprintf("swap %s and %s", name, other)
	default:
		bit := rng.IntN(8)
		b[at] ^= 1 << bit
		return f.with(name, b), fmt.Sprintf("flip bit %d of byte %d of %s", bit, at, name)
	}
}
