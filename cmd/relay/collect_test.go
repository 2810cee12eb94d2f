package main

import "testing"

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
		{"as much as twice the least slack", 32 * mb, 2 * mb, 50},
		{"as much as the least slack is worth", 80 * mb, 10 * mb, 20},
		{"large, few pointers", 200 * mb, 50 * mb, 10},
		{"pointers everywhere", 200 * mb, 200 * mb, 40},
		{"very large", 2000 * mb, 100 * mb, 4},
	} {
		if got := gcPercent(c.alive, c.walked); got != c.want {
			t.Errorf("%s: %d %%, want %d", c.what, got, c.want)
		}
	}
}
