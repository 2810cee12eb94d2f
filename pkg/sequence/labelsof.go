package sequence

import (
	"strconv"

	"github.com/prometheus/common/model"

	"pawl/pkg/correct"
	"pawl/pkg/rewrite"
)

// labelsOf are the labels of a series that a decision looks at, and what its target is called. New series come side
// by side and differ in few labels from the one before: so one labelsOf is carried from one to the next, with
// what was decided about the last one.
type labelsOf struct {
	name, le, quantile []byte
	job, instance      []byte
	at                 [labelsLooked]uint32 // the bit of each one's place, as in Batch.Same; 0 where it has none

	same  uint32 // the labels that are those of the series before
	named bool   // it has the same name, and le and quantile have come or gone in neither
	le0   bool   // the one before had le
	q0    bool   // and quantile
	n     int    // so many labels
	kin   bool   // it differs from the one before in le alone

	ahead int // for how many series to come the index was looked at

	decided decided
	part    bool        // it was found to be part of a histogram
	parts   rewrite.Key // of which one
}

// The places in labelsOf.at.
const (
	atName = iota
	atLe
	atQuantile
	atJob
	atInstance
	labelsLooked
)

// decided is what was decided, and by what.
type decided struct {
	d    decision
	gen  uint32
	told rewrite.MetricType
}

// look finds what a decision looks at in one walk over the labels.
func look(b *rewrite.Batch, i int) labelsOf {
	var l labelsOf
	b.EachLabel(i, func(name, value []byte) { l.note(samePairs, name, value) })
	return l
}

// keep begins with a series of which some labels are the same as in the one before, by their place, and forgets the others.
func (l *labelsOf) keep(same uint32) {
	l.same, l.le0, l.q0 = same, l.le != nil, l.quantile != nil
	for k, value := range [...]*[]byte{&l.name, &l.le, &l.quantile, &l.job, &l.instance} {
		if l.at[k]&same == 0 {
			*value, l.at[k] = nil, 0
		}
	}
}

// note takes the n-th label in.
func (l *labelsOf) note(n int, name, value []byte) {
	bit := uint32(1) << min(n, 32)
	switch string(name) {
	case model.MetricNameLabel:
		l.name, l.at[atName] = value, bit
	case "le":
		l.le, l.at[atLe] = value, bit
	case "quantile":
		l.quantile, l.at[atQuantile] = value, bit
	case model.JobLabel:
		l.job, l.at[atJob] = value, bit
	case model.InstanceLabel:
		l.instance, l.at[atInstance] = value, bit
	}
}

// ends says that there are no more than n labels. Those of the series before were all but le the same only if they were as many.
func (l *labelsOf) ends(n int) {
	many := l.n == n
	l.n = n
	l.named = l.at[atName]&l.same != 0 && (l.le != nil) == l.le0 && (l.quantile != nil) == l.q0
	le := l.at[atLe]
	l.kin = l.named && many && n <= 32 && le != 0 && l.same|le == uint32(1<<n-1)
}

// alike makes the decision about the series before l's that about l's, if they are the same but for the bucket.
func (c *classifier) alike(told rewrite.MetricType, l *labelsOf) bool {
	if !l.named || l.decided.gen != c.gen || l.decided.told != told {
		return false
	}
	if l.le == nil {
		return true
	}
	le, ok := c.bounds.parse(l.le)
	l.decided.d.le = le
	return ok && l.decided.d.part && l.decided.d.role == correct.RoleBucket
}

// boundsOf are bounds of buckets that were read, by what they are written like: a service has a dozen.
type boundsOf [64]struct {
	written uint64 // 0: none
	le      float64
}

// parse reads what le says; ok is false where that is no number.
func (x *boundsOf) parse(le []byte) (bound float64, ok bool) {
	if len(le) == 0 || len(le) > 7 {
		bound, err := strconv.ParseFloat(string(le), 64)
		return bound, err == nil
	}
	written := uint64(len(le))
	for _, c := range le {
		written = written<<8 | uint64(c)
	}
	at := &x[written*0x9e3779b97f4a7c15>>58]
	if at.written != written {
		bound, err := strconv.ParseFloat(string(le), 64)
		if err != nil {
			return 0, false
		}
		at.written, at.le = written, bound
	}
	return at.le, true
}
