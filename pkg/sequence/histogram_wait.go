package sequence

import "pawl/pkg/rewrite"

// wait is a histogram's place among those that wait.
type wait struct {
	gid      uint32
	deadline int64       // journal time, ms: its group's, or an earlier one that it had
	key      rewrite.Key // its group's: places are others after a restart
}

// waiting are the histograms that wait, one entry each: a heap by deadline, then key. A
// deadline that is put off, as with every turn of a histogram whose parts lag, leaves the
// entry where it is: it is put in again when it comes up.
type waiting []wait

func (x wait) before(y wait) bool {
	switch {
	case x.deadline != y.deadline:
		return x.deadline < y.deadline
	case x.key.Hi != y.key.Hi:
		return x.key.Hi < y.key.Hi
	}
	return x.key.Lo < y.key.Lo
}

func (h *waiting) push(x wait) {
	l := append(*h, x)
	for k := len(l) - 1; k > 0 && l[k].before(l[(k-1)/2]); k = (k - 1) / 2 {
		l[k], l[(k-1)/2] = l[(k-1)/2], l[k]
	}
	*h = l
}

// pop takes the first one out.
func (h *waiting) pop() wait {
	l, last := *h, len(*h)-1
	x := l[0]
	l[0], l = l[last], l[:last]
	for k := 0; ; {
		least := k
		for _, c := range [...]int{2*k + 1, 2*k + 2} {
			if c < last && l[c].before(l[least]) {
				least = c
			}
		}
		if least == k {
			break
		}
		l[k], l[least] = l[least], l[k]
		k = least
	}
	*h = l
	return x
}

// waitingLeast is room that is kept in any case.
const waitingLeast = 1024

// fit gives up room that is not needed any more: where a fleet comes for the first time, all of its histograms wait.
func (h *waiting) fit() {
	if l := *h; cap(l) > waitingLeast && len(l) < cap(l)/4 {
		*h = append(make(waiting, 0, 2*len(l)), l...)
	}
}

// firstWaitMS is how long a new histogram waits at most for parts that nobody knows of yet, in ms of journal time: the default
// of join_wait. Who sets that longer, for parts that are known, is not to wait so much longer for those that are not.
const firstWaitMS = 5000

// known ends that.
func (g *group) known() {
	g.young = 0
	g.histogram.Known()
}

// until is when the time to wait of a group is over that begins now.
func (w *writer) until(g *group) int64 {
	if g.young > w.clock {
		return g.young
	}
	return w.clock + w.joinMS
}

// await gives a group until the deadline to get its parts together.
func (gs *groups) await(gid uint32, deadline int64) {
	g := gs.all[gid]
	g.deadline = deadline
	if g.listed == 0 || g.listed > deadline {
		g.listed = deadline
		gs.waiting.push(wait{gid, deadline, g.key})
		gs.waits.Store(int64(len(gs.waiting)))
	}
}

// overdue judges the histograms whose time to wait is over, by journal time.
func (w *writer) overdue() {
	gs := w.groups
	for len(gs.waiting) > 0 && gs.waiting[0].deadline <= w.clock {
		next := gs.waiting.pop()
		g := gs.all[next.gid]
		if g == nil || g.listed != next.deadline {
			continue // dissolved
		}
		switch g.listed = 0; {
		case g.deadline == 0:
		case g.deadline > next.deadline:
			gs.await(next.gid, g.deadline)
		case g.young != 0:
			w.touchGroup(next.gid)
			g.known()
			if gs.await(next.gid, w.clock+w.joinMS); g.histogram.Complete() {
				w.judge(next.gid, g)
			}
		default:
			w.touchGroup(next.gid)
			w.judge(next.gid, g)
		}
	}
	gs.waiting.fit()
	gs.waits.Store(int64(len(gs.waiting)))
}

// letGo judges all of them, in the same order, so that nothing is held any more.
func (w *writer) letGo() {
	gs := w.groups
	for len(gs.waiting) > 0 {
		next := gs.waiting.pop()
		g := gs.all[next.gid]
		if g == nil || g.listed != next.deadline {
			continue // dissolved
		}
		w.touchGroup(next.gid)
		for g.listed = 0; g.histogram.Waiting(); {
			w.judge(next.gid, g)
		}
	}
	gs.waits.Store(0)
}
