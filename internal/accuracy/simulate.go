package accuracy

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Point is one scraped sample; T and ST in ms, ST 0 for none.
type Point struct {
	T  int64
	V  float64
	ST int64
}

// Trace is what was scraped of one counter, and the truth at the same timestamps.
type Trace struct {
	Name  string
	Hours int
	Raw   []Point
	Truth []Point
}

const (
	epochMS  = 1_700_000_000_000 // no test depends on it; a round past instant
	interval = 15.0              // s between scrapes
	perHour  = 240
)

// sim is the clock and the chance of one trace in the making.
type sim struct {
	rnd   *rand.Rand
	hours int
	now   float64 // s since the start
	start int64   // start timestamp to send, 0 none
}

// newSim gives every trace its own numbers, by its name.
func newSim(seed uint64, hours int, name string) *sim {
	h := uint64(14695981039346656037) // FNV-1a
	for _, b := range []byte(name) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return &sim{rnd: rand.New(rand.NewPCG(seed, h)), hours: hours}
}

func (s *sim) clock() *sim { return s }

// scrapes is how many there are; one more than intervals.
func (s *sim) scrapes() int { return s.hours*perHour + 1 }

func (s *sim) at(t float64) int64 { return epochMS + int64(math.Round(t*1000)) }

// poisson is a random count with the given mean.
func (s *sim) poisson(mean float64) float64 {
	n := 0.0
	// Split into parts whose exponential does not underflow.
	for ; mean > 500; mean -= 500 {
		n += s.poisson(500)
	}
	limit, p := math.Exp(-mean), s.rnd.Float64()
	for ; p > limit; n++ {
		p *= s.rnd.Float64()
	}
	return n
}

// number is what a counter holds.
type number float64

func (n number) plus(o number) number { return n + o }

// counterSim is one counter in the making.
type counterSim struct {
	*sim
	tr    Trace
	truth float64
	saw   float64 // highest raw value so far
}

func newCounterSim(seed uint64, hours int, format string, args ...any) *counterSim {
	name := fmt.Sprintf(format, args...)
	return &counterSim{sim: newSim(seed, hours, name), tr: Trace{Name: name, Hours: hours}}
}

// counters are the traces of a class of counters.
func counters(list []setting[number]) func(uint64, int) []Trace {
	return played("", list, func(x setting[number], on *sim) Trace {
		s := &counterSim{sim: on, tr: Trace{Name: x.name, Hours: on.hours}}
		x.play(s)
		return s.tr
	})
}

func (s *counterSim) observe(mean float64) number { return number(s.poisson(mean)) }

func (s *counterSim) emit(raw, truth number) {
	s.truth = float64(truth)
	s.record(float64(raw))
}

// record records one scrape at now.
func (s *counterSim) record(raw float64) {
	t := s.at(s.now)
	s.tr.Raw = append(s.tr.Raw, Point{T: t, V: raw, ST: s.start})
	s.tr.Truth = append(s.tr.Truth, Point{T: t, V: s.truth})
}

func (s *counterSim) stale() {
	t := s.at(s.now)
	marker := math.Float64frombits(staleMarker)
	s.tr.Raw = append(s.tr.Raw, Point{T: t, V: marker})
	s.tr.Truth = append(s.tr.Truth, Point{T: t, V: marker})
}

// highest records raw, when the truth is the highest value that a scrape saw.
func (s *counterSim) highest(raw float64) {
	s.saw = max(s.saw, raw)
	s.truth = s.saw
	s.record(raw)
}

// jitter: a float counter, 10 % of whose scrapes are up to three steps too low.
func jitter(seed uint64, hours int, rate, spread float64) Trace {
	s := newCounterSim(seed, hours, "jitter rate=%v spread=%v", rate, spread)
	value := rate * interval * 10
	s.highest(value)
	for i := 1; i < s.scrapes(); i++ {
		s.now = float64(i) * interval
		value += rate * interval * max(0, 1+spread*s.rnd.NormFloat64())
		dip := 0.0
		if s.rnd.Float64() < 0.1 {
			dip = 3 * rate * interval * s.rnd.Float64()
		}
		s.highest(value - dip)
	}
	return s.tr
}

// healthy: a counter that nothing befalls; odd ones by the step function.
func healthy(seed uint64, hours int, name string, first float64, step func(r *rand.Rand) float64) Trace {
	s := newCounterSim(seed, hours, "healthy %s", name)
	value := first
	for i := range s.scrapes() {
		s.now = float64(i) * interval
		s.highest(value)
		value += step(s.rnd)
	}
	return s.tr
}
