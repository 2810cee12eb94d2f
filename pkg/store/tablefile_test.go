package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/ristretto/v2/z"
)

// newTable is a table as Badger makes one: a new file, copied into.
func newTable(t *testing.T, size int) (m *z.MmapFile, path string, want []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "000001.sst")
	m, err := z.OpenMmapFile(path, os.O_CREATE|os.O_RDWR|os.O_EXCL, size)
	if !errors.Is(err, z.NewFile) {
		t.Fatal(err)
	}
	want = bytes.Repeat([]byte("a block of a table "), size/19+1)[:size]
	if n := copy(m.Data, want); n != size {
		t.Fatalf("there is room for %d bytes, want %d", n, size)
	}
	return m, path, want
}

// Rule: a table that Badger synced is whole in its file, and is read from there. It was not written through the mapping: the kernel has a
// fault for each page then, and makes each read-only again by itself (third_party/ristretto/PAWL.md).
func TestATableIsWrittenAndThenMapped(t *testing.T) {
	for what, c := range map[string]struct {
		size      int
		leisurely bool
	}{
		"in pieces, with rests":                {1<<20 + 7, true},
		"in pieces":                            {1<<20 + 7, false},
		"of whole pieces":                      {512 << 10, true},
		"smaller than what is worth a mapping": {1000, false},
	} {
		z.Leisurely.Store(c.leisurely)
		m, path, want := newTable(t, c.size)
		err := z.Msync(m.Data)
		z.Leisurely.Store(false)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if kb := resident(t, path); kb != "0" {
			t.Errorf("%s: %s kB of its mapping were touched before anybody read", what, kb)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) || !bytes.Equal(m.Data, want) {
			t.Errorf("%s: file or mapping are not what was copied (%v)", what, err)
		}
		if err := z.Msync(m.Data); err != nil { // as any mapping
			t.Errorf("%s: synced again: %v", what, err)
		}
		if err := m.Delete(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Rule: a table that cannot be written is an error, and leaves no file, so that Badger can make it again.
func TestATableThatCannotBeWrittenLeavesNoFile(t *testing.T) {
	m, path, _ := newTable(t, 300<<10)
	m.Fd.Close()
	if err := z.Msync(m.Data); !errors.Is(err, os.ErrClosed) {
		t.Errorf("error %v, want that of the write", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there (%v)", err)
	}
}

// resident is how many kB of a mapped file are in this process' page table.
func resident(t *testing.T, path string) string {
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
