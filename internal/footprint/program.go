package footprint

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// span is a stretch of this process' addresses.
type span struct{ from, to uintptr }

// programSpans are where the program itself is mapped, as far as that is never written to: its code and its constants. A mapping
// that has pages of its own is left out, for what was written to it cannot be read from the file again.
func programSpans(smaps *bufio.Scanner, program string) (spans []span) {
	var s span
	candidate := false
	for smaps.Scan() {
		line := smaps.Text()
		var next span
		var perms string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &next.from, &next.to, &perms); n == 3 {
			s = next
			candidate = strings.HasPrefix(perms, "r") && !strings.Contains(perms, "w") && strings.HasSuffix(line, " "+program)
		}
		if own, ok := strings.CutPrefix(line, "Anonymous:"); ok && candidate && strings.Fields(own)[0] == "0" {
			spans = append(spans, s)
		}
	}
	return spans
}

// ownSpans are programSpans of this process; none where the system does not tell.
func ownSpans() []span {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return nil
	}
	defer f.Close()
	return programSpans(bufio.NewScanner(f), program)
}

// unmapUnused takes the program's own pages out of what is resident. Most of them were needed for the start alone; those that are
// needed again come back from the page cache, 16 at a fault.
func unmapUnused(spans []span) {
	for _, s := range spans {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, s.from, s.to-s.from, unix.MADV_DONTNEED) // advice: it may be declined
	}
}
