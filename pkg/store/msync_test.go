package store

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/ristretto/v2/z"
)

// Rule: what Badger syncs is in its file, can be read on, and none of its pages was in the way: the kernel
// would have to make each read-only by itself, with an interrupt of the other cores (third_party/ristretto/PAWL.md).
func TestWhatBadgerSyncedIsInItsFileAndItsPagesWereLetGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "table")
	m, err := z.OpenMmapFile(path, os.O_RDWR|os.O_CREATE, 1<<20)
	if m == nil {
		t.Fatal(err)
	}
	defer m.Close(-1)
	want := bytes.Repeat([]byte("a block of a table "), len(m.Data)/19+1)[:len(m.Data)]
	for what, sync := range map[string]func() error{
		"a table": func() error { return z.Msync(m.Data) },
		"a table, leisurely": func() error {
			z.Leisurely.Store(true)
			defer z.Leisurely.Store(false)
			return z.Msync(m.Data)
		},
		"a log": m.Sync,
	} {
		want[0]++
		copy(m.Data, want)
		if err := sync(); err != nil {
			t.Fatal(err)
		}
		if rss := residentOf(t, path); rss != "0" {
			t.Errorf("%s: %s kB are still mapped", what, rss)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) || !bytes.Equal(m.Data, want) {
			t.Errorf("%s: file or mapping are not what was written (%v)", what, err)
		}
	}
}

// residentOf is how many kB of a mapped file are in this process' page table.
func residentOf(t *testing.T, path string) string {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(smaps), path)
	if !ok {
		t.Fatal("the table is not mapped")
	}
	_, rest, _ = strings.Cut(rest, "\nRss:")
	return strings.Fields(rest)[0]
}
