// Package fingerprint shows that a directory was not touched. It is for tests of what promises never to write.
package fingerprint

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Tester is what is used of testing.T.
type Tester interface {
	Helper()
	Fatal(args ...any)
}

// Of is of every name, mode, modification time and byte under dir.
func Of(t Tester, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(h, path, st.Mode(), st.ModTime().UnixNano(), st.Size())
		if !e.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		_, _ = h.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
