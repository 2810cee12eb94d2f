package sequence

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pawl/pkg/rewrite"
)

// Rule: whoever waits longest comes first, and among those that have waited as long the order is that of their keys: it
// is the same in a relay that was started again, where their places are others.
func TestWhoWaitsComesUpByDeadlineAndKey(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var h waiting
	var want []wait
	for range 1000 {
		x := wait{deadline: r.Int64N(50), key: rewrite.Key{Hi: r.Uint64N(7), Lo: r.Uint64N(7)}}
		h.push(x)
		want = append(want, x)
	}
	slices.SortFunc(want, func(a, b wait) int {
		if a.before(b) {
			return -1
		}
		return 1
	})
	for k, x := range want {
		if got := h.pop(); got != x {
			t.Fatalf("entry %d is %v, want %v", k, got, x)
		}
		h.fit()
	}
}

// Rule: when a fleet that came for the first time waits no more, its room among those that wait is given up.
func TestRoomToWaitIsGivenUp(t *testing.T) {
	var h waiting
	for k := range int64(30_000) {
		h.push(wait{deadline: k})
	}
	for range 29_000 {
		h.pop()
		h.fit()
	}
	if len(h) != 1000 || cap(h) > 4*len(h) {
		t.Errorf("%d wait, with room for %d", len(h), cap(h))
	}
}

// Rule (docs/decisions/0016): a histogram whose parts lag has one entry among those that wait, however many of its timestamps
// have been judged; the time to wait counts from the last of these, and when it is over the part that stopped is waited for no more.
func TestAHistogramThatLagsWaitsOnce(t *testing.T) {
	p := newPairWorld(t, rewrite.V1)
	bucket := func(at int64, le string, scrape int64) {
		p.send(haT0+at*1000, one(haT0+scrape*15_000, float64(100+scrape), "__name__", "h_bucket", "le", le))
	}
	bucket(0, "1", 0)
	bucket(0, "+Inf", 0)
	for k := int64(1); k < 60; k++ {
		bucket(k, "1", k)
		if k > 3 {
			bucket(k, "+Inf", k-3)
		}
	}
	if n := len(p.w.groups.waiting); n != 1 {
		t.Errorf("%d entries for one histogram", n)
	}
	g := p.w.groups.all[0]
	if g.deadline == 0 || g.deadline != haT0+59_000+p.w.joinMS {
		t.Errorf("waits until %d, want one time to wait after the turn at %d", g.deadline, haT0+59_000)
	}
	p.w.clock = g.deadline - 1
	p.w.overdue()
	if !g.histogram.Waiting() || g.histogram.Complete() {
		t.Error("its time to wait was not over")
	}
	p.w.clock = g.deadline
	p.w.overdue()
	if g.histogram.Waiting() || len(p.w.groups.waiting) != 0 {
		t.Error("it still waits for a part that stopped:", fmt.Sprint(p.w.groups.waiting))
	}
}
