package sequence

import "testing"

// Rule: series of one tenant, job and instance share a target, whatever came between them; a target that lost its last
// series is not found again by having been the last one.
func TestATargetIsFoundByItsName(t *testing.T) {
	ts := newTargets()
	join := func(id uint32, tenant, job, instance string) { ts.join(id, tenant, []byte(job), []byte(instance)) }
	join(0, "a", "api", "one:80")
	join(1, "a", "api", "one:80")
	join(2, "b", "api", "one:80")
	join(3, "a", "api", "two:80")
	join(4, "a", "apio", "ne:80")
	join(5, "a", "api", "one:80")
	if first := ts.target(0); ts.target(1) != first || ts.target(5) != first {
		t.Error("series of one target are in several")
	}
	seen := map[*target]uint32{}
	for _, id := range []uint32{0, 2, 3, 4} {
		if other, ok := seen[ts.target(id)]; ok {
			t.Errorf("series %d and %d of different targets share one", other, id)
		}
		seen[ts.target(id)] = id
	}
	for _, id := range []uint32{0, 1, 5} {
		ts.leave(id)
	}
	join(6, "c", "api", "one:80") // takes the free place
	join(7, "a", "api", "one:80")
	if ts.target(6) == ts.target(7) || ts.target(6).key == ts.target(7).key {
		t.Error("a target took another's place for its own")
	}
	ts.leave(7)
	join(8, "a", "api", "one:80")
	if tg := ts.target(8); tg == nil || tg.key != targetKey("a", "api", "one:80") || ts.all[ts.byKey[tg.key]] != tg {
		t.Error("a target that lost its last series was found again, and is not the one by that name")
	}
}
