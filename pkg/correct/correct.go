// Package correct is the arithmetic: it turns the samples of one broken
// counter into values that only move forward, and says why.
//
// The contract:
//
//   - It is pure. No clock, no I/O, no goroutine, no randomness, no wire
//     format: the same samples in the same order give the same bits.
//   - A Counter is what is remembered of every counter; a Case is what only a
//     counter that misbehaved remembers. Both are values of the caller.
//   - Healthy is asked first and answers for nearly every sample without
//     allocating. Only what it refuses goes to Apply.
//   - The value that goes out for a sample at time t is
//     max(raw + offset, floor) of the epoch in force at t, and each epoch's
//     floor is what went out last before it. So values never decrease, and a
//     sample that comes twice, or late, comes out with the same bits.
//   - A decision has three steps, each a function of what it is handed:
//     evidence is gathered (evidence.go), its sum becomes a verdict
//     (verdict.go), the verdict is applied to a Counter (enact.go). A
//     histogram, classic or native, is judged by its total and its densities (whole.go).
//   - What is heard from outside a counter's own samples (word.go) takes effect
//     with the sample after the one that it is about.
//   - Every verdict becomes a Correction that carries its evidence.
package correct

// Sample is one sample of a counter. T and ST are in ms since the epoch; ST
// is the start timestamp, 0 when the sender gave none.
type Sample struct {
	T  int64
	V  float64
	ST int64
}

// Resets says what becomes of full resets.
type Resets uint8

const (
	Fold       Resets = iota // corrected values go on rising through a reset
	PassResets               // a visible reset goes out as it is; PromQL handles it
	MarkResets               // every reset goes out as it is, with a 0 before it: see mark.go
)

// Losses says what becomes of drops that are no full resets.
type Losses uint8

const (
	Auto    Losses = iota // loss or jitter, by what follows
	Restore               // always a loss: counting goes on from the value before
	Hold                  // always jitter: the last value is held until raw passes it
)

// Policy is what a rule may say about a counter. The zero value is the default.
type Policy struct {
	Resets Resets
	Losses Losses
	Impute bool  // a loss hides the step of its interval: put in the usual one
	Wrap   uint8 // width in bits at which the counter may wrap besides 32: 53 or 64; 0 only 32
}

// Kind names what a correction found.
type Kind uint8

const (
	KindReset       Kind = iota + 1 // the counter started again from 0
	KindHiddenReset                 // it did so without a decrease
	KindLoss                        // part of the count was taken away for good
	KindJitter                      // it dipped and comes back
	KindWrap                        // it overflowed its width
	KindNoise                       // the last bits of a float sum
	KindGlitch                      // a fold was revoked: it was no reset
	KindSpike                       // it jumped up because the sender re-anchored it
	KindDuplicate                   // same timestamp, other value: dropped
	KindInvalid                     // NaN, an infinity or a negative value: passed
	KindLostState                   // what was known of it was dropped while it carried an offset: it starts again from 0
)

var kindNames = [...]string{
	KindReset: "reset", KindHiddenReset: "hidden_reset", KindLoss: "loss", KindJitter: "jitter", KindWrap: "wrap",
	KindNoise: "noise", KindGlitch: "glitch", KindSpike: "spike", KindDuplicate: "duplicate", KindInvalid: "invalid",
	KindLostState: "lost_state",
}

// String is the name used in the log, the API and metrics.
func (k Kind) String() string {
	if k == 0 || int(k) >= len(kindNames) {
		return "unknown"
	}
	return kindNames[k]
}

// Kinds lists every kind, for metrics that want them all from the start.
func Kinds() []Kind {
	all := make([]Kind, 0, len(kindNames)-1)
	for k := KindReset; int(k) < len(kindNames); k++ {
		all = append(all, k)
	}
	return all
}

// Evidence is one test's share in a verdict. LogOdds is the natural logarithm
// of how much likelier what was seen is under a full reset than under a loss
// (for a settled debt: under a return than under none).
type Evidence struct {
	Test    string
	LogOdds float64
	Text    string
}

// Correction is what the log keeps of a verdict.
type Correction struct {
	Kind          Kind
	T, PrevT      int64   // ms: the sample decided about, and the one before it
	Prev, Raw     float64 // raw before and now
	Out           float64 // forwarded
	Amount        float64 // change of the offset; negative when revoked
	FalseIncrease float64 // what increase() over raw shows too much at this step (negative: too little)
	Pending       bool    // may still be revised by what follows
	Settles       int64   // T of the pending correction that this one settles, else 0; what settled it before, if anything, is revised: all amounts add up
	Evidence      []Evidence
}

// Outcome is what to do with a sample.
type Outcome struct {
	V           float64 // to forward; the sample's own bits if untouched
	ST          int64   // start timestamp to forward
	Drop        bool    // same timestamp, other value: not forwarded
	Corrections []Correction

	Marked bool  // a 0 goes out before it, with the same series and no start timestamp
	MarkT  int64 // at this time, ms
}
