package correct

import "math"

// lose puts back what every bucket lost, and the sum that went with it.
// impute: also the usual growth that the loss hides, where the rule wants it.
func (j *nativeJudge) lose(impute bool) {
	gone := zip(j.x0, j.x1, lost)
	gone.sum = 0
	off := zip(j.off, gone, plus)
	if impute && j.p.Impute && j.s.pace.known {
		off = zip(off, j.usual(j.s.dt, &gone), plus)
	}
	out := over(zip(j.x1, off, plus), j.held)
	off.sum = j.off.sum
	if step, ok := j.sumStep(out); ok {
		off.sum = j.held.sum + step - j.x1.sum
	}
	j.off = off
}

// sumAlone looks at the sum when no bucket fell: with negative observations it
// may fall and be right, else what came is given its usual mean.
func (j *nativeJudge) sumAlone() {
	fall := j.x0.sum - j.x1.sum
	if !(fall > 0) || j.passed || negative(j.h) || negative(&j.n.last) || len(j.log) > 0 && j.log[0].Kind == KindHiddenReset {
		return
	}
	j.open()
	j.anew = true
	if fall <= noiseShare*j.x0.sum {
		j.note(Correction{Kind: KindNoise, Evidence: []Evidence{{Test: "sum", Text: "fell by its last bits"}}})
		return
	}
	out := over(zip(j.x1, j.off, plus), j.held)
	if step, ok := j.sumStep(out); ok {
		j.off.sum = j.held.sum + step - j.x1.sum
	}
	j.note(Correction{Kind: KindLoss, Evidence: []Evidence{{Test: "sum", Text: "fell by itself, and there are no negative observations"}}})
}

// bucket is one place of the grid with its bounds and what happened there.
type bucket struct {
	lower, upper      float64
	before, gone, inc float64
	mean              float64
}

// sumStep is what the sum grew by through a loss: what it shows, plus what was
// lost, within what the buckets allow for what came. ok is false for a sum that is no number.
func (j *nativeJudge) sumStep(out cells) (step float64, ok bool) {
	shown := j.x1.sum - j.x0.sum
	if math.IsNaN(shown) || math.IsInf(shown, 0) {
		return 0, false
	}
	list := j.buckets(out)
	sure := means(list, j.x0.sum)
	came, least, most, guess := 0.0, 0.0, 0.0, 0.0
	for _, b := range list {
		shown += b.gone * b.mean
		if b.inc > 0 {
			came += b.inc
			least += b.inc * b.lower
			most += b.inc * b.upper
			guess += b.inc * b.mean
		}
	}
	switch {
	case came == 0:
		return 0, true
	case j.fell == 0:
		return guess, true
	case sure:
		shown = clip(shown, least, most)
	}
	if !negative(j.h) && !negative(&j.n.last) {
		shown = max(shown, 0)
	}
	return shown, true
}

// buckets are all that anything is, was or goes out in.
func (j *nativeJudge) buckets(out cells) []bucket {
	var list []bucket
	all := cells{grid: j.g}
	each(zip(out, j.held, minus), zip(j.x0, j.x1, plus), func(at int64, inc, _ float64) {
		if at != cellNone {
			all.list = append(all.list, cell{at, 1})
			list = append(list, bucket{inc: inc})
		}
	})
	h := all.histogram(0)
	k := 0
	for it := h.AllBucketIterator(); it.Next() && k < len(list); k++ {
		list[k].lower, list[k].upper = it.At().Lower, it.At().Upper
	}
	k = 0
	each(j.x0, j.x1, func(at int64, before, now float64) {
		for k < len(all.list) && all.list[k].at < at {
			k++
		}
		if k < len(all.list) && all.list[k].at == at {
			list[k].before, list[k].gone = before, lost(before, now)
		}
	})
	return list
}

// means estimates the mean of the observations in each bucket, such that they
// add up to the sum there was: as far between its bounds in each. It reports false when
// the sum is not within the bounds, which then say nothing.
func means(list []bucket, sum float64) (sure bool) {
	least, most, at, width := 0.0, 0.0, 0.0, 0.0
	for _, b := range list {
		if b.before > 0 {
			least += b.before * b.lower
			most += b.before * b.upper
		}
		lo, hi := finite(b.lower, b.upper)
		at += b.before * lo
		width += b.before * (hi - lo)
	}
	share := 0.0
	if width > 0 {
		share = clip((sum-at)/width, 0, 1)
	}
	left := max(0, sum-at-share*width)
	for k := range list {
		b := &list[k]
		lo, hi := finite(b.lower, b.upper)
		b.mean = lo + share*(hi-lo)
		if math.IsInf(b.upper, 1) && b.before > 0 {
			b.mean += left / b.before
		}
	}
	return sum >= least && sum <= most
}

// usual is the usual growth within dt seconds, in whole counts and in the shares
// in which the buckets hold what they do. With gone (what each lost) a bucket that lost nothing
// may hide a loss, too: as much as the others lost is put back.
func (j *nativeJudge) usual(dt float64, gone *cells) cells {
	out := cells{grid: j.g}
	total := j.x0.total()
	if total <= 0 {
		return out
	}
	share := 1.0
	if gone != nil {
		share = min(1, gone.total()/total)
	}
	carry := 0.0
	each(j.x0, j.x1, func(at int64, before, now float64) {
		n := imputedShare * j.s.pace.rate * dt * before / total
		if gone != nil && now >= before {
			n = min(max(0, n-(now-before)), share*before)
		}
		// Counts are whole: what is left over goes to the next bucket.
		n += carry
		whole := math.Round(n)
		carry = n - whole
		if whole > 0 {
			out.list = append(out.list, cell{at, whole})
		}
	})
	return out
}
