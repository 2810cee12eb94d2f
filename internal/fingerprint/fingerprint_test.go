package fingerprint

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Rule: whatever is done to a directory changes its fingerprint; reading it does not.
func TestEveryTouchShows(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(path, []byte("x"), 0o600))
	at := time.Unix(1_790_000_000, 0)
	must(os.Chtimes(path, at, at))
	was := Of(t, dir)
	if again := Of(t, dir); again != was {
		t.Error("reading changed it")
	}
	for name, touch := range map[string]func() error{
		"time": func() error { return os.Chtimes(path, at, at.Add(time.Nanosecond)) },
		"mode": func() error { return os.Chmod(path, 0o640) },
		"byte": func() error {
			if err := os.WriteFile(path, []byte("y"), 0o600); err != nil {
				return err
			}
			return os.Chtimes(path, at, at)
		},
		"file": func() error { return os.WriteFile(filepath.Join(dir, "b"), nil, 0o600) },
	} {
		must(touch())
		if now := Of(t, dir); now == was {
			t.Errorf("another %s does not show", name)
		} else {
			was = now
		}
	}
}
