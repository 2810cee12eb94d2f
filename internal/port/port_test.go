package port

import (
	"net"
	"testing"
)

// Rule: an address is given once in a turn, and none that somebody listens on.
func TestAddressesAreFreeAndNotGivenTwice(t *testing.T) {
	seen := map[string]bool{}
	for range 500 {
		address, err := Free()
		if err != nil {
			t.Fatal(err)
		}
		if seen[address] {
			t.Fatalf("%s was given before", address)
		}
		seen[address] = true
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	next.Add(-500) // the same once more: all of them are taken now
	if address, err := Free(); err != nil || seen[address] {
		t.Errorf("%s, %v, though somebody listens there", address, err)
	}
}
