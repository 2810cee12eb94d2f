package demo

import (
	"fmt"
	"math/rand/v2"
	"time"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// A pool with a latency histogram as in the incident that the story retells:
// little traffic, and one worker that is replaced again and again and whose
// first request is always a slow one.
const (
	ratioName       = "api_request_duration_milliseconds"
	ratioScrapes    = 6 * 240
	ratioWindow     = 240 // scrapes, one hour
	ratioWorkers    = 8
	ratioUp         = 60   // fast requests that each worker has behind it
	ratioPerWorker  = 0.05 // requests per scrape
	ratioFast       = 0.9  // share of them under a second
	ratioReplaced   = 0.05 // how often the restless worker is replaced, per scrape
	ratioFastMillis = 200
	ratioSlowMillis = 1800
)

// latencyRatio is a service level: the share of requests under a second, by
// the hour. A replaced worker takes a fast request away and brings a slow one:
// the sum falls in one bucket and not in the other. PromQL sees a restart in
// the one and none in the other, and more fast requests than requests.
func latencyRatio(end time.Time, seed uint64) story {
	rng := rand.New(rand.NewPCG(seed, 6))
	var fast, slow [ratioWorkers]int // what each worker's process counted
	names := []string{"_bucket 1000", "_bucket +Inf", "_count", "_sum"}
	samples := make([][]sample, len(names))
	trueFast, trueAll := make([]int, ratioScrapes), make([]int, ratioScrapes)
	for w := range fast {
		fast[w] = ratioUp
	}
	for i := range ratioScrapes {
		for w := range fast {
			quick, late := 0, 0
			if w == 0 && rng.Float64() < ratioReplaced {
				fast[w], slow[w], late = 0, 0, 1
			}
			for range poisson(rng, ratioPerWorker) {
				if rng.Float64() < ratioFast {
					quick++
				} else {
					late++
				}
			}
			fast[w] += quick
			slow[w] += late
			trueFast[i] += quick
			trueAll[i] += quick + late
		}
		f, s := 0, 0
		for w := range fast {
			f, s = f+fast[w], s+slow[w]
		}
		at := scrapeTime(end, i, ratioScrapes)
		for p, v := range []int{f, f + s, f + s, f*ratioFastMillis + s*ratioSlowMillis} {
			samples[p] = append(samples[p], sample{t: at, v: float64(v)})
		}
	}
	truth := highestShare(trueFast, trueAll)
	st := story{
		title: "share of fast requests",
		what: "the share of requests under a second, rate(bucket{le=\"1000\"}[1h]) / rate(bucket{le=\"+Inf\"}[1h]), at its " +
			"highest over six hours, while one worker of eight is replaced again and again and starts with a slow " +
			"request each time; one request less in one bucket and one more in the other may as well be a bucket read too " +
			"early, so some of the slow ones are missing; but the buckets are judged as one, and no share exceeds 1",
		protocol: remoteapi.WriteV2MessageType,
		together: true,
		query:    highestRatio,
		truth:    truth,
		above:    1 - truth,
		bound:    "at most 1",
	}
	for p, suffix := range []string{"_bucket", "_bucket", "_count", "_sum"} {
		ls := []string{model.MetricNameLabel, ratioName + suffix, "job", "collector", "exported_job", "shop-api"}
		if p < 2 {
			ls = append(ls, model.BucketLabel, []string{"1000", "+Inf"}[p])
		}
		st.series = append(st.series, series{labels: labels.FromStrings(ls...), typ: model.MetricTypeHistogram, samples: samples[p]})
	}
	return st
}

// highestRatio asks for the service level as the incident's dashboard did, at
// every minute that has a whole hour behind it.
func highestRatio(path string, start, end int64) string {
	rate := func(le string) string {
		return fmt.Sprintf("sum(rate(%s_bucket{%s=%q,le=%q}[1h]))", ratioName, pathLabel, path, le)
	}
	return fmt.Sprintf("max_over_time((%s / %s)[%dms:1m])", rate("1000"), rate("+Inf"), end-start-time.Hour.Milliseconds())
}

// highestShare is the same of what was really counted.
func highestShare(fast, all []int) (highest float64) {
	f, n := 0, 0
	for i := range all {
		f, n = f+fast[i], n+all[i]
		if i >= ratioWindow {
			f, n = f-fast[i-ratioWindow], n-all[i-ratioWindow]
			highest = max(highest, float64(f)/float64(n))
		}
	}
	return highest
}
