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

// sim is one trace in the making.
type sim struct {
	rnd   *rand.Rand
	tr    Trace
	now   float64 // s since the start
	truth float64
	saw   float64 // highest raw value so far
	start int64   // start timestamp to send, 0 none
}

func newSim(seed uint64, hours int, format string, args ...any) *sim {
	name := fmt.Sprintf(format, args...)
	h := uint64(14695981039346656037) // FNV-1a, so that every setting has its own numbers
	for _, b := range []byte(name) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return &sim{rnd: rand.New(rand.NewPCG(seed, h)), tr: Trace{Name: name, Hours: hours}}
}

// scrapes is how many there are; one more than intervals.
func (s *sim) scrapes() int { return s.tr.Hours*perHour + 1 }

func (s *sim) at(t float64) int64 { return epochMS + int64(math.Round(t*1000)) }

// emit records one scrape at now.
func (s *sim) emit(raw float64) {
	t := s.at(s.now)
	s.tr.Raw = append(s.tr.Raw, Point{T: t, V: raw, ST: s.start})
	s.tr.Truth = append(s.tr.Truth, Point{T: t, V: s.truth})
}

// stale records that the target is gone.
func (s *sim) stale() {
	t := s.at(s.now)
	marker := math.Float64frombits(staleMarker)
	s.tr.Raw = append(s.tr.Raw, Point{T: t, V: marker})
	s.tr.Truth = append(s.tr.Truth, Point{T: t, V: marker})
}

// highest emits raw, when the truth is the highest value that a scrape saw.
func (s *sim) highest(raw float64) {
	s.saw = max(s.saw, raw)
	s.truth = s.saw
	s.emit(raw)
}

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

// panics: increments that a scrape saw are lost when the node panics before
// the page was flushed; the service is away for one to five minutes.
func panics(seed uint64, hours int, lambda float64) Trace {
	s := newSim(seed, hours, "panic λ=%v/s", lambda)
	const flush = 30.0              // s between write-backs of a dirty page
	const perScrape = 3.3 / perHour // 3.3 an hour
	raw, flushed, nextFlush := 0.0, 0.0, s.rnd.Float64()*flush
	grow := func(to float64) { // count up to time to, flushing on the way
		for t := s.now; t < to; {
			end := min(to, nextFlush)
			raw += s.poisson(lambda * (end - t))
			if t = end; t == nextFlush {
				flushed, nextFlush = raw, nextFlush+flush
			}
		}
	}
	seen, back := 0.0, -1.0 // back: when the service is there again
	s.emit(0)
	for i := 1; i < s.scrapes(); i++ {
		t := float64(i) * interval
		if back >= t {
			s.now = t
			continue
		}
		if back < 0 && s.rnd.Float64() < perScrape {
			crash := s.now + s.rnd.Float64()*interval
			grow(crash)
			raw = flushed
			seen = min(seen, raw) // what is lost cannot be counted again by the difference
			back = crash + 60 + s.rnd.Float64()*240
			if s.now = t; s.rnd.IntN(2) == 0 {
				s.stale()
			}
			continue
		}
		if back >= 0 {
			s.now, nextFlush, back = back, back+s.rnd.Float64()*flush, -1
		}
		grow(t)
		s.now = t
		s.truth += raw - seen
		seen = raw
		s.emit(raw)
	}
	return s.tr
}

// recycle: a counter summed over n workers, one of which is replaced at 2 % of the scrapes.
func recycle(seed uint64, hours, n int, lambda float64) Trace {
	s := newSim(seed, hours, "recycle N=%d λ=%v/s", n, lambda)
	worker := make([]float64, n)
	one := lambda / float64(n)
	s.emit(0)
	for i := 1; i < s.scrapes(); i++ {
		s.now = float64(i) * interval
		gone := -1
		if s.rnd.Float64() < 0.02 {
			gone = s.rnd.IntN(n)
		}
		sum := 0.0
		for w := range worker {
			x := s.poisson(one * interval)
			if w == gone {
				// The old worker's last counts were never scraped.
				x = s.poisson(one * interval * s.rnd.Float64())
				worker[w] = 0
			}
			worker[w] += x
			s.truth += x
			sum += worker[w]
		}
		s.emit(sum)
	}
	return s.tr
}

// restarts: the whole counter starts again from 0 with probability p a scrape,
// and then counts burst times as fast for two minutes.
func restarts(seed uint64, hours int, p, lambda, burst float64, starts bool) Trace {
	s := newSim(seed, hours, "restart p=%v λ=%v/s burst=%v", p, lambda, burst)
	const burstFor = 120.0
	raw, born := 0.0, -1e9
	grown := func(from, to float64) float64 { // counted between two instants
		hot := max(0, min(to, born+burstFor)-from)
		return s.poisson(lambda * (hot*burst + (to - from - hot)))
	}
	if starts {
		s.start = epochMS - 1000
	}
	s.emit(0)
	for i := 1; i < s.scrapes(); i++ {
		from := s.now
		s.now = float64(i) * interval
		if s.rnd.Float64() < p {
			raw, from = 0, from+s.rnd.Float64()*interval
			born = from
			if starts {
				s.start = s.at(from)
			}
		}
		x := grown(from, s.now)
		raw += x
		s.truth += x
		s.emit(raw)
	}
	return s.tr
}

// flips: 30 % of the scrapes read the value of lag scrapes ago, as from a stale cache or the other replica.
func flips(seed uint64, hours, lag int, lambda float64) Trace {
	s := newSim(seed, hours, "flips lag=%d λ=%v/s", lag, lambda)
	values := []float64{0}
	s.highest(0)
	for i := 1; i < s.scrapes(); i++ {
		s.now = float64(i) * interval
		values = append(values, values[i-1]+s.poisson(lambda*interval))
		read := i
		if s.rnd.Float64() < 0.3 {
			read = max(0, i-lag)
		}
		s.highest(values[read])
	}
	return s.tr
}

// jitter: a float counter, 10 % of whose scrapes are up to three steps too low.
func jitter(seed uint64, hours int, rate, spread float64) Trace {
	s := newSim(seed, hours, "jitter rate=%v spread=%v", rate, spread)
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
	s := newSim(seed, hours, "healthy %s", name)
	value := first
	for i := range s.scrapes() {
		s.now = float64(i) * interval
		s.highest(value)
		value += step(s.rnd)
	}
	return s.tr
}
