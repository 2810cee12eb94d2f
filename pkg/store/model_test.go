package store

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"pgregory.net/rapid"
)

// TestJournalAgainstASlice does anything to a journal and to a slice of records, and wants them to agree.
func TestJournalAgainstASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "journal")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		o := JournalOptions{
			SegmentBytes: rapid.SampledFrom([]int64{1, 300, 3000}).Draw(t, "segment"),
			MaxBytes:     rapid.SampledFrom([]int64{0, 2000}).Draw(t, "max"),
			Sync:         rapid.Bool().Draw(t, "sync"),
			disk:         disk{unsynced: true},
		}
		m := &journalModel{t: t, dir: dir, o: o, first: 1}
		m.reopen(t)
		defer func() { m.j.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"append":  m.append,
			"cut":     m.cut,
			"reopen":  m.reopen,
			"read":    m.read,
			"backlog": m.backlog,
			"":        m.check,
		})
	})
}

type journalModel struct {
	t     *rapid.T
	dir   string
	o     JournalOptions
	j     *Journal
	all   []Record // every record ever appended, all[i].Seq == i+1
	first uint64
}

func (m *journalModel) append(t *rapid.T) {
	n := rapid.IntRange(0, 5).Draw(t, "n")
	group := make([]Record, n)
	for i := range group {
		group[i] = Record{
			Time:    rapid.Int64Range(-5, 1000).Draw(t, "time"),
			Kind:    RecordKind(rapid.IntRange(1, 5).Draw(t, "kind")),
			Tenant:  rapid.StringN(0, 10, 20).Draw(t, "tenant"),
			Samples: uint32(rapid.IntRange(0, 100).Draw(t, "samples")),
			Payload: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "payload"),
		}
	}
	before := m.j.Bytes()
	err := m.j.Append(group)
	if errors.Is(err, ErrFull) {
		if m.o.MaxBytes == 0 || m.j.Bytes() != before {
			t.Fatalf("ErrFull at %d bytes", before)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range group {
		r.Payload = bytes.Clone(r.Payload)
		m.all = append(m.all, r)
		if r.Seq != uint64(len(m.all)) {
			t.Fatalf("record %d got seq %d", len(m.all), r.Seq)
		}
		if k := len(m.all); k > 1 && r.Time < m.all[k-2].Time {
			t.Fatalf("time goes back at record %d", k)
		}
	}
}

func (m *journalModel) cut(t *rapid.T) {
	before := rapid.Uint64Range(0, uint64(len(m.all))+3).Draw(t, "before")
	if err := m.j.Cut(before); err != nil {
		t.Fatal(err)
	}
	if first := m.j.First(); first > max(before, m.first) || first < m.first {
		t.Fatalf("Cut(%d): First went from %d to %d", before, m.first, first)
	}
	m.first = m.j.First()
}

func (m *journalModel) reopen(t *rapid.T) {
	if m.j != nil {
		if err := m.j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if m.j, err = OpenJournal(m.dir, m.o); err != nil {
		t.Fatal(err)
	}
}

func (m *journalModel) read(t *rapid.T) {
	from := rapid.Uint64Range(m.first, uint64(len(m.all))+1).Draw(t, "from")
	got, err := readAll(m.j, from)
	if err != nil {
		t.Fatal(err)
	}
	want := m.all[from-1:]
	if len(got) != len(want) {
		t.Fatalf("from %d: %d records, want %d", from, len(got), len(want))
	}
	for i := range got {
		if err := sameRecord(got[i], want[i]); err != nil {
			t.Fatal(err)
		}
	}
}

func (m *journalModel) backlog(t *rapid.T) {
	from := rapid.Uint64Range(0, uint64(len(m.all))+2).Draw(t, "from")
	var samples, bytes, oldest int64
	for i := len(m.all) - 1; i >= 0 && uint64(i+1) >= max(from, m.first); i-- {
		samples += int64(m.all[i].Samples)
		bytes += recordSize(&m.all[i])
		oldest = m.all[i].Time
	}
	if s, b, o := m.j.Backlog(from); s != samples || b != bytes || o != oldest {
		t.Fatalf("Backlog(%d) = %d, %d, %d, want %d, %d, %d", from, s, b, o, samples, bytes, oldest)
	}
}

func (m *journalModel) check(t *rapid.T) {
	if f, e := m.j.First(), m.j.End(); f != m.first || e != uint64(len(m.all))+1 {
		t.Fatalf("First() = %d, End() = %d, want %d, %d", f, e, m.first, len(m.all)+1)
	}
}
