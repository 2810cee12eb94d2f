package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// row is one of the table.
type row struct {
	Name   string
	Title  string
	Passes string // what it must show
	CI     string // its size in CI
	Unit   string // of Target
	Target int
	Chunk  int // of Target in one process
	// command is the process of one chunk: n of the row's units, after done of them.
	command func(done, n int) (args, env []string, err error)
}

// rig is a test of internal/rig, whose size is its count.
func rig(test string) func(int, int) ([]string, []string, error) {
	return func(_, n int) ([]string, []string, error) {
		return []string{"go", "test", "-tags", "rig", "-count", "1", "-parallel", "10", "-timeout", "60m", "-v", "-run", "^(" + test + ")$", "./internal/rig"},
			[]string{fmt.Sprintf("PAWL_RIG_COUNT=%d", n)}, nil
	}
}

// other is a test elsewhere; {n} in an argument or variable is the chunk's size.
func other(env string, args ...string) func(int, int) ([]string, []string, error) {
	return func(_, n int) ([]string, []string, error) {
		size := strings.NewReplacer("{n}", fmt.Sprint(n))
		out := []string{"go", "test", "-count", "1", "-timeout", "60m"}
		for _, a := range args {
			out = append(out, size.Replace(a))
		}
		return out, []string{size.Replace(env)}, nil
	}
}

const sixChecks = "A–F, no exception"

func rows() []row {
	return []row{
		{Name: "torn", Title: "torn journal tail: cut at every byte, every bit of the last records flipped", Passes: "an unacknowledged tail is dropped, the rest is whole; damage to acknowledged records is named", CI: "all",
			Unit: "rounds", Target: 1, Chunk: 1, command: other("", "-run", "Torn|PagesOf|Payload|DamageBefore|GroupsWritten", "./pkg/store")},
		{Name: "story", Title: "one crash, recorded below", Passes: sixChecks, CI: "1",
			Unit: "crash", Target: 1, Chunk: 1, command: rig("TestOneCrashToldByItself")},
		{Name: "starts", Title: "five kills in a row within a start", Passes: sixChecks, CI: "10 rows of five",
			Unit: "rounds of 5 points", Target: 10, Chunk: 5, command: rig("TestKilledFiveTimesInARowWhileStarting")},
		{Name: "stop", Title: "SIGTERM under load, twice, with a hanging upstream", Passes: "exit 0 within 10 s, A–F, the next start repeats little", CI: "10",
			Unit: "stops", Target: 200, Chunk: 50, command: rig("TestStopsUnderLoadWhileTheUpstreamHangs")},
		{Name: "poison", Title: "upstream refuses a poison series (400, 409, 422); holds (401, 403, 404)", Passes: "the rest of the batch arrives, the guilty one is in the rejected store; nothing is dropped", CI: "9 runs",
			Unit: "rounds of 9 runs", Target: 10, Chunk: 1, command: rig("TestOnlyThePoisonSeriesIsRejected|TestWhatCanBeMendedHoldsInsteadOfDropping")},
		{Name: "upstream", Title: "upstream down, slow, hanging, resetting, 500/502/503, 408, redirects, 429 with every kind of Retry-After, flapping", Passes: sixChecks, CI: "each once",
			Unit: "rounds of 12 kinds", Target: 50, Chunk: 10, command: rig("TestWhateverTheUpstreamDoes")},
		{Name: "backlog", Title: "a backlog grows fourfold, then the upstream is back", Passes: "memory flat ±10 %, caught up at several times the live rate, A–F", CI: "1",
			Unit: "backlogs", Target: 10, Chunk: 1, command: rig("TestBacklogTakesNoMemoryAndIsCaughtUpWith|TestBacksOffWithJitter")},
		{Name: "kill", Title: "kill -9 at random moments under load", Passes: sixChecks, CI: "20",
			Unit: "kills", Target: 500, Chunk: 100, command: rig("TestKilledAtRandomMoments")},
		{Name: "points", Title: "kill at each of 26 named points", Passes: sixChecks, CI: "each ×2",
			Unit: "times each", Target: 50, Chunk: 10, command: rig("TestKilledAtNamedPoints")},
		{Name: "rot", Title: "rot: flip, zero, cut, delete, swap any file of the data directory, and start the relay", Passes: "right, or refused naming what is wrong; never silently less, never a panic", CI: "50",
			Unit: "cases", Target: 2000, Chunk: 500, command: rig("TestRotIsNamedOrHarmless")},
		{Name: "rot-store", Title: "the same on the journal and on the series state alone, and kills while they are written", Passes: "as above", CI: "190",
			Unit: "× CI", Target: 50, Chunk: 10, command: other("", "-run", "Rot|Kill", "./pkg/store", "-args", "-torture", "{n}")},
		{Name: "disk", Title: "full disk, filled by the relay and by a neighbour; a disk that fails", Passes: "503, no SIGBUS, restarts, resumes within 10 s of space coming back", CI: "1 each",
			Unit: "times each", Target: 20, Chunk: 5, command: other("", "./internal/fulldisk", "-torture", "{n}")},
		{Name: "bombs", Title: "bombs: lying lengths, empty series, labels and varints without end, 200 at once", Passes: "refused at once where the header gives it away; honest senders served meanwhile", CI: "all",
			Unit: "rounds", Target: 5, Chunk: 1, command: other("", "-run", "Bomb|HeaderGivesAway|Lying|EmptySeries|Flood", "./pkg/receive", "./pkg/rewrite")},
		{Name: "slow", Title: "slow clients, idle connections", Passes: "closed in 30 s, honest senders unharmed", CI: "500",
			Unit: "× CI", Target: 10, Chunk: 10, command: other("", "-run", "SlowClients|ConnectionsAreBounded", "./pkg/receive", "-torture", "{n}")},
		{Name: "ceiling", Title: "memory ceiling: 512 MiB, ten times more offered than the upstream takes", Passes: "no OOM; sheds with 503; nothing acknowledged is missing", CI: "1 min",
			Unit: "minutes", Target: 30, Chunk: 5, command: other("", "-run", "MemoryStays", "./internal/hostile", "-torture", "{n}")},
		{Name: "repeats", Title: "duplicates, overlapping retries, reordered batches, two senders of one series", Passes: "the value at a seen timestamp never changes; nothing old reads as a reset", CI: "10⁵ cases",
			Unit: "cases", Target: 10_000_000, Chunk: 2_000_000, command: rig("TestRepetitionsAndReorderingChangeNothing")},
		{Name: "oracle", Title: "correction properties, among them the oracle's", Passes: "bit for bit", CI: "10⁵ samples each",
			Unit: "× 10⁷ samples each", Target: 10, Chunk: 1, command: other("PAWL_LONG={n}", "./pkg/correct")},
		{Name: "fuzz", Title: "every fuzzer", Passes: "no panic, bounded memory and time", CI: "seeds",
			Unit: "fuzzers, 10⁶ inputs each", Target: len(fuzzers()), Chunk: 1, command: fuzz},
	}
}

var fuzzFunc = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`)

// fuzzers are all of the module's, as package and name.
func fuzzers() (all [][2]string) {
	for _, root := range []string{"api", "cmd", "internal", "pkg"} {
		_ = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return nil // a folder that is not there has no fuzzers
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return nil
			}
			for _, m := range fuzzFunc.FindAllSubmatch(b, -1) {
				all = append(all, [2]string{"./" + filepath.Dir(path), string(m[1])})
			}
			return nil
		})
	}
	return all
}

func fuzz(done, _ int) (args, env []string, err error) {
	all := fuzzers()
	if done >= len(all) {
		return nil, nil, fmt.Errorf("there are %d fuzzers, %d are done", len(all), done)
	}
	f := all[done]
	// By default Go may spend a minute on making each new interesting input smaller, and tries nothing else meanwhile.
	return []string{"go", "test", "-run", "^$", "-fuzz", "^" + f[1] + "$", "-fuzztime", "1000000x", "-fuzzminimizetime", "5x", "-timeout", "60m", f[0]}, nil, nil
}
