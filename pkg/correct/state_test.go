package correct

import (
	"testing"
	"unsafe"
)

// Rule: there may be millions of them (docs/performance.md, "Memory").
func TestStateStaysSmall(t *testing.T) {
	if size := unsafe.Sizeof(Counter{}); size > 64 {
		t.Errorf("a Counter has %d bytes, may have 64", size)
	}
	if size := unsafe.Sizeof(part{}); size > 80 {
		t.Errorf("a part of a histogram has %d bytes, may have 80", size)
	}
	if size := unsafe.Sizeof(Histogram{}); size > 80 {
		t.Errorf("a histogram has %d bytes, may have 80", size)
	}
}

func TestHealthySamplesDoNotAllocate(t *testing.T) {
	var c Counter
	s := Sample{T: 1, V: 1}
	c.Apply(nil, Policy{}, s)
	if n := testing.AllocsPerRun(1000, func() {
		s.T += 15000
		s.V += 3
		if !c.Healthy(s) {
			t.Fatal("an ordinary sample was refused")
		}
	}); n != 0 {
		t.Errorf("Healthy allocates %v times", n)
	}
}
