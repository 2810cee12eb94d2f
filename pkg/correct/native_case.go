package correct

import (
	"github.com/prometheus/prometheus/model/histogram"
)

// nativeCase is what only a native histogram that misbehaved remembers.
type nativeCase struct {
	book[nativeOwed]
	epochs []nativeEpoch // oldest first; the last one is in force
}

// nativeEpochs bounds how far back late and repeated samples get their old bits.
const nativeEpochs = 16

// nativeEpoch: samples at from and later go out as raw + off over floor (see over).
type nativeEpoch struct {
	from, prev int64   // ms; prev is the sample before from: nothing was seen in between
	off, floor cells   // on the same grid
	count      float64 // that went out with floor
	folded     bool    // start timestamps go out as those of the folded series
	free       bool    // samples go out as they are: there is neither offset nor floor
	hint       bool    // at from the hint must say that it is a reset
}

// nativeDebt is a drop of the whole that may still be taken back.
type nativeDebt = wholeDebt[nativeOwed]

type nativeOwed struct {
	amount cells // what it added to the offset
	before cells // raw before the drop
}

func (n *Native) open() *nativeCase {
	if n.cs == nil {
		n.cs = &nativeCase{
			book:   book[nativeOwed]{history: Case{startST: n.c.ST}},
			epochs: []nativeEpoch{{from: n.c.T, prev: n.c.T, free: true}},
		}
	}
	return n.cs
}

func (cs *nativeCase) now() *nativeEpoch { return &cs.epochs[len(cs.epochs)-1] }

// quiet: nothing is open that a rise could settle.
func (cs *nativeCase) quiet() bool {
	return len(cs.debts) == 0 && cs.fold.age == 0 && cs.history.resets < hiddenResets
}

func (cs *nativeCase) begin(e nativeEpoch) {
	if len(cs.epochs) == nativeEpochs {
		copy(cs.epochs, cs.epochs[1:])
		cs.epochs = cs.epochs[:nativeEpochs-1]
	}
	cs.epochs = append(cs.epochs, e)
}

// find is the epoch of time t; between is true for a t from the very interval that was decided about.
func (cs *nativeCase) find(t int64) (e *nativeEpoch, between bool) {
	for i := len(cs.epochs) - 1; i > 0; i-- {
		e := &cs.epochs[i]
		if t >= e.from {
			return e, false
		}
		if t > e.prev {
			return e, true
		}
	}
	return &cs.epochs[0], false
}

func (cs *nativeCase) start(t, st int64) int64 {
	if e, _ := cs.find(t); e.folded && st != 0 {
		return cs.history.startST
	}
	return st
}

// at is what goes out for h at time t.
func (cs *nativeCase) at(t int64, h *histogram.FloatHistogram) (out *histogram.FloatHistogram, changed bool) {
	e, between := cs.find(t)
	switch {
	case e.free:
		if !between && t == e.from && e.hint && h.CounterResetHint != histogram.CounterReset {
			out = h.Copy()
			out.CounterResetHint = histogram.CounterReset
			return out.Compact(0), true
		}
		return h, false
	case between:
		// Whether it is from before or after cannot be known: it holds the value before.
		return e.floor.histogram(e.count), true
	}
	reset := e.hint && t == e.from
	x := cellsOf(h)
	if !reset && x.grid.same(e.off.grid) && len(e.off.list) == 0 && e.off.sum == 0 && h.Count >= e.count &&
		!(h.Sum < e.floor.sum && !negative(h)) && h.CounterResetHint != histogram.CounterReset && x.covers(&e.floor) {
		return h, false
	}
	value, count := e.apply(x, negative(h))
	out = value.histogram(count)
	if reset {
		out.CounterResetHint = histogram.CounterReset
	}
	return out, true
}

// covers: no bucket of c is below one of floor, on the same grid.
func (c *cells) covers(floor *cells) bool {
	ok := true
	each(*c, *floor, func(_ int64, x, y float64) { ok = ok && x >= y })
	return ok
}

// apply is max(x + off, floor) and its count; the sum may fall where there are negative observations.
func (e *nativeEpoch) apply(x cells, negative bool) (cells, float64) {
	off, floor := e.off, e.floor
	if g, ok := common(&x, &off, &floor); ok {
		x, off, floor = x.on(g), off.on(g), floor.on(g)
	}
	sum := x.sum
	if off.sum != 0 {
		sum += off.sum
	}
	if !negative && sum < floor.sum {
		sum = floor.sum
	}
	out := over(zip(x, off, plus), floor)
	out.sum = sum
	return out, max(out.total(), e.count)
}

// over is due, held at floor in every bucket, and as a whole at no more than the larger
// of both totals: while some buckets wait above what is due, because a drop that came
// back had let them grow too early, others wait by as much below it, the lowest
// first. So nothing is invented. As due grows, no bucket decreases: what bucket b
// has above the floor is max(0, min(up_b, up_0+...+up_b - early)), and early only falls.
func over(due, floor cells) cells {
	early := 0.0
	each(due, floor, func(_ int64, x, y float64) { early += lost(y, x) })
	if early == 0 {
		return due
	}
	out := cells{grid: due.grid, sum: due.sum, list: make([]cell, 0, len(due.list))}
	up := 0.0
	each(due, floor, func(at int64, x, y float64) {
		n := max(x, y)
		if x > y {
			// Every operation rounds monotonically, so no last bit decreases either.
			up += x - y
			n = min(x, y+max(0, min(x-y, up-early)))
		}
		if n != 0 {
			out.list = append(out.list, cell{at, n})
		}
	})
	return out
}
