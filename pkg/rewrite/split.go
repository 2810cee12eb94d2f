package rewrite

import (
	"fmt"

	"github.com/gogo/protobuf/proto"
	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// Split cuts an encoded request in two by its series, to find the one that an
// upstream refuses; ok is false when it has fewer than two. Metadata of 1.0
// stays with the first half. It is the way of what was refused, so it may be
// slow: Prometheus' own message types do the work.
func Split(v Version, body []byte) (first, second []byte, kept [2]Counts, ok bool, err error) {
	msg, err := snappy.Decode(nil, body)
	if err != nil {
		return nil, nil, kept, false, fmt.Errorf("split a request: %w", err)
	}
	if v == V2 {
		return splitV2(msg)
	}
	return splitV1(msg)
}

func splitV1(msg []byte) (first, second []byte, kept [2]Counts, ok bool, err error) {
	var req prompb.WriteRequest
	if err := proto.Unmarshal(msg, &req); err != nil {
		return nil, nil, kept, false, fmt.Errorf("split a request: %w", err)
	}
	n := len(req.Timeseries)
	if n < 2 {
		return nil, nil, kept, false, nil
	}
	halves := [2]prompb.WriteRequest{
		{Timeseries: req.Timeseries[:n/2], Metadata: req.Metadata}, {Timeseries: req.Timeseries[n/2:]},
	}
	var bodies [2][]byte
	for i := range halves {
		m, err := proto.Marshal(&halves[i])
		if err != nil {
			return nil, nil, kept, false, fmt.Errorf("split a request: %w", err)
		}
		bodies[i] = snappy.Encode(nil, m)
		kept[i].Metadata = len(halves[i].Metadata)
		for _, ts := range halves[i].Timeseries {
			kept[i].add(len(ts.Samples), len(ts.Histograms), len(ts.Exemplars))
		}
	}
	return bodies[0], bodies[1], kept, true, nil
}

func splitV2(msg []byte) (first, second []byte, kept [2]Counts, ok bool, err error) {
	var req writev2.Request
	if err := proto.Unmarshal(msg, &req); err != nil {
		return nil, nil, kept, false, fmt.Errorf("split a request: %w", err)
	}
	n := len(req.Timeseries)
	if n < 2 {
		return nil, nil, kept, false, nil
	}
	var bodies [2][]byte
	for i, half := range [2][]writev2.TimeSeries{req.Timeseries[:n/2], req.Timeseries[n/2:]} {
		m, err := proto.Marshal(&writev2.Request{Symbols: req.Symbols, Timeseries: half})
		if err != nil {
			return nil, nil, kept, false, fmt.Errorf("split a request: %w", err)
		}
		bodies[i] = snappy.Encode(nil, m)
		for _, ts := range half {
			kept[i].add(len(ts.Samples), len(ts.Histograms), len(ts.Exemplars))
		}
	}
	return bodies[0], bodies[1], kept, true, nil
}

func (c *Counts) add(samples, histograms, exemplars int) {
	c.Samples += samples
	c.Histograms += histograms
	c.Exemplars += exemplars
}
