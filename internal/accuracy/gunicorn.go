package accuracy

import "math"

// The pool of the gunicorn incident (docs: two true stories): workers whose
// histograms a collector sums up. A worker is replaced after so many requests,
// most of which are of methods that are not looked at, so that it has few of
// the others behind it; the new one takes the next request at once, cold, and so slowly.
const (
	poolWorkers  = 8
	poolReplaced = 0.03 // of the scrapes one of the workers is replaced
	poolLife     = 0.7  // requests of a method in a worker's life, on average, beside the first
	poolSlow     = 0.02 // share of these that take more than a second
	poolColdIs   = 1.0 / 3
)

// poolBounds are OpenTelemetry's default ones for durations, in ms.
var poolBounds = []float64{5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000, math.Inf(1)}

// poolMethods: a histogram each, named by it.
var poolMethods = []string{"PUT", "POST", "PATCH"}

// poolSim is the histogram of one method in the making.
type poolSim struct {
	*sim
	tr    HistTrace
	truth counts
}

// GunicornPool is what is scraped of the pool, a trace for each HTTP method,
// and what its workers really served. A replaced worker takes its few requests
// away, and a slow one that comes in the same interval fills the gap in le="+Inf" and not in le="1000".
func GunicornPool(seed uint64, hours int) (all []HistTrace) {
	for _, method := range poolMethods {
		s := &poolSim{sim: newSim(seed, hours, "gunicorn "+method), truth: make(counts, len(poolBounds))}
		s.tr = HistTrace{Name: method, Hours: hours, Bounds: poolBounds}
		s.pool()
		all = append(all, s.tr)
	}
	return all
}

func (s *poolSim) pool() {
	workers := make([]counts, poolWorkers)
	for w := range workers {
		workers[w] = s.requests(poolLife)
		s.truth.add(workers[w])
	}
	const perScrape = poolLife * poolReplaced / poolWorkers
	for i := range s.scrapes() {
		s.now = float64(i) * interval
		if i > 0 {
			for w := range workers {
				x := s.requests(perScrape)
				workers[w].add(x)
				s.truth.add(x)
			}
			if s.rnd.Float64() < poolReplaced {
				w := s.rnd.IntN(poolWorkers)
				workers[w] = make(counts, len(poolBounds))
				if s.rnd.Float64() < poolColdIs { // it is of this method
					cold := make(counts, len(poolBounds))
					cold[s.slowBucket()]++
					workers[w].add(cold)
					s.truth.add(cold)
				}
			}
		}
		sum := make(counts, len(poolBounds))
		for w := range workers {
			sum.add(workers[w])
		}
		t := s.at(s.now)
		s.tr.Raw = append(s.tr.Raw, Frame{T: t, B: sum.cumulative(), Sum: sum.total(poolBounds)})
		s.tr.Truth = append(s.tr.Truth, Frame{T: t, B: s.truth.cumulative(), Sum: s.truth.total(poolBounds)})
	}
}

// requests are mean requests on average, over the buckets.
func (s *poolSim) requests(mean float64) counts {
	out := make(counts, len(poolBounds))
	for range int(s.poisson(mean)) {
		if s.rnd.Float64() < poolSlow {
			out[s.slowBucket()]++
			continue
		}
		out[3+s.rnd.IntN(7)]++ // 25 ms to 1 s
	}
	return out
}

// slowBucket is one of those above a second, a low one more likely.
func (s *poolSim) slowBucket() int { return 10 + min(s.rnd.IntN(3), s.rnd.IntN(3)) }

// PoolOverfull counts the scrapes, from the first full hour on, at which the
// raw pool's requests under a second grew by more than all of them over the
// last hour, as PromQL counts: every decrease is a restart from 0.
func PoolOverfull(pool []HistTrace) (n int) {
	fast, all := make([]float64, len(pool[0].Raw)), make([]float64, len(pool[0].Raw))
	const second = 9 // index of le="1000"
	for _, tr := range pool {
		for i := 1; i < len(tr.Raw); i++ {
			was, is := tr.Raw[i-1].B, tr.Raw[i].B
			fast[i] += grown(was[second], is[second])
			all[i] += grown(was[len(was)-1], is[len(is)-1])
		}
	}
	for i := 1; i < len(fast); i++ {
		fast[i] += fast[i-1]
		all[i] += all[i-1]
		if i >= perHour && fast[i]-fast[i-perHour] > all[i]-all[i-perHour] {
			n++
		}
	}
	return n
}

// grown is a step as PromQL reads it.
func grown(was, is float64) float64 {
	if is < was {
		return is
	}
	return is - was
}
