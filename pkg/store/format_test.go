package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"pawl/internal/proportion"
)

func TestFormatOfVersion1DoesNotChange(t *testing.T) {
	// Written out by hand from docs/format.md, checksums left out.
	h := make([]byte, segmentHeaderLen)
	putSegmentHeader(h, segmentHeader{First: 0x0102, Salt: 0x0304, Floor: -1})
	want := []byte("PAWLJRNL" + "\x01\x00\x00\x00" + "\x00\x00\x00\x00" + "\x02\x01\x00\x00\x00\x00\x00\x00" + "\x04\x03\x00\x00\x00\x00\x00\x00" + "\xff\xff\xff\xff\xff\xff\xff\xff")
	want = append(want, make([]byte, 20)...)
	if !bytes.Equal(h[:60], want) {
		t.Errorf("segment header\n%x, want\n%x", h[:60], want)
	}

	r := appendRecord(nil, 7, &Record{Seq: 5, Time: 6, Kind: KindForget, Tenant: "ab", Samples: 9, Payload: []byte("xyz")}, 3, flagAfterSync)
	clear(r[4:8])
	want = []byte("PLWR" + "\x00\x00\x00\x00" + "\x03\x00\x00\x00" + "\x09\x00\x00\x00" + "\x05\x00\x00\x00\x00\x00\x00\x00" + "\x06\x00\x00\x00\x00\x00\x00\x00" +
		"\x03\x00\x00\x00" + "\x02\x00" + "\x04" + "\x01" + "ab" + "xyz")
	if !bytes.Equal(r, want) {
		t.Errorf("record\n%x, want\n%x", r, want)
	}

	f := appendFooter(nil, 7, 10, &footer{next: 20, samples: 30, last: 40, blocks: []block{{seq: 10, offset: 64, samples: 0, time: 35}}})
	clear(f[4:8])
	want = []byte("PLWF" + "\x00\x00\x00\x00" + "\x4c\x00\x00\x00" + "\x01\x00\x00\x00" + "\x14\x00\x00\x00\x00\x00\x00\x00" + "\x1e\x00\x00\x00\x00\x00\x00\x00" +
		"\x28\x00\x00\x00\x00\x00\x00\x00" +
		"\x00\x00\x00\x00" + "\x40\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x23\x00\x00\x00\x00\x00\x00\x00" +
		"\x4c\x00\x00\x00" + "PLWE")
	if !bytes.Equal(f, want) {
		t.Errorf("footer\n%x, want\n%x", f, want)
	}
}

func TestHeadSlotsAndCheckpointsComeBackAsWritten(t *testing.T) {
	h := headSlot{generation: 1, first: 2, end: 3, segment: 4, offset: 5}
	b := make([]byte, headSlotLen)
	putHeadSlot(b, h)
	if got, ok := getHeadSlot(b); !ok || got != h {
		t.Errorf("head slot: %+v, %v", got, ok)
	}
	c := Checkpoint{Version: 1, Seq: 2, Keys: 3, sum: 4}
	if got, reason := decodeCheckpoint(c.encode()); reason != "" || got != c {
		t.Errorf("checkpoint: %+v, %s", got, reason)
	}
	for bit := range checkpointLen * 8 {
		b := c.encode()
		b[bit/8] ^= 1 << (bit % 8)
		if got, reason := decodeCheckpoint(b); reason == "" {
			t.Errorf("checkpoint with bit %d flipped is taken for %+v", bit, got)
		}
	}
	for bit := range headSlotLen * 8 {
		b := bytes.Clone(b)
		b[bit/8] ^= 1 << (bit % 8)
		if got, ok := getHeadSlot(b); ok {
			t.Errorf("head slot with bit %d flipped is taken for %+v", bit, got)
		}
	}
}

// FuzzRecord wants of any bytes: no panic, nothing read beyond them, and what is taken for a record is one.
func FuzzRecord(f *testing.F) {
	r := sample(3)
	f.Add(appendRecord(nil, salted(1), &r, 0, 1))
	f.Add([]byte("PLWR"))
	f.Add(bytes.Repeat([]byte{0xff}, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		w := window{f: bytes.NewReader(b), limit: int64(len(b))}
		var (
			raw    []byte
			h      recordHeader
			reason string
			err    error
		)
		proportion.Check(t, len(b), 2*windowBytes, 8, func() { raw, h, reason, err = w.record(0, salted(1)) }) // whatever length the record says
		if err != nil {
			t.Fatal(err)
		}
		if reason != "" {
			return
		}
		rec := h.record(raw)
		if again := appendRecord(nil, salted(1), &rec, h.group, h.flags); !bytes.Equal(again, b[:len(again)]) {
			t.Fatalf("%x was taken for %x", b, again)
		}
		getRejected(rec)
		getHeld(rec)
	})
}

// FuzzSegment wants of any bytes behind a header: no panic, an error of the right kind or a journal that can be read and written.
func FuzzSegment(f *testing.F) {
	var records []byte
	for n := 1; n < 4; n++ {
		r := sample(n)
		r.Seq = uint64(n)
		records = appendRecord(records, salted(1), &r, 0, flagAfterSync)
	}
	ft := &footer{next: 4, last: 1003, blocks: []block{{seq: 1, offset: segmentHeaderLen, time: 1001}}}
	f.Add(records, []byte(nil))
	f.Add(records[:len(records)-3], []byte(nil))
	f.Add(appendFooter(bytes.Clone(records), salted(1), 1, ft), []byte(nil))
	f.Add(records, make([]byte, headFileLen))
	f.Fuzz(func(t *testing.T, b, head []byte) {
		dir := t.TempDir()
		h := make([]byte, segmentHeaderLen)
		putSegmentHeader(h, segmentHeader{First: 1, Salt: 1})
		for name, b := range (files{segmentName(1): append(h, b...), "head": head}) {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		j, err := OpenJournal(dir, JournalOptions{Sync: true, disk: disk{unsynced: true}})
		if err != nil {
			var c *CorruptionError
			if !errors.As(err, &c) {
				t.Fatal(err)
			}
			return
		}
		defer j.Close()
		n := j.End()
		got, err := readAll(j, 1)
		if err != nil || uint64(len(got)) != n-1 {
			t.Fatalf("%d of %d records, %v", len(got), n-1, err)
		}
		for from := uint64(1); from <= min(n, 200); from++ {
			j.Backlog(from)
		}
		mustAppend(t, j, sample(1))
	})
}
