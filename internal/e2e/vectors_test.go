//go:build e2e

package e2e

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
)

// vector is one case of testdata/vectors/counters.json; the file says what its fields mean.
type vector struct {
	ID   string
	Name string
	Type string
	DT   float64
	T    []float64
	Unit string `json:"time_unit"`
	Warm struct {
		Rate    float64
		Samples int
	}
	Raw       []number
	Corrected []*number // nil: not forwarded
	ST        []int64
	Tolerance float64
}

// number is a JSON number, or one of the names that JSON has no number for.
type number float64

func (n *number) UnmarshalJSON(b []byte) error {
	var f float64
	switch string(b) {
	case `"NaN"`:
		f = math.NaN()
	case `"+Inf"`:
		f = math.Inf(1)
	case `"stale"`:
		f = math.Float64frombits(value.StaleNaN)
	default:
		if err := json.Unmarshal(b, &f); err != nil {
			return err
		}
	}
	*n = number(f)
	return nil
}

// sample is what goes over the wire. T and ST in ms.
type sample struct {
	T  int64
	V  float64
	ST int64
}

// vectorEpoch is the vectors' time 0, ms. Nothing of the relay may hang on the present.
const vectorEpoch = 1_700_000_000_000

// samples are the vector's, those of its warm-up first; warm says how many they are.
func (v vector) samples() (all []sample, warm int) {
	unit := 1000.0
	if v.Unit == "ms" {
		unit = 1
	}
	step := v.DT
	if step == 0 && len(v.T) > 1 {
		step = v.T[1] - v.T[0]
	}
	st := int64(0)
	if len(v.ST) > 0 {
		st = vectorEpoch + min(v.ST[0], -int64(float64(v.Warm.Samples+1)*step*unit))
	}
	for i := v.Warm.Samples; i > 0; i-- {
		before := float64(i) * step                                      // in the vector's unit of time
		if value := float64(v.Raw[0]) - v.Warm.Rate*before; value >= 0 { // else it had not started yet
			all = append(all, sample{vectorEpoch - int64(before*unit), value, st})
		}
	}
	warm = len(all)
	for i, raw := range v.Raw {
		t := float64(i) * v.DT
		if len(v.T) > 0 {
			t = v.T[i]
		}
		s := sample{T: vectorEpoch + int64(t*unit), V: float64(raw)}
		if len(v.ST) > 0 {
			s.ST = vectorEpoch + v.ST[i]
			if v.ST[i] == v.ST[0] {
				s.ST = st
			}
		}
		all = append(all, s)
	}
	return all, warm
}

func (v vector) labels() labels.Labels {
	name := v.Name
	if name == "" {
		name = "demo_total"
	}
	return labels.FromStrings(model.MetricNameLabel, name, "vector", v.ID)
}

func (v vector) metricType() prompb.MetricMetadata_MetricType {
	if v.Type == "gauge" || v.Name == "pg_stat_activity_count" {
		return prompb.MetricMetadata_GAUGE
	}
	return prompb.MetricMetadata_COUNTER
}

func readVectors(t *testing.T) []vector {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(repoRoot(t), "testdata", "vectors", "counters.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []vector }
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatalf("read the vectors: %v", err)
	}
	if len(file.Vectors) == 0 {
		t.Fatal("there are no vectors")
	}
	return file.Vectors
}

// The counters' vectors through the binary: what the arithmetic decides is what the
// upstream gets, in both versions, whichever the upstream takes. 1.0 has no start
// timestamps, so the vectors that live by them go by 2.0 only.
func TestVectorsThroughTheBinary(t *testing.T) {
	t.Parallel()
	for _, way := range []struct{ in, out string }{
		{messageV1, messageV1}, {messageV2, messageV2}, {messageV1, messageV2}, {messageV2, messageV1},
	} {
		t.Run(version(way.in)+"_to_"+version(way.out), func(t *testing.T) {
			t.Parallel()
			upstream := startRecorder(t)
			r := startRelay(t, relayOptions{upstream: upstream.url, message: way.out})
			var vectors []vector
			for _, v := range readVectors(t) {
				if len(v.ST) == 0 || way.in == messageV2 {
					vectors = append(vectors, v)
				}
			}
			pushVectors(t, r.url+"/api/v1/write", way.in, vectors)
			r.stop(t) // drains: what was acknowledged is upstream now
			got := upstream.recorded(t)
			for _, v := range vectors {
				t.Run(v.ID, func(t *testing.T) { v.judge(t, got[v.labels().String()]) })
			}
		})
	}
}

// judge compares what the upstream got of the vector's series with what it should be.
func (v vector) judge(t *testing.T, got []point) {
	sent, warm := v.samples()
	var want []sample
	first := math.NaN() // forwarded value of the first sample after the warm-up
	for i, s := range sent {
		if i >= warm {
			c := v.Corrected[i-warm]
			if c == nil {
				continue
			}
			s.V = float64(*c)
		}
		want = append(want, s)
	}
	if len(got) != len(want) {
		t.Fatalf("%d samples arrived, want %d: %v", len(got), len(want), got)
	}
	for i, w := range want {
		g := got[i]
		if g.T != w.T {
			t.Fatalf("sample %d has timestamp %d, want %d", i, g.T, w.T)
		}
		if i < warm {
			if g.Bits != math.Float64bits(w.V) {
				t.Errorf("warm-up sample %d was changed from %v to %v", i, w.V, g.value())
			}
			continue
		}
		if i == warm {
			first = g.value() - w.V
		}
		off := math.Abs(g.value() - w.V - first)
		if math.IsNaN(w.V) || math.IsInf(w.V, 0) {
			if g.Bits != math.Float64bits(w.V) {
				t.Errorf("sample %d is %v (bits %016x), want %v untouched", i-warm, g.value(), g.Bits, w.V)
			}
		} else if !(off <= v.Tolerance+1e-9*math.Abs(w.V)) {
			t.Errorf("sample %d is %v, want %v ± %v", i-warm, g.value(), w.V, v.Tolerance)
		}
	}
}
