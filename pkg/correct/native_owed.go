package correct

import "math"

// regrid keeps what a debt holds in step with the grid: it only ever gets coarser.
func regrid(d *nativeDebt, g grid) {
	o := &d.parts
	if d.age != 0 || len(o.amount.list)+len(o.before.list) != 0 {
		o.amount, o.before = o.amount.on(g), o.before.on(g)
	}
}

// revoke takes what a drop had put back out of the offset again.
func (j *nativeJudge) revoke(d *nativeDebt) {
	j.off = zip(j.off, d.parts.amount, minus)
	d.parts.amount = cells{grid: d.parts.amount.grid}
	j.anew = true
}

// turn makes a full reset of a drop that had been put back as a loss.
func (j *nativeJudge) turn(d *nativeDebt) {
	j.turned = true
	// What it grew by since has been counted already, and would be once more by who sees a reset;
	// and when the next drop decides, what it grew to has not been counted yet, and would not be.
	if j.p.Resets == PassResets && j.s.prev == d.value && j.fell == 0 {
		j.pass()
		return
	}
	j.off = zip(zip(j.off, d.parts.amount, minus), reached(d), plus)
	j.anew, j.folded = true, true
}

// reached is what there was before d, with a sum that can be added up.
func reached(d *nativeDebt) cells {
	before := d.parts.before
	if math.IsNaN(before.sum) || math.IsInf(before.sum, 0) {
		before.sum = d.parts.amount.sum
	}
	return before
}

func (j *nativeJudge) refold(d *nativeDebt) {
	if j.passed {
		return // it goes out as it is
	}
	d.parts.amount = reached(d)
	d.amount, d.age, d.open = d.top, 1, false
	j.cs.fold = *d
}

// imputeLate puts in what a drop hid that turned out to be a loss only later.
func (j *nativeJudge) imputeLate(d *nativeDebt) {
	hidden := j.usual(elapsed(d.prev, d.t), nil)
	d.parts.amount = zip(d.parts.amount, hidden, plus)
	d.amount = d.parts.amount.total()
	j.off = zip(j.off, hidden, plus)
	j.anew = true
}

// places are the buckets that anything is or was in, but for what is in none.
// Their shares are those of everything that has been counted, as in a classic histogram.
func (j *nativeJudge) places(d *nativeDebt) []place {
	var top cells
	if d != nil {
		top = d.parts.before
	}
	var list []place
	total := 0.0
	eachOf(func(at int64, n []float64) {
		if at != cellNone {
			list = append(list, place{before: n[0], now: n[1], share: n[2] + shareEvents, top: n[3]})
			total += n[2] + shareEvents
		}
	}, j.x0, j.x1, j.held, top)
	for k := range list {
		list[k].share /= total
	}
	return list
}

// eachOf calls f for every bucket that any of list has, in order, with what each has there.
func eachOf(f func(at int64, n []float64), list ...cells) {
	next, n := make([]int, len(list)), make([]float64, len(list))
	for {
		at := int64(math.MaxInt64)
		left := false
		for k, c := range list {
			if next[k] < len(c.list) {
				at, left = min(at, c.list[next[k]].at), true
			}
		}
		if !left {
			return
		}
		for k, c := range list {
			n[k] = 0
			if next[k] < len(c.list) && c.list[next[k]].at == at {
				n[k] = c.list[next[k]].n
				next[k]++
			}
		}
		f(at, n)
	}
}
