package accuracy

import "math"

// Fate is what befalls a class: the right verdict at every fall of it.
type Fate uint8

// The fates. A series that nothing befalls has no falls, so any but Unknown is right.
const (
	Unknown  Fate = iota // what goes out holds what nobody saw, as with impute: there is no floor
	Losses               // what is left was there before, and what came is on top of it
	Restarts             // everything that is there has come since
	PutBack              // losses, all of them back to one moment that was written then
	Dips                 // it comes back: nothing has come before it is past what was there
)

const (
	// OfSeed is how many times the reach a single seed may be off.
	OfSeed = 1.5
	// AboveFloor is what windows and extrapolation may add to the floor, which is taken over whole traces.
	AboveFloor = 1.1
)

// Far is a seed that is off by more than OfSeed times the reach of its class. It
// is beyond unless it is within AboveFloor times its own floor: nobody could be nearer.
type Far struct {
	Seed   uint64  `json:"seed"`
	Pawl   float64 `json:"pawl"`
	Floor  float64 `json:"floor"` // 0 where it is not known
	Beyond bool    `json:"beyond"`
}

// far lists the seeds that are too far off, the first seed being first.
func (r *Row) far(first uint64) (list []Far) {
	for i, off := range r.Seeds {
		if off <= OfSeed*r.Reach {
			continue
		}
		x := Far{Seed: first + uint64(i), Pawl: off}
		if r.Floors != nil {
			x.Floor = r.Floors[i]
		}
		x.Beyond = off > AboveFloor*x.Floor
		list = append(list, x)
	}
	return list
}

// Limit is what the mean error may be in a test: the reach, or the floor where
// that is above it, for no relay can know more. The table tells what is beyond
// the reach all the same.
func (r *Row) Limit(margin float64) float64 {
	return margin * max(r.Reach, AboveFloor*r.Mean.Floor)
}

// shown is one scrape as who knows the verdicts sees it.
type shown struct {
	start int64     // start timestamp, ms, 0 for none
	sum   float64   // _sum, where there is one
	n     []float64 // what is in each bucket and in no lower one; of a counter its value
	truth []float64 // as much as was counted, in the same buckets as the figure is over
}

// floor is the error of adding up what every step shows to who knows the right
// verdict whenever something fell, or a start timestamp moved. The error is over the
// cumulative buckets, as the truth is; where that is one number it is over the
// total. It is taken over the whole trace, not by windows.
func floor(right Fate, scrapes []shown) float64 {
	if right == Unknown || len(scrapes) < 2 {
		return 0
	}
	off, all := 0.0, 0.0
	was, before := scrapes[0], scrapes[0]
	top := was.n
	for i, x := range scrapes[1:] {
		base := &was
		if right == PutBack && x.below(&before) {
			base = &before
		}
		came := step(right, base, &x, top)
		if total(x.n) >= total(top) {
			top = x.n
		}
		below := 0.0
		for k := range came {
			below += came[k]
			at := k - (len(came) - len(x.truth)) // the last of the truth is the total
			if at < 0 {
				continue
			}
			want := x.truth[at] - scrapes[i].truth[at]
			off += math.Abs(want - below)
			all += want
		}
		if before = was; x.below(&was) {
			before = x // what was there before the fall says nothing about the next
		}
		was = x
	}
	if all == 0 || off < rounding*all {
		return 0
	}
	return off / all
}

// below: something is less than it was, so that what is here was written before then.
func (x *shown) below(was *shown) bool {
	for k := range x.n {
		if x.n[k] < was.n[k] {
			return true
		}
	}
	return x.sum < was.sum
}

// step is what came in each bucket. top is the highest that was read, for dips.
func step(right Fate, was, now *shown, top []float64) []float64 {
	if right == Dips {
		was = &shown{n: top}
	}
	came := make([]float64, len(now.n))
	under := right == Dips && total(now.n) < total(top)
	fell := now.sum < was.sum || now.start != was.start
	for k := range came {
		came[k] = now.n[k] - was.n[k]
		fell = fell || came[k] < 0
	}
	for k := range came {
		switch {
		case fell && right == Restarts:
			came[k] = now.n[k]
		case under:
			came[k] = 0
		default:
			came[k] = max(0, came[k])
		}
	}
	return came
}

func total(n []float64) (sum float64) {
	for _, x := range n {
		sum += x
	}
	return sum
}

func (tr *Trace) shown() (list []shown) {
	for i, x := range tr.Raw {
		if !math.IsNaN(x.V) {
			list = append(list, shown{start: x.ST, n: []float64{x.V}, truth: []float64{tr.Truth[i].V}})
		}
	}
	return list
}

func (tr *HistTrace) shown() (list []shown) {
	for i, f := range tr.Raw {
		if f.Stale {
			continue
		}
		x := shown{start: f.ST, sum: f.Sum, n: make([]float64, len(f.B)), truth: tr.Truth[i].B}
		below := 0.0
		for k, b := range f.B {
			x.n[k], below = b-below, b
		}
		list = append(list, x)
	}
	return list
}

func (tr *NativeTrace) shown() (list []shown) {
	for i, s := range tr.Raw {
		if s.stale() {
			continue
		}
		x := shown{start: s.ST, sum: s.H.Sum, n: make([]float64, nativeSpan), truth: []float64{tr.Truth[i].H.Count}}
		for it := s.H.PositiveBucketIterator(); it.Next(); {
			b := it.At()
			x.n[int(b.Index)-nativeLowest] = b.Count
		}
		list = append(list, x)
	}
	return list
}
