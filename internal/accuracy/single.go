package accuracy

import "math"

// SingleFault names a fault that befalls a counter exactly once.
type SingleFault string

// The single faults. A counter that was away for a while is scraped nothing of meanwhile.
const (
	FaultLoss          SingleFault = "loss after a crash"              // a few steps are gone after one to five minutes away
	FaultWorker        SingleFault = "one of N workers recycles"       // a half to a sixteenth of the value is gone
	FaultRestart       SingleFault = "restart"                         // from 0
	FaultGapRestart    SingleFault = "restart after a gap"             // from 0, after one to five minutes away
	FaultBurst         SingleFault = "restart, then a burst"           // of five to twenty times the pace, for two minutes
	FaultDip           SingleFault = "jitter"                          // one scrape is up to three steps too low
	FaultStaleRead     SingleFault = "stale read"                      // one scrape reads what was there one to four scrapes ago
	FaultWrap          SingleFault = "wrap"                            // at 2^32
	FaultStartRestart  SingleFault = "restart, start timestamp"        // from 0, and the start timestamp says so
	FaultHiddenRestart SingleFault = "hidden restart, start timestamp" // from 0 past the last value, and the start timestamp says so
	FaultStartLoss     SingleFault = "loss, start timestamp stays"
	FaultNone          SingleFault = "none"
)

// SingleFaults are all of them.
func SingleFaults() []SingleFault {
	return []SingleFault{
		FaultLoss, FaultWorker, FaultRestart, FaultGapRestart, FaultBurst, FaultDip, FaultStaleRead, FaultWrap,
		FaultStartRestart, FaultHiddenRestart, FaultStartLoss, FaultNone,
	}
}

// Single is a counter that one fault befalls.
type Single struct {
	Trace
	Fault  SingleFault
	At     int     // index of the first sample after the fault; 0: none
	Step   float64 // usual growth from scrape to scrape
	Before float64 // raw value before the fault
	After  float64 // and after it
}

// singleScrapes is an hour and its first sample.
const singleScrapes = perHour + 1

// NewSingle draws one: a pace of 0.02 to 50 events a second, or of uneven
// amounts, from 0 or from a value of many steps, and the fault anywhere from the second scrape on.
func NewSingle(seed uint64, fault SingleFault) Single {
	s := &singleSim{counterSim: newCounterSim(seed, 1, "single %s", fault)}
	s.x.Fault = fault
	s.lambda = math.Exp(math.Log(0.02) + s.rnd.Float64()*math.Log(50/0.02))
	s.x.Step = s.lambda * interval
	if s.rnd.IntN(3) == 0 {
		s.uneven = 1000 * s.rnd.Float64()
		s.x.Step *= s.uneven
	}
	if s.rnd.IntN(4) > 0 {
		s.raw = math.Floor(s.x.Step * math.Exp(s.rnd.Float64()*9))
	}
	at := 1 + s.rnd.IntN(singleScrapes-30)
	if fault == FaultHiddenRestart {
		// A young counter passes its last value at once, if it counts faster than before.
		s.raw, at = 0, 1+s.rnd.IntN(5)
	}
	s.play(at)
	s.x.Trace = s.tr
	return s.x
}

type singleSim struct {
	*counterSim
	x      Single
	lambda float64 // events a second
	uneven float64 // mean size of an event; 0: all are 1
	raw    float64
	hot    float64 // burst: until then, s
	factor float64
}

// grow is what is counted within dt seconds.
func (s *singleSim) grow(dt float64) float64 {
	mean := s.lambda * dt
	if s.now < s.hot {
		mean *= s.factor
	}
	n := s.poisson(mean)
	if s.uneven == 0 || n == 0 {
		return n
	}
	sum := 0.0
	for range int(min(n, 30)) {
		sum += s.rnd.ExpFloat64()
	}
	return s.uneven * sum * n / min(n, 30)
}

func (s *singleSim) count(x float64) {
	s.raw += x
	s.truth += x
}

// play simulates the hour; the fault shows at scrape at, or some scrapes later where the counter is away first.
func (s *singleSim) play(at int) {
	if s.x.Fault == FaultWrap {
		s.raw = math.Exp2(32) - math.Floor(s.x.Step*float64(at)) - 1
	}
	switch s.x.Fault {
	case FaultStartRestart, FaultHiddenRestart, FaultStartLoss:
		s.start = epochMS - 60_000
	}
	s.truth = s.raw
	s.record(s.raw)
	for i := 1; i < singleScrapes; i++ {
		last := len(s.tr.Raw) - 1
		if s.now = float64(i) * interval; i != at || s.x.Fault == FaultNone || s.x.Fault == FaultWrap {
			s.count(s.grow(interval))
			if s.raw >= math.Exp2(32) { // no other fault gets there
				s.raw -= math.Exp2(32)
				s.x.Before, s.x.At, s.x.After = s.tr.Raw[last].V, last+1, s.raw
			}
			s.record(s.raw)
			continue
		}
		s.x.Before = s.tr.Raw[last].V
		if s.x.Fault == FaultLoss || s.x.Fault == FaultGapRestart {
			i += 4 + s.rnd.IntN(17)
			s.now = float64(i) * interval
		}
		s.befall()
		s.x.At, s.x.After = last+1, s.tr.Raw[last+1].V
	}
}

// befall lets the fault happen at the scrape at hand.
func (s *singleSim) befall() {
	seen := s.tr.Raw
	switch s.x.Fault {
	case FaultLoss, FaultStartLoss:
		// What the last two scrapes saw was not yet on the disk, or a part of it.
		s.raw = seen[max(0, len(seen)-2-s.rnd.IntN(2))].V
		s.count(s.grow(interval))
	case FaultWorker:
		s.raw -= math.Floor(s.raw / float64(int(2)<<s.rnd.IntN(4)))
		s.count(s.grow(interval))
	case FaultBurst, FaultHiddenRestart:
		s.hot, s.factor = s.now+120, 5+15*s.rnd.Float64()
		s.restart()
	case FaultRestart, FaultGapRestart, FaultStartRestart:
		s.restart()
	case FaultDip:
		s.count(s.grow(interval))
		s.glimpse(max(0, s.raw-3*s.x.Step*s.rnd.Float64()))
		return
	case FaultStaleRead:
		s.count(s.grow(interval))
		s.glimpse(seen[max(0, len(seen)-1-s.rnd.IntN(4))].V)
		return
	}
	s.record(s.raw)
}

// glimpse is a scrape that sees less than there is; the truth is the most that a scrape has seen.
func (s *singleSim) glimpse(v float64) {
	truth := s.truth
	s.truth = max(s.tr.Truth[len(s.tr.Truth)-1].V, truth-(s.raw-v))
	s.record(v)
	s.truth = truth
}

// restart begins again from 0, at some instant of the last interval.
func (s *singleSim) restart() {
	ago := interval * s.rnd.Float64()
	if s.start != 0 {
		s.start = s.at(s.now - ago)
	}
	s.raw = 0
	s.count(s.grow(ago))
}

// Off is how far the increase over the hour is from the truth for what PromQL
// makes of the raw trace alone, and for what goes out.
func (x *Single) Off(out []Point) (promql, pawl float64) {
	truth := increaseOver(x.Truth)
	return math.Abs(increaseOver(x.Raw) - truth), math.Abs(increaseOver(out) - truth)
}

// increaseOver is what PromQL's increase() counts between the first and the last of the points, without extrapolation.
func increaseOver(points []Point) (sum float64) {
	for i := 1; i < len(points); i++ {
		sum += grown(points[i-1].V, points[i].V)
	}
	return sum
}
