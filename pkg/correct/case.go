package correct

import "math"

// Case is what only a counter that misbehaved remembers. It is created by the
// first verdict and kept with the counter from then on.
type Case struct {
	epochs  []epoch // oldest first; the last one is in force
	debts   []debt  // oldest first
	fold    fold    // the fold that the very next sample may still revoke
	startST int64   // start timestamp of the folded series, 0 none
	words   words   // what was heard from outside

	// What the series did before, halved together at historyMax.
	resets, losses, returns float32
	seen                    uint32 // samples since the Case was opened, saturating
}

// epoch: samples at from and later go out as max(raw + offset, floor).
type epoch struct {
	from, prev    int64 // ms; prev is the sample before from: nothing was seen in between
	offset, floor float64
	folded        bool // start timestamps go out as the Case's
	free          bool // a reset that went out as it was: there is no floor
}

// debt is a drop whose value was put back, and that may still be taken away again.
type debt struct {
	t, prev int64   // ms: the drop, and the sample before it
	top     float64 // raw before the drop, in today's raw coordinates
	value   float64 // raw at the drop
	amount  float64 // what it added to the offset
	offset  float64 // offset before
	jitter  float64 // log odds that it comes back, against that it does not
	open    bool    // reset or loss is undecided; then sum holds the odds
	gap     bool    // scrapes were missed before: it will not come back
	back    bool    // it came back, or so it seemed: see mayTurn. Then amount is 0
	rise    float64 // back: what it grew by when it came back
	took    float64 // back: within so many seconds
	age     uint8   // samples since
	base    float64 // log odds of a full reset from what does not depend on the pace
	sum     float64 // all log odds of a full reset so far
}

// fold is the last full reset; it can be revoked while set.
type fold struct {
	t, prev int64
	top     float64 // raw before
	offset  float64 // offset before
	set     bool
}

const (
	// maxEpochs bounds how far back late and repeated samples get their old
	// bits: at the worst, a counter that dips at every other sample, 32 samples.
	maxEpochs = 32
	// maxDebts bounds how many drops may be open at once; the oldest is settled as a loss.
	maxDebts = 8
	// debtAge is how many samples a drop may be revoked for: stale reads and
	// failovers last a few scrapes. A counter known to interleave waits longer.
	debtAge            = 10
	debtAgeInterleaved = 40
	// historyMax keeps what a series did before from outweighing what it does now.
	historyMax = 32
	// interleavedReturns: who came back more than once is known to interleave.
	interleavedReturns = 2
)

func newCase(c *Counter) *Case {
	c.flags |= flagCase
	return &Case{epochs: []epoch{{from: c.T, prev: c.T}}, startST: c.ST}
}

// count counts one more sample. A Case that was opened only to keep a word counts from its first verdict on.
func (cs *Case) count(c *Counter) {
	switch {
	case len(cs.epochs) == 1:
		cs.startST = c.ST
	case cs.seen < math.MaxUint32:
		cs.seen++
	}
}

// Offset is corrected minus raw of the samples to come.
func (cs *Case) Offset() float64 {
	if cs == nil {
		return 0
	}
	return cs.now().offset
}

// Interleaved reports whether several sources seem to answer for the counter.
func (cs *Case) Interleaved() bool { return cs != nil && cs.returns >= interleavedReturns }

// Pending reports how many drops may still be revised.
func (cs *Case) Pending() int {
	if cs == nil {
		return 0
	}
	n := 0
	for i := range cs.debts {
		if !cs.debts[i].back {
			n++
		}
	}
	return n
}

func (cs *Case) now() *epoch { return &cs.epochs[len(cs.epochs)-1] }

// at is what goes out for value v at time t; start is the start timestamp that came with it.
func (cs *Case) at(t int64, v float64, start int64) (float64, int64) {
	for i := len(cs.epochs) - 1; i > 0; i-- {
		e := &cs.epochs[i]
		if t >= e.from {
			return e.out(v), cs.start(e, start)
		}
		if t > e.prev {
			// Late, and from the very interval that was decided about: whether it is
			// from before or after cannot be known, so it holds the value before.
			if e.free {
				return v, cs.start(e, start)
			}
			return e.floor, cs.start(e, start)
		}
	}
	e := &cs.epochs[0]
	return e.out(v), cs.start(e, start)
}

func (e *epoch) out(v float64) float64 {
	if e.offset != 0 {
		v += e.offset
	}
	if v < e.floor {
		return e.floor
	}
	return v
}

func (cs *Case) start(e *epoch, st int64) int64 {
	if e.folded && st != 0 {
		return cs.startST
	}
	return st
}

// begin opens an epoch.
func (cs *Case) begin(e epoch) {
	if len(cs.epochs) == maxEpochs {
		copy(cs.epochs, cs.epochs[1:])
		cs.epochs = cs.epochs[:maxEpochs-1]
	}
	cs.epochs = append(cs.epochs, e)
}

// owe adds a debt and returns the one that it displaced, if any.
func (cs *Case) owe(d debt) (displaced debt, full bool) {
	if len(cs.debts) == maxDebts {
		displaced, full = cs.debts[0], true
		copy(cs.debts, cs.debts[1:])
		cs.debts = cs.debts[:maxDebts-1]
	}
	cs.debts = append(cs.debts, d)
	return displaced, full
}

// burstSteps: for so many usual intervals after a restart, unusual growth is a burst rather than a return.
const burstSteps = 10

// bursting: the counter was reset a short while ago.
func (cs *Case) bursting(s *step) bool {
	return cs != nil && cs.fold.t != 0 && float64(s.t-cs.fold.t) <= 1000*burstSteps*s.pace.interval
}

func (cs *Case) remember(count *float32) {
	*count++
	if cs.resets+cs.losses+cs.returns > historyMax {
		cs.resets /= 2
		cs.losses /= 2
		cs.returns /= 2
	}
}
