package demo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// scrapeInterval is that of the simulated stories.
const scrapeInterval = 15 * time.Second

// A gunicorn pool as it is often set up: gunicorn --workers=4
// --max-requests=2000 --max-requests-jitter=200, under about two requests a second.
const (
	poolWorkers       = 4
	poolMaxRequests   = 2000
	poolJitter        = 200
	poolWorkerPerStep = 8.0 // requests per worker and scrape
	poolScrapes       = 6 * 240
)

// recycledWorkers is a pool whose workers' counters are summed up by a
// collector. When a worker has served its requests it is replaced, and its part
// of the sum is gone.
//
// What the relay cannot know is what was counted in the very scrape interval of
// a recycling: the drop hides it. The bound is exactly those steps.
func recycledWorkers(end time.Time, seed uint64) story {
	rng := rand.New(rand.NewPCG(seed, 2))
	limit := func() int { return poolMaxRequests + rng.IntN(poolJitter+1) }
	var count, limits [poolWorkers]int
	for w := range count {
		limits[w] = limit()
		count[w] = rng.IntN(limits[w]) // the pool has been up for a while
	}
	var truth, hidden int
	var got []sample
	for i := range poolScrapes {
		step, recycled, sum := 0, false, 0
		for w := range count {
			n := poisson(rng, poolWorkerPerStep)
			step += n
			count[w] += n
			if count[w] >= limits[w] {
				// The new worker serves what is left of the interval's requests.
				count[w], limits[w], recycled = count[w]-limits[w], limit(), true
			}
			sum += count[w]
		}
		if i > 0 { // the first scrape is where increase() starts
			truth += step
			if recycled {
				hidden += step
			}
		}
		got = append(got, sample{t: scrapeTime(end, i, poolScrapes), v: float64(sum)})
	}
	return story{
		title: "gunicorn workers recycle",
		what: "each of four workers is replaced after 2000 requests, and the pool's sum falls by its share; what " +
			"was counted within that very scrape interval no one can see, so that much may be missing",
		protocol: remoteapi.WriteV2MessageType,
		series: []series{{
			labels:  labels.FromStrings(model.MetricNameLabel, "pool_requests_total", "job", "collector", "exported_job", "shop"),
			typ:     model.MetricTypeCounter,
			samples: got,
		}},
		truth: float64(truth),
		below: float64(hidden),
		bound: fmt.Sprintf("at most %.1f %% less", 100*float64(hidden)/float64(truth)),
	}
}

// An idle CPU's iowait in /proc/stat: counted in ticks of 10 ms, and not
// monotonic (proc(5) says so).
const (
	iowaitScrapes     = 2 * 240
	iowaitStart       = 5_123_456 // ticks
	iowaitPerStep     = 12.0      // ticks per scrape
	iowaitDipOneIn    = 25        // scrapes
	iowaitDipMaxTicks = 3
	iowaitQuietEnd    = 5 // the story does not end within a dip
)

// dippingIOWait is a counter that now and then reads a few ticks less than
// before and is back on its way at the next scrape.
//
// A dip followed by an interval with little iowait looks like ticks lost for
// good. Taken for that, it adds its own depth and no more: that is the bound.
func dippingIOWait(end time.Time, seed uint64) story {
	rng := rand.New(rand.NewPCG(seed, 3))
	ticks, read, depths := iowaitStart, iowaitStart, 0
	var got []sample
	for i := range iowaitScrapes {
		if i > 0 {
			ticks += poisson(rng, iowaitPerStep)
		}
		dip := rng.IntN(iowaitDipOneIn) == 0
		if dip && i > 0 && i < iowaitScrapes-iowaitQuietEnd {
			depth := 1 + rng.IntN(iowaitDipMaxTicks)
			read, depths = read-depth, depths+depth
		} else {
			read = ticks
		}
		got = append(got, sample{t: scrapeTime(end, i, iowaitScrapes), v: seconds(read)})
	}
	return story{
		title: "iowait dips and comes back",
		what: "the kernel's own counter reads 10 to 30 ms less for one scrape, then goes on as before; a dip " +
			"that looks like a loss may add its own depth, so that much may be too many",
		protocol: remoteapi.WriteV1MessageType,
		series: []series{{
			labels:  labels.FromStrings(model.MetricNameLabel, "node_cpu_seconds_total", "job", "node", "instance", "db-1:9100", "cpu", "3", "mode", "iowait"),
			typ:     model.MetricTypeCounter,
			samples: got,
		}},
		truth: seconds(ticks - iowaitStart),
		above: seconds(depths),
		bound: fmt.Sprintf("at most %.1f %% more", 100*float64(depths)/float64(ticks-iowaitStart)),
	}
}

func seconds(ticks int) float64 { return float64(ticks) / 100 }

const (
	restartScrapes = 240
	restartAt      = 130
	restartPerStep = 30.0
)

// plainRestart is a counter whose process really restarted from zero. PromQL is
// right about it, and the relay must not be less right.
func plainRestart(end time.Time, seed uint64) story {
	rng := rand.New(rand.NewPCG(seed, 4))
	truth, count := 0, 0
	var got []sample
	for i := range restartScrapes {
		if i == restartAt {
			count = 0 // right after the scrape before: nothing uncounted
		}
		if i > 0 {
			n := poisson(rng, restartPerStep)
			count, truth = count+n, truth+n
		}
		got = append(got, sample{t: scrapeTime(end, i, restartScrapes), v: float64(count)})
	}
	return story{
		title:    "a real restart",
		what:     "the process restarted and counts from zero: PromQL is right, and the relay agrees",
		protocol: remoteapi.WriteV2MessageType,
		series: []series{{
			labels:  labels.FromStrings(model.MetricNameLabel, "worker_jobs_total", "job", "worker", "instance", "worker-7:9100"),
			typ:     model.MetricTypeCounter,
			samples: got,
		}},
		truth: float64(truth),
		bound: "exact",
	}
}

const (
	healthyScrapes = 240
	healthyPerStep = 40.0
)

// healthy is a counter that never misbehaves, beside a gauge that falls as
// gauges do. Both must come out of the relay bit for bit.
func healthy(end time.Time, seed uint64) story {
	rng := rand.New(rand.NewPCG(seed, 5))
	count := 918_273
	var counter, gauge []sample
	for i := range healthyScrapes {
		if i > 0 {
			count += poisson(rng, healthyPerStep)
		}
		t := scrapeTime(end, i, healthyScrapes)
		counter = append(counter, sample{t: t, v: float64(count)})
		gauge = append(gauge, sample{t: t, v: 20 + 4*math.Sin(float64(i)/9) + rng.Float64()})
	}
	return story{
		title:    "a healthy counter, a gauge",
		what:     "nothing happened: both must arrive bit for bit as they were sent",
		protocol: remoteapi.WriteV1MessageType,
		series: []series{{
			labels:  labels.FromStrings(model.MetricNameLabel, "shop_orders_total", "job", "shop", "instance", "shop-2:8080"),
			typ:     model.MetricTypeCounter,
			samples: counter,
		}, {
			labels:  labels.FromStrings(model.MetricNameLabel, "shop_temperature_celsius", "job", "shop", "instance", "shop-2:8080"),
			typ:     model.MetricTypeGauge,
			samples: gauge,
		}},
		truth:     counter[len(counter)-1].v - counter[0].v,
		bound:     "bit for bit",
		untouched: true,
	}
}

// scrapeTime is the time in ms of scrape i of n, the last of which is at end.
func scrapeTime(end time.Time, i, n int) int64 {
	return end.Add(-time.Duration(n-1-i) * scrapeInterval).UnixMilli()
}

// poisson draws a count with the given mean, by Knuth's product of uniforms.
func poisson(rng *rand.Rand, mean float64) int {
	limit, n := math.Exp(-mean), 0
	for p := rng.Float64(); p > limit; p *= rng.Float64() {
		n++
	}
	return n
}
