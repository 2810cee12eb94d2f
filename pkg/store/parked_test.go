package store

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// heldBatch is a batch of two parts.
func heldBatch(n int, body []byte) Held {
	return Held{Seq: uint64(n), Time: int64(1000 + n), Tenant: "team", Samples: 2, Replay: n%2 == 1, Parts: []HeldPart{{1, []byte("late")}, {2, body}}}
}

// Rule: what is parked comes back as it was put, in any order, and its files go once nothing in them is needed.
func TestParkedGivesBackWhatWasPut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "held")
	p, err := OpenParked(dir, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	rng := rand.New(rand.NewPCG(1, 1))
	type kept struct {
		ref  ParkedRef
		want Held
	}
	var all []kept
	for i := range 300 {
		b := bytes.Repeat([]byte{byte(i)}, rng.IntN(400_000))
		ref, err := p.Put(heldBatch(i, b))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, kept{ref, heldBatch(i, b)})
		if len(all) > 100 {
			k := rng.IntN(len(all))
			if got, err := p.Get(all[k].ref); err != nil || !reflect.DeepEqual(got, all[k].want) {
				t.Fatalf("record %d is another one, %v", k, err)
			}
			p.Drop(all[k].ref)
			all = append(all[:k], all[k+1:]...)
		}
	}
	for _, k := range all {
		if got, err := p.Get(k.ref); err != nil || !reflect.DeepEqual(got, k.want) {
			t.Fatalf("record %d is another one, %v", k.want.Seq, err)
		}
		p.Drop(k.ref)
	}
	files, _ := os.ReadDir(dir)
	if p.Bytes() != 0 || len(files) > 1 {
		t.Errorf("nothing is needed, and there are %d bytes in %d files", p.Bytes(), len(files))
	}
}

// Rule: parked batches take no more than they may, and leave nothing for the next start.
func TestParkedIsBoundedAndForgotten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "held")
	p, err := OpenParked(dir, 150)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := p.Put(heldBatch(1, make([]byte, 60)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Put(heldBatch(1, make([]byte, 60))); !errors.Is(err, ErrParkedFull) {
		t.Errorf("over the bound: %v", err)
	}
	p.Drop(ref)
	if _, err := p.Put(heldBatch(1, make([]byte, 60))); err != nil {
		t.Errorf("after room was made: %v", err)
	}
	if p, err = OpenParked(dir, 150); err != nil { // as after a crash
		t.Fatal(err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("the next start finds %v", files)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("a stop leaves the directory behind")
	}
}

// Rule: a parked record that the disk changed is named, not sent.
func TestParkedNamesRot(t *testing.T) {
	dir := t.TempDir()
	p, err := OpenParked(dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ref, err := p.Put(heldBatch(1, []byte("corrected")))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "00000001"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("C"), ref.offset+int64(ref.size)-9); err != nil {
		t.Fatal(err)
	}
	f.Close()
	var rot *CorruptionError
	if h, err := p.Get(ref); !errors.As(err, &rot) || rot.Path == "" {
		t.Errorf("got %v, %v", h, err)
	}
}

// Rule: what a kill leaves of the batches kept aside is read offline, every byte of it: each flipped bit is named with file and place,
// and the batches before and behind it are still read.
func TestHeldIsReadOfflineAndRotIsNamed(t *testing.T) {
	dir := t.TempDir()
	p, err := OpenParked(filepath.Join(dir, "held"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 3; n++ {
		if _, err := p.Put(heldBatch(n, []byte("corrected"))); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "held", "00000001")
	whole, err := os.ReadFile(path) // as a kill leaves it
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "held"), 0o700); err != nil {
		t.Fatal(err)
	}
	read := func(b []byte) (seqs []uint64, notes []Finding) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		o := &Offline{dir: dir}
		found, err := o.Held(func(from string, h Held) error {
			if from != path || !reflect.DeepEqual(h, heldBatch(int(h.Seq), []byte("corrected"))) {
				t.Errorf("from %s: %+v", from, h)
			}
			seqs = append(seqs, h.Seq)
			return nil
		})
		if err != nil || len(found) == 0 {
			t.Fatal(found, err)
		}
		return seqs, found[1:]
	}
	if seqs, notes := read(whole); len(seqs) != 3 || len(notes) != 0 {
		t.Fatalf("whole: %v, %v", seqs, notes)
	}
	size := len(whole) / 3
	for bit := range 8 * len(whole) {
		b := bytes.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		seqs, notes := read(b)
		if len(seqs) != 2 || len(notes) != 1 || notes[0].Level != Note || notes[0].Path != path || notes[0].Offset != int64(bit/8/size*size) || notes[0].Remedy == "" {
			t.Fatalf("bit %d flipped: %v, %v", bit, seqs, notes)
		}
	}
	for n := range len(whole) {
		if seqs, notes := read(whole[:n]); len(seqs) != n/size || len(notes) != min(1, n%size) {
			t.Fatalf("cut at %d: %v, %v", n, seqs, notes)
		}
	}
}

// Rule: a file that is used again leaves nothing of what was in it behind the new batches.
func TestAFileOfHeldBatchesBeginsAnewEmpty(t *testing.T) {
	dir := t.TempDir()
	p, err := OpenParked(filepath.Join(dir, "held"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, size := range []int{1000, 10} {
		ref, err := p.Put(heldBatch(size, make([]byte, size)))
		if err != nil {
			t.Fatal(err)
		}
		o := &Offline{dir: dir}
		batches := 0
		found, err := o.Held(func(string, Held) error { batches++; return nil })
		if err != nil || len(found) != 1 || batches != 1 {
			t.Errorf("%d batches, %v, %v", batches, found, err)
		}
		p.Drop(ref)
	}
}
