package bench

import (
	"testing"
)

// Rule: a program's peak of memory is its own, whatever the one that started it holds. The kernel's ru_maxrss is not: at an exec it takes over the parent's.
func TestAPeakIsTheProgramsOwn(t *testing.T) {
	ballast := make([]byte, 128<<20)
	for i := 0; i < len(ballast); i += 4096 {
		ballast[i] = 1
	}
	c, err := startChild("/bin/sleep", t.TempDir(), "0.5")
	if err != nil {
		t.Fatal(err)
	}
	<-c.done
	c.log.Close()
	if c.peak == 0 || c.peak > 64<<20 {
		t.Errorf("sleep held %d bytes at most, beside %d of its parent", c.peak, len(ballast))
	}
}
