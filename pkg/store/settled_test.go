package store

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// kept is what a log lists, oldest first.
func kept(t *testing.T, l *RejectedLog) (seqs []uint64) {
	t.Helper()
	list, err := l.List(0, 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	var samples int64
	for _, b := range list {
		seqs = append(seqs, b.Seq)
		samples += int64(b.Samples)
		got, found, err := l.Get(b.Seq)
		if err != nil || !found || got.Seq != b.Seq || !bytes.Equal(got.Body, b.Body) {
			t.Fatalf("batch %d: found %v, %v", b.Seq, found, err)
		}
	}
	slices.Reverse(seqs)
	if n, s := l.Count(); n != int64(len(seqs)) || s != samples {
		t.Fatalf("Count is %d batches and %d samples, %d and %d are listed", n, s, len(seqs), samples)
	}
	if oldest := l.Oldest(0, 1<<20); !slices.Equal(oldest, seqs) {
		t.Fatalf("Oldest is %v, listed are %v", oldest, seqs)
	}
	return seqs
}

// TestWhatWasSettledStaysGone settles batches at random between restarts, and holds the log against a plain list.
func TestWhatWasSettledStaysGone(t *testing.T) {
	dir := t.TempDir()
	const bound = 1 << 20
	l := mustOpenRejected(t, dir, bound)
	rng := rand.New(rand.NewPCG(1, 2))
	var want []uint64
	for step := range 400 {
		switch rng.IntN(4) {
		case 0:
			mustClose(t, l)
			l = mustOpenRejected(t, dir, bound)
		case 1:
			var gone []uint64
			for _, seq := range want {
				if rng.IntN(3) == 0 {
					gone = append(gone, seq)
				}
			}
			if rng.IntN(10) == 0 {
				gone = slices.Clone(want)
			}
			n, _, err := l.Settle(append(gone, 1<<40), Thrown)
			if err != nil || n != int64(len(gone)) {
				t.Fatalf("step %d: %d of %d went, %v", step, n, len(gone), err)
			}
			want = slices.DeleteFunc(want, func(seq uint64) bool { return slices.Contains(gone, seq) })
		default:
			b := refused(step)
			b.Body = bytes.Repeat([]byte{byte(step)}, rng.IntN(2000))
			if err := l.Add(b); err != nil {
				t.Fatal(err)
			}
			want = append(want, l.j.End()-1)
		}
		if got := kept(t, l); !slices.Equal(got, want) {
			t.Fatalf("step %d: kept %v, want %v", step, got, want)
		}
	}
}

func TestSettlingEverythingGivesTheSpaceBack(t *testing.T) {
	dir := t.TempDir()
	l := mustOpenRejected(t, dir, 1<<20)
	for i := range 300 {
		b := refused(i)
		b.Body = bytes.Repeat([]byte{1}, 2500)
		if err := l.Add(b); err != nil {
			t.Fatal(err)
		}
	}
	full := l.Bytes()
	seqs := kept(t, l)
	if _, _, err := l.Settle(seqs[:len(seqs)/2], Resent); err != nil {
		t.Fatal(err)
	}
	if l.Bytes() > full*3/4 {
		t.Errorf("%d bytes of %d are left after half of it went", l.Bytes(), full)
	}
	if _, _, err := l.Settle(seqs, Resent); err != nil {
		t.Fatal(err)
	}
	if l.Bytes() > 4096 || l.j.First() != l.j.End() {
		t.Errorf("%d bytes are left of nothing", l.Bytes())
	}
	if err := l.Add(refused(1)); err != nil {
		t.Fatal(err)
	}
	if got := kept(t, l); len(got) != 1 || got[0] <= seqs[len(seqs)-1] {
		t.Errorf("a new batch is %v, the old ones were up to %d", got, seqs[len(seqs)-1])
	}
}

// A batch whose settling could not be written is kept: to send it twice is better than to lose it.
func TestFailedSettlingKeepsTheBatch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "rejected")
	l := mustOpenRejected(t, dir, 0)
	for i := 1; i <= 3; i++ {
		if err := l.Add(refused(i)); err != nil {
			t.Fatal(err)
		}
	}
	l.j.o.disk = (&failNth{op: opSync, base: ".seg", nth: 1, err: syscall.EIO}).disk()
	if _, _, err := l.Settle([]uint64{2}, Thrown); !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v", err)
	}
	if got := kept(t, l); len(got) != 3 {
		t.Errorf("kept %v", got)
	}
}

func TestSettledRecordOfAnyBytesIsRefusedOrRead(t *testing.T) {
	for _, p := range [][]byte{nil, make([]byte, 7), make([]byte, 12)} {
		if _, reason := getSettled(Record{Kind: KindSettled, Payload: p}); reason == "" {
			t.Errorf("%x was read", p)
		}
	}
	s, reason := getSettled(Record{Kind: KindSettled, Payload: putSettled(Settled{Resent, []uint64{1, 1 << 60}})})
	if reason != "" || s.Outcome != Resent || !slices.Equal(s.Seqs, []uint64{1, 1 << 60}) {
		t.Errorf("%+v %s", s, reason)
	}
}
