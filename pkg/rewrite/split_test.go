package rewrite

import (
	"fmt"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// Rule: halving a request again and again gives every series once, in order,
// with its samples, and ends with single ones.
func TestSplitGivesEverySeriesOnce(t *testing.T) {
	const n = 11
	v1 := &prompb.WriteRequest{Metadata: []prompb.MetricMetadata{{MetricFamilyName: "x"}}}
	symbols := writev2.NewSymbolTable()
	v2 := &writev2.Request{}
	for i := range n {
		name := fmt.Sprintf("s%02d", i)
		v1.Timeseries = append(v1.Timeseries, prompb.TimeSeries{Labels: []prompb.Label{{Name: "__name__", Value: name}},
			Samples: []prompb.Sample{{Timestamp: int64(i), Value: float64(i)}}})
		v2.Timeseries = append(v2.Timeseries, writev2.TimeSeries{LabelsRefs: []uint32{symbols.Symbolize("__name__"), symbols.Symbolize(name)},
			Samples: []writev2.Sample{{Timestamp: int64(i), Value: float64(i)}}})
	}
	v2.Symbols = symbols.Symbols()
	m1, _ := v1.Marshal()
	m2, _ := v2.Marshal()
	for v, msg := range map[Version][]byte{V1: m1, V2: m2} {
		var names []string
		var total Counts
		var halve func(body []byte)
		halve = func(body []byte) {
			first, second, kept, ok, err := Split(v, body)
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				for i, half := range [][]byte{first, second} {
					var b Batch
					if err := b.Decode(v, "", half, Limits{}); err != nil {
						t.Fatal(err)
					}
					if len(b.Samples) != kept[i].Samples {
						t.Errorf("half %d has %d samples, told %d", i, len(b.Samples), kept[i].Samples)
					}
					halve(half)
				}
				return
			}
			var b Batch
			if err := b.Decode(v, "", body, Limits{}); err != nil {
				t.Fatal(err)
			}
			names = append(names, string(b.Name(0)))
			if len(b.Series) != 1 || names[len(names)-1] != fmt.Sprintf("s%02d", int(b.Samples[0].V)) {
				t.Errorf("ends with %d series, value %v of %s", len(b.Series), b.Samples[0].V, b.Name(0))
			}
			total.add(len(b.Samples), 0, 0)
			total.Metadata += len(b.Metadata)
		}
		halve(snappy.Encode(nil, msg))
		if len(names) != n || total.Samples != n || v == V1 && total.Metadata != 1 {
			t.Errorf("version %d: %v, %+v", v, names, total)
		}
		for i, name := range names {
			if name != fmt.Sprintf("s%02d", i) {
				t.Errorf("version %d: %s at place %d", v, name, i)
			}
		}
	}
}
