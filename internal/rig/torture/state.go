package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// state is what has run, as it stands in the file.
type state struct {
	path  string
	Rows  map[string]*record `json:"rows"`
	Story string             `json:"story"` // the recording of one crash
}

// record is what has run of one row.
type record struct {
	Done     int                `json:"done"`
	Seeds    []uint64           `json:"seeds"` // of each chunk
	Figures  map[string]float64 `json:"figures,omitempty"`
	Seconds  float64            `json:"seconds"`
	Commits  []string           `json:"commits"`
	Go       string             `json:"go"`
	Machine  string             `json:"machine"`
	Last     string             `json:"last"` // date of the last chunk
	Failures []failure          `json:"failures,omitempty"`
	Past     []failure          `json:"past_failures,omitempty"` // of commits before the last, mended since
}

type failure struct {
	Seed   uint64 `json:"seed"`
	Commit string `json:"commit"`
	Output string `json:"output"` // its end
}

func readState(path string) (*state, error) {
	s := &state{path: path, Rows: map[string]*record{}}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func (s *state) of(name string) *record {
	if s.Rows[name] == nil {
		s.Rows[name] = &record{}
	}
	return s.Rows[name]
}

func (s *state) save() error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	tmp := s.path + ".tmp"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, s.path)
}

// work runs what is missing of a row, chunk by chunk, until it fails or ctx is done.
func (s *state) work(ctx context.Context, r row, commit string) error {
	rec := s.of(r.Name)
	for rec.Done < r.Target && len(rec.Failures) == 0 && ctx.Err() == nil {
		n := min(r.Chunk, r.Target-rec.Done)
		seed := rand.Uint64() >> 16
		fmt.Printf("%s %s: %d of %d %s, seed %d\n", time.Now().UTC().Format("15:04:05"), r.Name, rec.Done, r.Target, r.Unit, seed)
		figures, output, story, took, err := chunk(ctx, r, rec.Done, n, seed)
		if ctx.Err() != nil {
			break
		}
		rec.Seconds += took.Seconds()
		rec.Seeds = append(rec.Seeds, seed)
		if !slices.Contains(rec.Commits, commit) {
			rec.Commits = append(rec.Commits, commit)
		}
		rec.Go, rec.Machine, rec.Last = runtime.Version(), machine(), time.Now().UTC().Format(time.DateOnly)
		if err != nil {
			rec.Failures = append(rec.Failures, failure{seed, commit, output})
			fmt.Printf("%s failed: %v\n%s\n", r.Name, err, output)
		} else {
			rec.Done += n
			rec.merge(figures)
			if story != "" {
				s.Story = story
			}
		}
		if err := s.save(); err != nil {
			return err
		}
	}
	return nil
}

// chunk runs one process of a row. output is the end of what one that failed has printed.
func chunk(ctx context.Context, r row, done, n int, seed uint64) (figures map[string]float64, output, story string, took time.Duration, err error) {
	args, env, err := r.command(done, n)
	if err != nil {
		return nil, err.Error(), "", 0, err
	}
	dir, err := os.MkdirTemp("", "torture-")
	if err != nil {
		return nil, err.Error(), "", 0, err
	}
	defer os.RemoveAll(dir)
	out, told := filepath.Join(dir, "figures.json"), filepath.Join(dir, "story")
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(append(os.Environ(), env...), fmt.Sprintf("PAWL_RIG_SEED=%d", seed), "PAWL_RIG_OUT="+out, "PAWL_RIG_STORY="+told)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	began := time.Now()
	b, err := cmd.CombinedOutput()
	took = time.Since(began)
	if err != nil {
		return nil, tail(b, 4000), "", took, err
	}
	if b, err := os.ReadFile(out); err == nil {
		if err := json.Unmarshal(b, &figures); err != nil {
			return nil, string(b), "", took, err
		}
	}
	text, _ := os.ReadFile(told) // only one row has a story
	return figures, "", string(text), took, nil
}

// tail is what a test that failed has said, and the end of everything that was printed, n bytes of each.
func tail(b []byte, n int) string {
	var said []byte
	for line := range bytes.Lines(b) {
		if bytes.Contains(line, []byte("_test.go:")) && len(said) < n {
			said = append(said, line...)
		}
	}
	return string(said) + string(bytes.TrimSpace(b[max(0, len(b)-n):]))
}

// merge adds up counts; of extremes and sizes it keeps the greatest.
func (rec *record) merge(figures map[string]float64) {
	if rec.Figures == nil {
		rec.Figures = map[string]float64{}
	}
	for name, v := range figures {
		first, _, _ := strings.Cut(name, " ")
		switch first {
		case "longest", "most", "memory", "backlog,", "caught":
			rec.Figures[name] = max(rec.Figures[name], v)
		case "times":
			if old, ok := rec.Figures[name]; !ok || v < old {
				rec.Figures[name] = v
			}
		default:
			rec.Figures[name] += v
		}
	}
}

// head is the commit that is checked out, with a mark if something differs from it.
func head() (string, error) {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "", fmt.Errorf("git describe: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// machine is what the figures were made on.
func machine() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return fmt.Sprintf("%d cores", runtime.NumCPU())
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return fmt.Sprintf("%d cores of %s", runtime.NumCPU(), strings.TrimSpace(value))
		}
	}
	return fmt.Sprintf("%d cores", runtime.NumCPU())
}
