package store

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

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
		want []byte
	}
	var all []kept
	for i := range 300 {
		b := bytes.Repeat([]byte{byte(i)}, rng.IntN(400_000))
		ref, err := p.Put(b)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, kept{ref, b})
		if len(all) > 100 {
			k := rng.IntN(len(all))
			got, err := p.Get(all[k].ref, nil)
			if err != nil || !bytes.Equal(got, all[k].want) {
				t.Fatalf("record %d: %d bytes, %v; want %d", k, len(got), err, len(all[k].want))
			}
			p.Drop(all[k].ref)
			all = append(all[:k], all[k+1:]...)
		}
	}
	for _, k := range all {
		if got, err := p.Get(k.ref, nil); err != nil || !bytes.Equal(got, k.want) {
			t.Fatalf("%d bytes, %v; want %d", len(got), err, len(k.want))
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
	p, err := OpenParked(dir, 100)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := p.Put(make([]byte, 60))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Put(make([]byte, 60)); !errors.Is(err, ErrParkedFull) {
		t.Errorf("over the bound: %v", err)
	}
	p.Drop(ref)
	if _, err := p.Put(make([]byte, 60)); err != nil {
		t.Errorf("after room was made: %v", err)
	}
	if p, err = OpenParked(dir, 100); err != nil { // as after a crash
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
	ref, err := p.Put([]byte("corrected"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "00000001"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("C"), ref.offset+parkedHeader); err != nil {
		t.Fatal(err)
	}
	f.Close()
	var rot *CorruptionError
	if b, err := p.Get(ref, nil); !errors.As(err, &rot) || rot.Path == "" {
		t.Errorf("got %q, %v", b, err)
	}
}
