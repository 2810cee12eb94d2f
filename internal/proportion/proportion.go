// Package proportion holds what reads hostile or damaged input to taking memory and time in proportion to it. It is for fuzzers, which
// by themselves find neither: an input of ten bytes for which a gigabyte is allocated ends without a panic.
package proportion

import (
	"runtime/metrics"
	"time"
)

// longest is what no input of a fuzzer takes, on the slowest of machines.
const longest = 20 * time.Second

// Tester is what is used of testing.T.
type Tester interface {
	Helper()
	Errorf(format string, args ...any)
}

// Check runs read, which is given n bytes, and fails the test when it allocated more than fixed bytes and perByte for each byte given, or
// took longer than 20 s. What is allocated in small pieces is counted some kilobytes late.
func Check(t Tester, n int, fixed, perByte uint64, read func()) {
	t.Helper()
	before, began := allocated(), time.Now()
	read()
	if took := time.Since(began); took > longest {
		t.Errorf("%d bytes took %v", n, took)
	}
	if got, most := allocated()-before, fixed+perByte*uint64(n); got > most {
		t.Errorf("%d bytes allocated for an input of %d; at most %d are in proportion", got, n, most)
	}
}

// allocated is how many bytes this process has ever allocated.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
