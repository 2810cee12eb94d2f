package footprint

import (
	"bufio"
	"slices"
	"strings"
	"testing"
)

// What was written to cannot be read from the program's file again, so only what never was may be dropped.
func TestOnlyWhatIsInTheProgramsFileIsDropped(t *testing.T) {
	const smaps = `00400000-01c1b000 r-xp 00000000 fe:00 3805330 /usr/bin/relay
Rss:               13000 kB
Anonymous:             0 kB
01c1b000-03e5f000 r--p 0181b000 fe:00 3805330 /usr/bin/relay
Anonymous:             0 kB
03e5f000-03e6f000 r--p 0381b000 fe:00 3805330 /usr/bin/relay
Anonymous:            64 kB
03e6f000-03fcf000 rw-p 03a5f000 fe:00 3805330 /usr/bin/relay
Anonymous:             0 kB
03fcf000-0402d000 rw-p 00000000 00:00 0
Anonymous:             0 kB
7f0000000000-7f0000200000 r--p 00000000 fe:00 99 /data/state/badger/000001.sst
Anonymous:             0 kB
7f0000400000-7f0000600000 r-xp 00000000 fe:00 98 /usr/lib/libc.so
Anonymous:             0 kB
`
	got := programSpans(bufio.NewScanner(strings.NewReader(smaps)), "/usr/bin/relay")
	if want := []span{{0x400000, 0x1c1b000}, {0x1c1b000, 0x3e5f000}}; !slices.Equal(got, want) {
		t.Errorf("dropped are %x, want %x", got, want)
	}
}

func TestTheProgramRunsOnWhenItsPagesWereDropped(t *testing.T) {
	spans := ownSpans()
	if len(spans) == 0 {
		t.Fatal("the program is not found among its own mappings")
	}
	for range 3 {
		unmapUnused(spans)
		if got := strings.Repeat("ab", 3); got != "ababab" {
			t.Error(got)
		}
	}
}
