package demo

import (
	"fmt"
	"time"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// panicPoints are the eleven scrapes of a real post-mortem. A Python service
// keeps its workers' counters in memory-mapped files; the node panicked after
// 72933 had been scraped and before the page was on disk, so the service came
// back, three minutes later, with 72932.
var panicPoints = []struct {
	clock string // UTC
	value float64
}{
	{"05:05:05.370", 72929},
	{"05:05:35.370", 72929},
	{"05:06:05.370", 72930},
	{"05:06:35.371", 72930},
	{"05:07:05.371", 72932},
	{"05:07:35.370", 72932},
	{"05:08:05.370", 72933},
	{"05:10:59.487", 72932},
	{"05:11:29.496", 72932},
	{"05:11:59.500", 72932},
	{"05:12:29.489", 72932},
}

// kernelPanic is the true story of one increment lost and 72,932 counted. The
// spacing is the real one, to the millisecond.
func kernelPanic(end time.Time) story {
	first := panicPoints[0]
	last := clock(panicPoints[len(panicPoints)-1].clock)
	var got []sample
	for _, p := range panicPoints {
		got = append(got, sample{t: end.UnixMilli() - (last - clock(p.clock)), v: p.value})
	}
	return story{
		title:    "kernel panic",
		what:     "72933 was scraped, then the node panicked; the counter resumed from disk at 72932",
		protocol: remoteapi.WriteV1MessageType,
		series: []series{{
			labels:  labels.FromStrings(model.MetricNameLabel, "api_requests_total", "job", "api", "instance", "api-0:8000"),
			typ:     model.MetricTypeCounter,
			samples: got,
		}},
		truth: 72933 - first.value,
		bound: "exact",
	}
}

// clock returns the ms since midnight of a time of day.
func clock(s string) int64 {
	t, err := time.Parse("15:04:05.000", s)
	if err != nil {
		panic(fmt.Sprintf("BUG: time of day %q: %v", s, err))
	}
	return t.Sub(t.Truncate(24 * time.Hour)).Milliseconds()
}
