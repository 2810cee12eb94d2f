package proportion

import "testing"

// faults counts what Check complains of.
type faults struct{ n int }

func (f *faults) Helper()               {}
func (f *faults) Errorf(string, ...any) { f.n++ }

var sink []byte

// Rule: what is out of proportion is seen, what is in proportion is not.
func TestAGreatAllocationForASmallInputIsSeen(t *testing.T) {
	var f faults
	Check(&f, 10, 64<<10, 10, func() { sink = make([]byte, 1<<20) })
	if f.n != 1 {
		t.Errorf("%d complaints of 1 MiB for 10 bytes", f.n)
	}
	f = faults{}
	Check(&f, 1<<20, 64<<10, 10, func() { sink = make([]byte, 1<<20) })
	if f.n != 0 {
		t.Errorf("%d complaints of 1 MiB for 1 MiB", f.n)
	}
}
