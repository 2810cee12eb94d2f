// Package port finds addresses for programs that are about to be started.
package port

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
)

// Ports are taken from below the range that the kernel gives to connections (32768 and up on Linux, 49152 and up elsewhere), and in
// turn: one that was free and closed again is then neither taken by somebody's connection before its program listens or between two
// starts on it, nor given to another program.
const (
	first = 10_000
	last  = 32_000
)

// next is the turn. It begins anywhere, because test binaries run side by side.
var next = func() *atomic.Int64 {
	n := &atomic.Int64{}
	n.Store(int64(rand.IntN(last - first)))
	return n
}()

// Free gives a loopback address, host:port, that nobody listens on.
func Free() (string, error) {
	var err error
	for range 1000 {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+next.Add(1)%(last-first))); err == nil {
			l.Close()
			return l.Addr().String(), nil
		}
	}
	return "", fmt.Errorf("find a free port between %d and %d: %w", first, last, err)
}

// Tester is what is used of testing.T.
type Tester interface {
	Helper()
	Fatal(args ...any)
}

// ForTest is Free for a test, which ends where there is none.
func ForTest(t Tester) string {
	t.Helper()
	address, err := Free()
	if err != nil {
		t.Fatal(err)
	}
	return address
}
