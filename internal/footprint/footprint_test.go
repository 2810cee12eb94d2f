package footprint

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
)

// The garbage that gathers is a share of what the collector walks, not of the tables of series; a small relay is left some, but no more than as much again.
func TestSlackIsAShareOfWhatTheCollectorWalks(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		what          string
		alive, walked uint64
		want          int
	}{
		{"nothing collected yet", 0, 0, 100},
		{"small", 10 * mb, 2 * mb, 100},
		{"as much as twice the least slack", 24 * mb, 2 * mb, 50},
		{"as much as the least slack is worth", 60 * mb, 10 * mb, 20},
		{"large, few pointers", 200 * mb, 50 * mb, 10},
		{"pointers everywhere", 200 * mb, 200 * mb, 40},
		{"very large", 2000 * mb, 100 * mb, 4},
	} {
		if got := gcPercent(c.alive, c.walked, leastSlack); got != c.want {
			t.Errorf("%s: %d %%, want %d", c.what, got, c.want)
		}
	}
}

// While a checkpoint is written four times as much may gather, which is less than half of what it makes in a second.
func TestACheckpointIsLeftMoreSlack(t *testing.T) {
	const mb = 1 << 20
	for alive, want := range map[uint64]int{300 * mb: 16, 48 * mb: 100, 1200 * mb: 4} {
		if got := gcPercent(alive, 30*mb, busySlack); got != want {
			t.Errorf("%d MB alive: %d %%, want %d", alive/mb, got, want)
		}
	}
}

// A checkpoint has its slack when it begins, and no look more than that is taken for it.
func TestACheckpointIsSeenWhenItBegins(t *testing.T) {
	var b begins
	for n, c := range []struct{ busy, want bool }{{false, false}, {true, true}, {true, false}, {false, false}, {false, false}, {true, true}} {
		if got := b.look(c.busy); got != c.want {
			t.Errorf("look %d, busy %v: %v, want %v", n, c.busy, got, c.want)
		}
	}
}

// While the heap grows, by tables of new series, the collector would run for every dozen megabytes of them; what is free then is needed at once.
func TestAGrowingHeapIsLeftMoreSlack(t *testing.T) {
	const mb = 1 << 20
	var s slack
	for n, c := range []struct {
		alive uint64
		busy  bool
		want  uint64
	}{
		{8 * mb, false, leastSlack},
		{100 * mb, false, growingSlack}, {200 * mb, false, growingSlack}, {300 * mb, true, busySlack},
		{305 * mb, false, leastSlack}, {305 * mb, true, busySlack}, {150 * mb, false, leastSlack},
	} {
		if got := s.least(c.alive, c.busy); got != c.want {
			t.Errorf("look %d: %d, want %d", n, got, c.want)
		}
	}
}

// When the relay stops, its last checkpoint is left the slack of one from its beginning: a look later it would be over.
func TestTheLastCheckpointHasItsSlackAtOnce(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	alive := make([]byte, 200<<20) // of which the least slack would be 6 %, and that of a checkpoint 24 %
	runtime.GC()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	Keep(ctx, func() bool { return false })
	if got := debug.SetGCPercent(100); got < 20 || got > 26 {
		t.Errorf("%d %%, want some 24", got)
	}
	runtime.KeepAlive(alive)
}

// What is free at two looks in a row is given back, and then for three looks nothing.
func TestWhatStaysFreeIsGivenBack(t *testing.T) {
	const mb = 1 << 20
	var i idle
	for n, c := range []struct {
		free uint64
		want bool
	}{
		{40 * mb, false}, {1 * mb, false}, // it was needed
		{40 * mb, false}, {16 * mb, true},
		{40 * mb, false}, {40 * mb, false}, // too soon
	} {
		if got := i.look(c.free); got != c.want {
			t.Errorf("look %d: %v, want %v", n, got, c.want)
		}
	}
	if !i.look(40 * mb) {
		t.Error("not given back again after three looks")
	}
}
