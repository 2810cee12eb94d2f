package demo

import (
	"fmt"
	"math"
	"time"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// Every series is stored twice, told apart by the label "path".
const (
	pathLabel     = "path"
	pathRaw       = "raw"       // straight to the upstream
	pathCorrected = "corrected" // through the relay
)

// story is something that happened to some counters: what was scraped, and what
// was really counted.
type story struct {
	title    string
	what     string // one line: what happened
	protocol remoteapi.WriteMessageType
	series   []series

	// asked is the index of the series whose increase() the table shows; the
	// others of the story must come through bit for bit.
	asked int
	// query is asked in place of the increase of the asked series; nil: that increase.
	query    func(path string, start, end int64) string
	together bool    // the series are parts of one histogram: all of them may be corrected
	truth    float64 // what was really counted between the first and the last sample

	// The stated bound: corrected is at least truth-below, at most truth+above.
	below, above float64
	bound        string // the same in words, for the table
	untouched    bool   // the asked series too must come through bit for bit
}

// series is one series as it was scraped.
type series struct {
	labels  labels.Labels // without the path label
	typ     model.MetricType
	samples []sample // oldest first
}

// sample is a value at a time in ms.
type sample struct {
	t int64
	v float64
}

// span is the time of the story's first and last sample, in ms.
func (st story) span() (start, end int64) {
	start, end = math.MaxInt64, math.MinInt64
	for _, se := range st.series {
		start = min(start, se.samples[0].t)
		end = max(end, se.samples[len(se.samples)-1].t)
	}
	return start, end
}

func (se series) name() string { return se.labels.Get(model.MetricNameLabel) }

// expr is what PromQL is asked about the story on one of the two paths.
func (st story) expr(path string) string {
	start, end := st.span()
	if st.query != nil {
		return st.query(path, start, end)
	}
	return increaseExpr(st.series[st.asked].selector(path), start, end)
}

// on is the series' label set on a path.
func (se series) on(path string) labels.Labels {
	b := labels.NewBuilder(se.labels)
	b.Set(pathLabel, path)
	return b.Labels()
}

func (se series) selector(path string) string { return se.on(path).String() }

func (se series) matchers(path string) []*labels.Matcher {
	var out []*labels.Matcher
	se.on(path).Range(func(l labels.Label) {
		out = append(out, labels.MustNewMatcher(labels.MatchEqual, l.Name, l.Value))
	})
	return out
}

// storiesEndingAt lays all stories so that each one's last sample is at most a
// minute before now.
func storiesEndingAt(now time.Time, seed uint64) []story {
	end := now.Truncate(time.Minute) // PromQL aligns a subquery's steps so: every run shows the same
	stories := []story{
		kernelPanic(end),
		recycledWorkers(end, seed),
		latencyRatio(end, seed),
		dippingIOWait(end, seed),
		plainRestart(end, seed),
		healthy(end, seed),
	}
	for i := range stories {
		stories[i].title = fmt.Sprintf("%d %s", i+1, stories[i].title)
	}
	return stories
}
