package accuracy

import "fmt"

// amount is what a series holds, or grows by: a number, or one for each bucket.
// It is not changed once it is made.
type amount[A any] interface{ plus(A) A }

// source is one series in the making: what is counted in it, and who writes it
// down. The faults below are the same for every kind of series.
type source[A any] interface {
	clock() *sim
	// observe is what comes when mean events are expected.
	observe(mean float64) A
	// emit records a scrape at the clock's time.
	emit(raw, truth A)
	// stale records that the target is gone.
	stale()
}

// setting is one trace of a class: a fault with its rates.
type setting[A any] struct {
	name string
	play func(source[A])
}

// played are the traces of a class: each of its settings, named as one of its kind, in a simulation of its own.
func played[A amount[A], T any](kind string, list []setting[A], play func(setting[A], *sim) T) func(uint64, int) []T {
	return func(seed uint64, hours int) (all []T) {
		for _, x := range list {
			x.name = kind + x.name
			all = append(all, play(x, newSim(seed, hours, x.name)))
		}
		return all
	}
}

// The settings of the classes, as the project's table names them; where it
// gives a range the ends are in, and what lies between is a factor of four to ten apart.
var (
	crashRates = []float64{0.01, 0.1, 1, 5, 20} // events/s
	rates      = []float64{0.1, 1, 10, 50}
	loopRates  = []float64{1, 5, 20, 50} // below 1/s, whether a short step hides a restart is chance
	lowRates   = []float64{0.01, 0.02, 0.05, 0.1, 0.5}
	poolSizes  = []int{2, 4, 8, 16}
	bursts     = []float64{1, 5, 20}
	lags       = []int{1, 4}
)

const (
	restartShare = 0.01 // of the scrapes
	loopShare    = 0.08
	lowShare     = 0.03
)

// panicking loses what was not written when it crashed; quitting, away as long and as often, everything.
func panicking[A amount[A]]() []setting[A] { return crashing[A]("panic", true) }
func quitting[A amount[A]]() []setting[A]  { return crashing[A]("quit", false) }

func crashing[A amount[A]](name string, kept bool) (all []setting[A]) {
	for _, lambda := range crashRates {
		all = append(all, setting[A]{fmt.Sprintf("%s λ=%v/s", name, lambda), func(x source[A]) { crashes(x, lambda, kept) }})
	}
	return all
}

// atEach is one setting for each of the values at each of the rates.
func atEach[A amount[A], V any](values []V, rates []float64, set func(V, float64) setting[A]) (all []setting[A]) {
	for _, v := range values {
		for _, lambda := range rates {
			all = append(all, set(v, lambda))
		}
	}
	return all
}

func recycling[A amount[A]]() []setting[A] {
	return atEach(poolSizes, rates, func(n int, lambda float64) setting[A] {
		return setting[A]{fmt.Sprintf("recycle N=%d λ=%v/s", n, lambda), func(x source[A]) { recycle(x, n, lambda) }}
	})
}

// restarting has a restart at a share p of the scrapes; starts: with start timestamps.
func restarting[A amount[A]](p float64, rates, bursts []float64, starts bool) []setting[A] {
	return atEach(bursts, rates, func(burst, lambda float64) setting[A] {
		name := fmt.Sprintf("restart p=%v λ=%v/s burst=%v", p, lambda, burst)
		return setting[A]{name, func(x source[A]) { restarts(x, p, lambda, burst, starts) }}
	})
}

func flipping[A amount[A]]() []setting[A] {
	return atEach(lags, rates, func(lag int, lambda float64) setting[A] {
		return setting[A]{fmt.Sprintf("flips lag=%d λ=%v/s", lag, lambda), func(x source[A]) { flips(x, lag, lambda) }}
	})
}

// A crash, as docs/accuracy.md gives reasons for.
const (
	crashesPerHour      = 3.3     // of service
	flushEvery          = 30.0    // s between write-backs of the page
	awayLeast, awayMost = 60, 300 // s
	staleShare          = 0.5     // of the crashes after which the scraper says that the target is gone
)

// crashes: the service is away for one to five minutes. If a page is kept, increments that a scrape
// saw are lost when the node panics before the page was flushed; else all of them are.
func crashes[A amount[A]](x source[A], lambda float64, keptPage bool) {
	s := x.clock()
	var nothing, raw, flushed, truth A
	var unseen, kept A                                  // what no scrape has seen yet, and what of it was flushed
	nextFlush, back := s.rnd.Float64()*flushEvery, -1.0 // back: when the service is there again
	grow := func(to float64) {                          // count up to time to, flushing on the way
		for t := s.now; t < to; {
			end := min(to, nextFlush)
			n := x.observe(lambda * (end - t))
			raw, unseen = raw.plus(n), unseen.plus(n)
			if t = end; t == nextFlush {
				flushed, kept, nextFlush = raw, unseen, nextFlush+flushEvery
			}
		}
	}
	x.emit(raw, truth)
	for i := 1; i < s.scrapes(); i++ {
		t := float64(i) * interval
		if back >= t {
			s.now = t
			continue
		}
		if back < 0 && s.rnd.Float64() < crashesPerHour/perHour {
			crash := s.now + s.rnd.Float64()*interval
			grow(crash)
			if raw, unseen = flushed, kept; !keptPage {
				raw, unseen = nothing, nothing
			}
			back = crash + awayLeast + s.rnd.Float64()*(awayMost-awayLeast)
			if s.now = t; s.rnd.Float64() < staleShare {
				x.stale()
			}
			continue
		}
		if back >= 0 {
			s.now, nextFlush, back = back, back+s.rnd.Float64()*flushEvery, -1
		}
		grow(t)
		s.now = t
		truth, unseen, kept = truth.plus(unseen), nothing, nothing
		x.emit(raw, truth)
	}
}

// recycleShare of the scrapes see one of the workers replaced.
const recycleShare = 0.02

// recycle: a sum over n workers, one of which is replaced now and then. Its last counts were never scraped.
func recycle[A amount[A]](x source[A], n int, lambda float64) {
	s := x.clock()
	var truth, nothing A
	worker := make([]A, n)
	one := lambda / float64(n)
	x.emit(nothing, truth)
	for i := 1; i < s.scrapes(); i++ {
		s.now = float64(i) * interval
		gone := -1
		if s.rnd.Float64() < recycleShare {
			gone = s.rnd.IntN(n)
		}
		var sum A
		for w := range worker {
			during := interval
			if w == gone {
				during *= s.rnd.Float64()
				worker[w] = nothing
			}
			grown := x.observe(one * during)
			worker[w], truth = worker[w].plus(grown), truth.plus(grown)
			sum = sum.plus(worker[w])
		}
		x.emit(sum, truth)
	}
}

// burstFor is how long a burst after a restart lasts, s.
const burstFor = 120.0

// restarts: the whole starts again from 0 with probability p a scrape, and
// then counts burst times as fast for two minutes.
func restarts[A amount[A]](x source[A], p, lambda, burst float64, starts bool) {
	s := x.clock()
	var raw, truth, nothing A
	born := -1e9
	if starts {
		s.start = epochMS - 1000
	}
	x.emit(raw, truth)
	for i := 1; i < s.scrapes(); i++ {
		from := s.now
		s.now = float64(i) * interval
		if s.rnd.Float64() < p {
			raw, from = nothing, from+s.rnd.Float64()*interval
			born = from
			if starts {
				s.start = s.at(from)
			}
		}
		hot := max(0, min(s.now, born+burstFor)-from)
		n := x.observe(lambda * (hot*burst + (s.now - from - hot)))
		raw, truth = raw.plus(n), truth.plus(n)
		x.emit(raw, truth)
	}
}

// flipShare of the scrapes read an old value.
const flipShare = 0.3

// flips: some scrapes read the whole as it was lag scrapes ago, as from a stale cache or the other replica.
func flips[A amount[A]](x source[A], lag int, lambda float64) {
	s := x.clock()
	values, newest := make([]A, 1, s.scrapes()), 0
	x.emit(values[0], values[0])
	for i := 1; i < s.scrapes(); i++ {
		s.now = float64(i) * interval
		values = append(values, values[i-1].plus(x.observe(lambda*interval)))
		read := i
		if s.rnd.Float64() < flipShare {
			read = max(0, i-lag)
		}
		newest = max(newest, read)
		x.emit(values[read], values[newest])
	}
}

// steady: nothing befalls it.
func steady[A amount[A]](x source[A], lambda float64) {
	s := x.clock()
	var truth A
	x.emit(truth, truth)
	for i := 1; i < s.scrapes(); i++ {
		s.now = float64(i) * interval
		truth = truth.plus(x.observe(lambda * interval))
		x.emit(truth, truth)
	}
}

func steadily[A amount[A]](rates ...float64) (all []setting[A]) {
	for _, lambda := range rates {
		all = append(all, setting[A]{fmt.Sprintf("healthy λ=%v/s", lambda), func(x source[A]) { steady(x, lambda) }})
	}
	return all
}
