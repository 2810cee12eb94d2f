//go:build rig

package rig

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// What the torture command sets; `go test` alone runs the CI's sizes from a
// seed of its own.
const (
	envSeed  = "PAWL_RIG_SEED"  // the seed
	envCount = "PAWL_RIG_COUNT" // how many kills, stops, cases, ... instead of the CI's number
	envOut   = "PAWL_RIG_OUT"   // a file for the figures, JSON
	envKeep  = "PAWL_RIG_KEEP"  // where directories of failed runs are kept; default .cache/rig
	envRelay = "PAWL_RIG_RELAY" // a relay built with -tags killpoints, instead of building it
)

// seedOf draws the test's seed, or takes it from the environment, and says it when the test fails.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64() >> 16
	if s := os.Getenv(envSeed); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("%s: %v", envSeed, err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again with: %s=%d go test -tags rig -run '^%s$' ./internal/rig", envSeed, seed, t.Name())
		}
	})
	return seed
}

// countOr is how many cases to run: the CI's number, or what the environment says.
func countOr(t *testing.T, ci int) int {
	t.Helper()
	s := os.Getenv(envCount)
	if s == "" {
		return ci
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is not a number of cases", envCount, s)
	}
	return n
}

// report hands figures to the torture command.
func report(t *testing.T, figures map[string]float64) {
	t.Helper()
	t.Logf("%v", figures)
	path := os.Getenv(envOut)
	if path == "" {
		return
	}
	b, err := json.Marshal(figures)
	if err == nil {
		err = os.WriteFile(path, b, 0o644)
	}
	if err != nil {
		t.Fatalf("report figures: %v", err)
	}
}

// workDir is a directory of the test's own, kept if it fails.
func workDir(t *testing.T) string {
	t.Helper()
	root := os.Getenv(envKeep)
	if root == "" {
		root = filepath.Join(repoRoot, ".cache", "rig")
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(root, "run-")
	if err != nil {
		t.Fatal(err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("kept: %s", dir)
			return
		}
		_ = os.RemoveAll(dir)
	})
	return dir
}

// repoRoot is the module's folder; go test runs a package's tests in their own.
const repoRoot = "../.."

// relayBinary builds the relay with kill points in it, once.
func relayBinary(t *testing.T) string {
	t.Helper()
	path, err := buildRelay()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildRelay = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(envRelay); path != "" {
		return filepath.Abs(path)
	}
	name, flags := "relay-killpoints", []string{"build", "-tags", "killpoints"}
	if raceDetector {
		name, flags = name+"-race", append(flags, "-race")
	}
	path, err := filepath.Abs(filepath.Join(repoRoot, ".cache", "bin", name))
	if err != nil {
		return "", err
	}
	if out, err := exec.Command("go", append(flags, "-o", path, "pawl/cmd/relay")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the relay: %w\n%s", err, out)
	}
	return path, nil
})
