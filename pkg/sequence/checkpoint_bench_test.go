package sequence

import (
	"context"
	"math"
	"syscall"
	"testing"
	"time"

	"pawl/pkg/store"
)

// BenchmarkCheckpoint is a checkpoint of 100,000 series that have all changed:
// the whole process' CPU for a series, and how long the writer was kept from
// its requests if none of them had forced a page.
func BenchmarkCheckpoint(b *testing.B) {
	const n = 100_000
	w := newTestWriter(b)
	at := scrapes(n)
	var cpu, held time.Duration
	seq := uint64(0)
	for b.Loop() {
		b.StopTimer()
		if err := w.journal.Append([]store.Record{{Kind: store.KindTick}}); err != nil {
			b.Fatal(err)
		}
		seq++
		w.apply(decoded(b, &Request{}, seq, at(int(seq))))
		w.next = seq + 1
		w.mark.Done(seq)
		b.StartTimer()
		used, began := cpuTime(), time.Now()
		w.beginCheckpoint(context.Background())
		w.copySome(math.MaxInt)
		held += time.Since(began)
		if err := <-w.checkpointed; err != nil {
			b.Fatal(err)
		}
		w.endCheckpoint()
		cpu += cpuTime() - used
	}
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N)/n, "CPU-ns/series")
	b.ReportMetric(float64(held.Microseconds())/float64(b.N)/1000, "ms-held")
}

// cpuTime is the process' user and system time.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
