//go:build rig

package rig

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/cespare/xxhash/v2"
	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// Values of remote_write's protobuf_message.
const (
	messageV1 = "prometheus.WriteRequest"
	messageV2 = "io.prometheus.write.v2.Request"
)

// request is one remote-write request, the same bytes however often it is sent.
type request struct {
	n       int // its number within its shard
	message string
	body    []byte
	points  []point
}

// shard makes the requests of one sender: its series are its own, and each request is a scrape of
// some of them. Half of them are 1.0, half 2.0.
type shard struct {
	number  int
	fleet   *fleet
	rand    *rand.Rand
	streams []stream
	split   stream  // its scrapes are cut in two requests
	rest    []point // the second part of such a scrape
	t       int64
	made    int
}

// scrapeMS is the time between two scrapes.
const scrapeMS = 15_000

// firstT is the timestamp that the data begins at.
const firstT = int64(1_750_000_000_000)

// newShard makes a shard with about n series, of every kind.
func newShard(f *fleet, seed uint64, number, n int) *shard {
	r := rand.New(rand.NewPCG(seed, uint64(number)))
	s := &shard{number: number, fleet: f, rand: r, t: firstT}
	name := func(metric string, i int) int32 {
		return f.add(labels.FromStrings("__name__", metric, "shard", fmt.Sprint(number), "i", fmt.Sprint(i), "job", "rig", "instance", "127.0.0.1:1"))
	}
	for i := range max(1, n/4) {
		s.streams = append(s.streams,
			&healthy{id: name("rig_healthy_total", i), step: math.Exp(r.NormFloat64() * 4)},
			newFaulty(r, name("rig_restarts_total", i), true),
			newFaulty(r, name("rig_losses_total", i), false),
			&gauge{id: name("rig_level", i)})
	}
	s.streams = append(s.streams, newClassic(r, f, number, "rig_seconds"),
		&native{id: name("rig_native", 0), counts: make([]int64, 4)},
		&native{id: name("rig_native", 1), counts: make([]int64, 4), resets: true})
	s.split = newClassic(r, f, number, "rig_split_seconds")
	return s
}

// next is the shard's next request.
func (s *shard) next() *request {
	var points []point
	if s.rest != nil {
		points, s.rest = s.rest, nil
	} else {
		s.t += scrapeMS
		for range 1 + s.rand.IntN(2) { // sometimes two samples of a series in one request
			for _, st := range s.streams {
				points = st.scrape(s.rand, s.t, points)
			}
			s.t += scrapeMS
		}
		parts := s.split.scrape(s.rand, s.t, nil)
		points = append(points, parts[:3]...)
		s.rest = parts[3:]
	}
	q := &request{n: s.made, message: messageV1, points: points}
	s.made++
	if s.rand.IntN(2) == 0 {
		q.message = messageV2
	}
	q.body = encode(s.fleet, q.message, points)
	return q
}

// encode makes the body: consecutive samples of one series share an entry.
func encode(f *fleet, message string, points []point) []byte {
	order, bySeries := []int32{}, map[int32][]point{}
	for _, p := range points {
		if bySeries[p.series] == nil {
			order = append(order, p.series)
		}
		bySeries[p.series] = append(bySeries[p.series], p)
	}
	var raw []byte
	var err error
	if message == messageV1 {
		var msg prompb.WriteRequest
		for _, id := range order {
			ts := prompb.TimeSeries{Labels: prompb.FromLabels(f.labels[id], nil)}
			for _, p := range bySeries[id] {
				if p.native != nil {
					ts.Histograms = append(ts.Histograms, *p.native)
				} else {
					ts.Samples = append(ts.Samples, prompb.Sample{Timestamp: p.t, Value: p.raw})
				}
			}
			msg.Timeseries = append(msg.Timeseries, ts)
		}
		raw, err = msg.Marshal()
	} else {
		symbols := writev2.NewSymbolTable()
		var msg writev2.Request
		for _, id := range order {
			ts := writev2.TimeSeries{LabelsRefs: symbols.SymbolizeLabels(f.labels[id], nil)}
			for _, p := range bySeries[id] {
				if p.native != nil {
					ts.Histograms = append(ts.Histograms, writev2.FromIntHistogram(0, p.t, p.native.ToIntHistogram()))
				} else {
					ts.Samples = append(ts.Samples, writev2.Sample{Timestamp: p.t, Value: p.raw})
				}
			}
			msg.Timeseries = append(msg.Timeseries, ts)
		}
		msg.Symbols = symbols.Symbols()
		raw, err = msg.Marshal()
	}
	if err != nil {
		panic("BUG: a request of the rig does not marshal: " + err.Error())
	}
	return snappy.Encode(nil, raw)
}

// fingerprint is a native histogram's content in 64 bits, whichever message
// it came in and whether its counts are whole numbers or not.
func fingerprint(h *prompb.Histogram) uint64 {
	var fh *histogram.FloatHistogram
	if h.IsFloatHistogram() {
		fh = h.ToFloatHistogram()
	} else {
		fh = h.ToIntHistogram().ToFloat(nil)
	}
	return fingerprintOf(fh)
}

func fingerprintOf(fh *histogram.FloatHistogram) uint64 {
	m := prompb.FromFloatHistogram(0, fh.Copy().Compact(0))
	b, err := m.Marshal()
	if err != nil {
		panic("BUG: a histogram does not marshal: " + err.Error())
	}
	return xxhash.Sum64(b)
}
