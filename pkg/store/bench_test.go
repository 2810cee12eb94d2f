package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
)

// batchBytes is the size of a compressed request of 2,000 samples, roughly.
const batchBytes = 32 << 10

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 32} {
		for _, size := range []int{512, batchBytes} {
			b.Run(fmt.Sprintf("group=%d/payload=%d", n, size), func(b *testing.B) {
				j, err := OpenJournal(b.TempDir(), JournalOptions{Sync: true})
				if err != nil {
					b.Fatal(err)
				}
				defer j.Close()
				group := make([]Record, n)
				for i := range group {
					group[i] = Record{Kind: KindBatch1, Tenant: "tenant", Samples: 2000, Payload: make([]byte, size)}
				}
				b.SetBytes(int64(n * size))
				b.ReportAllocs()
				for b.Loop() {
					if err := j.Append(group); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
			})
		}
	}
}

// fillJournal writes n records of a batch's size without syncs.
func fillJournal(b *testing.B, dir string, n int) {
	j, err := OpenJournal(dir, JournalOptions{})
	if err != nil {
		b.Fatal(err)
	}
	payload := make([]byte, batchBytes)
	for range n {
		if err := j.Append([]Record{{Kind: KindBatch1, Samples: 2000, Payload: payload}}); err != nil {
			b.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkReadBack(b *testing.B) {
	dir := b.TempDir()
	const n = 8192 // 256 MiB
	fillJournal(b, dir, n)
	j, err := OpenJournal(dir, JournalOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	b.SetBytes(n * batchBytes)
	b.ReportAllocs()
	for b.Loop() {
		r, err := j.Reader(1)
		if err != nil {
			b.Fatal(err)
		}
		got := 0
		for {
			_, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			got++
		}
		r.Close()
		if got != n {
			b.Fatal(got)
		}
	}
}

func BenchmarkOpenJournal(b *testing.B) {
	dir := b.TempDir()
	fillJournal(b, dir, 32768) // 1 GiB
	b.ResetTimer()
	for b.Loop() {
		j, err := OpenJournal(dir, JournalOptions{})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := j.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func BenchmarkBacklog(b *testing.B) {
	dir := b.TempDir()
	fillJournal(b, dir, 8192)
	j, err := OpenJournal(dir, JournalOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	b.ReportAllocs()
	seq := uint64(1)
	for b.Loop() {
		j.Backlog(seq) // follows the delivery position
		if seq++; seq == 8192 {
			seq = 1
		}
	}
}

func benchPut(d *Draft, n int, value []byte) {
	keys := make([]byte, 17*n)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		k := keys[17*i : 17*i+17 : 17*i+17]
		k[0] = PrefixSeries
		binary.BigEndian.PutUint64(k[1:], rng.Uint64())
		d.Put(k, value)
	}
}

func BenchmarkDraftWrite100k(b *testing.B) {
	s, err := OpenState(b.TempDir(), nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	seq := uint64(0)
	for b.Loop() {
		seq++
		d := s.Begin(seq)
		value := make([]byte, 80)
		binary.LittleEndian.PutUint64(value, seq) // every key changes every time
		benchPut(d, 100_000, value)
		if err := d.Write(); err != nil {
			b.Fatal(err)
		}
		if err := d.Declare(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*100_000/b.Elapsed().Seconds(), "keys/s")
}

func BenchmarkOpenState1M(b *testing.B) {
	dir := b.TempDir()
	s, err := OpenState(dir, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	d := s.Begin(1)
	benchPut(d, 1_000_000, make([]byte, 80))
	if err := errors.Join(d.Write(), d.Declare(), s.Close()); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for b.Loop() {
		s, err := OpenState(dir, nil, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkReopen opens the database again after it was closed for nobody, as large as that of a million series, and reads a key.
func BenchmarkReopen(b *testing.B) {
	s, err := OpenState(b.TempDir(), nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	d := s.Begin(1)
	benchPut(d, 16_000, make([]byte, 6000))
	if err := errors.Join(d.Write(), d.Declare()); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for b.Loop() {
		restNow(s)
		if _, _, err := s.Get([]byte("sx")); err != nil {
			b.Fatal(err)
		}
	}
}
