package correct

import "math"

// beforeOdds: a histogram that is to the last bit of its _sum what it was at an earlier scrape was put
// back to that, from a page that was written then or a cache. A restart would have to count the same again.
const beforeOdds = 4

// asBefore weighs whether the histogram is exactly what it was a scrape before the last. The buckets
// alone may be so by chance, so the _sum must tell observations apart: it is no whole number, and its mean is another one than
// at the last scrape. What a part was two scrapes before the last is not looked at: it is not known of one that had gone out.
func (e *histJudge) asBefore() (found findings) {
	f := e.f
	if f.sum < 0 {
		return found
	}
	sum, last := &f.seats[f.sum], len(f.chain)-1
	if sum.cur == math.Trunc(sum.cur) || sum.cur*f.prev[last] == sum.prev*f.cur[last] {
		return found
	}
	step := e.h.parts[f.sum].c.lastMS
	for i := range f.seats {
		s, c := &f.seats[i], &e.h.parts[i].c
		if s.has && (s.fresh || s.past || s.cur != c.before || c.lastMS != step || s.prevT != sum.prevT) {
			return found
		}
	}
	found.add(testBefore, -beforeOdds, sum.cur, 0, 0)
	return found
}

// another reports whether the one observation that there was has gone, though no bucket shows it: the _sum is less
// than that was. Of more than one, how many went is not known, so all did only if nothing was ever lost and as many can have come since.
// As with a counter's hidden resets, only of a histogram that restarts again and again, and of which nothing ever came back: two
// replicas that read 1 each look the same.
func (e *histJudge) another() (v verdict, ok bool) {
	f, past := e.f, &e.cs.history
	if f.sum < 0 || e.s.prev < 1 || past.resets < hiddenResets || past.returns > 0 || e.h.negative() || e.s.st != 0 && e.s.st == e.s.prevST {
		return v, false
	}
	if e.s.prev > 1 && (past.losses > 0 || !plausible(&e.s, e.s.raw)) {
		return v, false
	}
	s := &f.seats[f.sum]
	if s.prev-s.cur <= noiseShare*s.prev || e.asBefore().n > 0 {
		return v, false
	}
	v.found.add(testOne, 0, s.prev, s.cur, 0)
	v.action, v.kind = actFold, KindHiddenReset
	return v, true
}
