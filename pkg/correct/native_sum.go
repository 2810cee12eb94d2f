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
		j.log = append(j.log, Correction{Kind: KindNoise, Evidence: []Evidence{{Test: "sum", Text: "fell by its last bits"}}})
		return
	}
	out := over(zip(j.x1, j.off, plus), j.held)
	if step, ok := j.sumStep(out); ok {
		j.off.sum = j.held.sum + step - j.x1.sum
	}
	j.log = append(j.log, Correction{Kind: KindLoss, Evidence: []Evidence{{Test: "sum", Text: "fell by itself, and there are no negative observations"}}})
}

// sumStep is what the sum grew by through a loss. ok is false for a sum that is no number.
func (j *nativeJudge) sumStep(out cells) (step float64, ok bool) {
	if shown := j.x1.sum - j.x0.sum; math.IsNaN(shown) || math.IsInf(shown, 0) {
		return 0, false
	}
	return sumStep(j.buckets(out), j.x0.sum, j.x1.sum, negative(j.h) || negative(&j.n.last)), true
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
