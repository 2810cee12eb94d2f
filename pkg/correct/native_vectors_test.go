package correct_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"pawl/pkg/correct"
)

// nativeVector is one series of testdata/vectors/native.json; its "about" explains the keys.
type nativeVector struct {
	ID, Policy  string
	DT          float64
	T           []float64
	ST          []int64
	CorrectedST []int64 `json:"corrected_st"`
	Raw         []vectorHist
	Corrected   []json.RawMessage
	Kinds       []string
	Warm        *struct {
		Samples int
		Step    vectorHist
	}
}

type vectorHist struct {
	Schema             int32
	Threshold, Zero    float64
	Positive, Negative map[string]float64
	Bounds             []float64
	Sum                any
	Hint               string
	Tolerance          float64
}

var vectorHints = map[string]histogram.CounterResetHint{
	"": histogram.UnknownCounterReset, "unknown": histogram.UnknownCounterReset, "reset": histogram.CounterReset,
	"none": histogram.NotCounterReset, "gauge": histogram.GaugeType,
}

// model is the histogram less times step.
func (v vectorHist) model(t *testing.T, step *vectorHist, times int) *histogram.FloatHistogram {
	t.Helper()
	h := &hist{schema: v.Schema, zero: v.Threshold, bounds: v.Bounds, at0: v.Zero, pos: map[int]float64{}, neg: map[int]float64{}}
	for _, side := range []struct {
		from map[string]float64
		to   map[int]float64
	}{{v.Positive, h.pos}, {v.Negative, h.neg}} {
		for i, n := range side.from {
			k, err := strconv.Atoi(i)
			if err != nil {
				t.Fatal(err)
			}
			side.to[k] = n
		}
	}
	switch sum := v.Sum.(type) {
	case float64:
		h.sum = sum
	case string:
		h.sum = math.Float64frombits(staleMarker)
	}
	if times > 0 {
		less := step.model(t, nil, 0)
		out, _, _, err := h.model().Sub(less.Mul(float64(times)))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	out := h.model()
	out.CounterResetHint = vectorHints[v.Hint]
	return out
}

func TestNativeVectors(t *testing.T) {
	text, err := os.ReadFile("../../testdata/vectors/native.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []nativeVector }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range file.Vectors {
		t.Run(v.ID, func(t *testing.T) { v.check(t) })
	}
}

func (v nativeVector) ms(i int) int64 {
	if v.T == nil {
		return int64(float64(i) * v.DT * 1000)
	}
	return int64(v.T[i] * 1000)
}

func (v nativeVector) check(t *testing.T) {
	var n correct.Native
	var p correct.Policy
	if v.Policy == "pass" {
		p.Resets = correct.PassResets
	}
	st := func(list []int64, i int) int64 {
		if list == nil {
			return 0
		}
		return list[i]
	}
	if v.Warm != nil {
		for i := v.Warm.Samples; i > 0; i-- {
			h := v.Raw[0].model(t, &v.Warm.Step, i)
			if _, _, _, changed, _ := n.Apply(p, -int64(i)*(v.ms(1)-v.ms(0)), st(v.ST, 0), h); changed {
				t.Fatal("warm-up changed")
			}
		}
	}
	kinds := []string{}
	for i, x := range v.Raw {
		h := x.model(t, nil, 0)
		out, outST, drop, changed, cs := n.Apply(p, v.ms(i), st(v.ST, i), h)
		for _, c := range cs {
			kinds = append(kinds, c.Kind.String())
		}
		v.checkSample(t, i, h, out, drop, changed)
		if v.CorrectedST != nil && outST != v.CorrectedST[i] {
			t.Errorf("sample %d: start timestamp %d, want %d", i, outST, v.CorrectedST[i])
		}
	}
	if !slices.Equal(kinds, v.Kinds) {
		t.Errorf("corrections %q, want %q", kinds, v.Kinds)
	}
}

func (v nativeVector) checkSample(t *testing.T, i int, raw, out *histogram.FloatHistogram, drop, changed bool) {
	t.Helper()
	switch text := string(v.Corrected[i]); {
	case text == "null":
		if !drop {
			t.Errorf("sample %d went out as %v, must be dropped", i, out)
		}
		return
	case drop:
		t.Errorf("sample %d was dropped", i)
		return
	case text == `"raw"`:
		if changed || out != raw {
			t.Errorf("sample %d was changed to %v", i, out)
		}
		return
	}
	var x vectorHist
	if err := json.Unmarshal(v.Corrected[i], &x); err != nil {
		t.Fatal(err)
	}
	want := x.model(t, nil, 0)
	if x.Sum == nil || math.Abs(want.Sum-out.Sum) <= x.Tolerance {
		want.Sum = out.Sum
	}
	if !changed || !out.Equals(want) {
		t.Errorf("sample %d went out as %v, want %v", i, out, want)
	}
	if x.Hint != "" && out.CounterResetHint != vectorHints[x.Hint] {
		t.Errorf("sample %d: hint %v, want %v", i, out.CounterResetHint, x.Hint)
	}
}
