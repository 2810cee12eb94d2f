package correct_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"pawl/pkg/correct"
)

// vector is one series of testdata/vectors/counters.json; its "about" explains the keys.
type vector struct {
	ID, Note, Name, Type string
	DT                   float64
	TimeUnit             string `json:"time_unit"`
	T                    []float64
	Raw, Corrected       []any
	ST                   []int64
	Tolerance            float64
	Warm                 *struct {
		Rate    float64
		Samples int
	}
}

// decidedByTheCaller are the vectors about what is no counter: whether one is
// asked for at all is not the arithmetic's to know.
var decidedByTheCaller = []string{"gauge-by-metadata", "gauge-by-name"}

func loadVectors(t *testing.T) []vector {
	t.Helper()
	text, err := os.ReadFile("../../testdata/vectors/counters.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []vector }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) == 0 {
		t.Fatal("no vectors")
	}
	return file.Vectors
}

const staleMarker = 0x7ff0000000000002

func (v vector) value(t *testing.T, x any) float64 {
	t.Helper()
	switch x := x.(type) {
	case float64:
		return x
	case string:
		switch x {
		case "NaN":
			return math.NaN()
		case "+Inf":
			return math.Inf(1)
		case "stale":
			return math.Float64frombits(staleMarker)
		}
	}
	t.Fatalf("value %v", x)
	return 0
}

func (v vector) ms(i int) int64 {
	if v.T == nil {
		return int64(float64(i) * v.DT * 1000)
	}
	if v.TimeUnit == "ms" {
		return int64(v.T[i])
	}
	return int64(v.T[i] * 1000)
}

func (v vector) start(i int) int64 {
	if v.ST == nil {
		return 0
	}
	return v.ST[max(i, 0)]
}

// samples are the warm-up, which ends one step before the first raw value, and the raw values.
func (v vector) samples(t *testing.T) (warm, raw []correct.Sample) {
	t.Helper()
	first := v.value(t, v.Raw[0])
	if v.Warm != nil {
		dt := v.ms(1) - v.ms(0)
		for i := v.Warm.Samples; i > 0; i-- {
			back := float64(int64(i)*dt) / 1000 * v.Warm.Rate
			if first < back {
				continue // it had not started yet
			}
			warm = append(warm, correct.Sample{T: v.ms(0) - int64(i)*dt, V: first - back, ST: v.start(-1)})
		}
	}
	for i, x := range v.Raw {
		raw = append(raw, correct.Sample{T: v.ms(i), V: v.value(t, x), ST: v.start(i)})
	}
	return warm, raw
}

// feed is what the relay does with one sample.
func feed(c *correct.Counter, cs *correct.Case, p correct.Policy, s correct.Sample) (*correct.Case, correct.Outcome) {
	if cs == nil && c.Healthy(s) {
		return nil, correct.Outcome{V: s.V, ST: s.ST}
	}
	return c.Apply(cs, p, s)
}

func TestVectors(t *testing.T) {
	var notOurs []string
	for _, v := range loadVectors(t) {
		if v.Type == "gauge" || v.Name != "" {
			notOurs = append(notOurs, v.ID)
			continue
		}
		t.Run(v.ID, func(t *testing.T) { v.check(t) })
	}
	slices.Sort(notOurs)
	if !slices.Equal(notOurs, decidedByTheCaller) {
		t.Errorf("vectors left to the caller: %q, want %q", notOurs, decidedByTheCaller)
	}
}

func (v vector) check(t *testing.T) {
	var (
		c    correct.Counter
		cs   *correct.Case
		base float64
	)
	warm, raw := v.samples(t)
	for _, s := range warm {
		var o correct.Outcome
		if cs, o = feed(&c, cs, correct.Policy{}, s); o.V != s.V {
			t.Fatalf("warm-up changed at %d: %v to %v", s.T, s.V, o.V)
		}
	}
	want0 := v.value(t, v.Corrected[0])
	for i, s := range raw {
		var o correct.Outcome
		cs, o = feed(&c, cs, correct.Policy{}, s)
		for _, x := range o.Corrections {
			t.Logf("%d: %v %+v", i, x.Kind, x)
		}
		if i == 0 {
			base = o.V
		}
		if v.Corrected[i] == nil {
			if !o.Drop {
				t.Errorf("sample %d went out as %v, must be dropped", i, o.V)
			}
			continue
		}
		want := v.value(t, v.Corrected[i])
		if o.Drop {
			t.Errorf("sample %d was dropped, want %v", i, want)
			continue
		}
		if math.IsNaN(want) || math.IsInf(want, 0) {
			if math.Float64bits(o.V) != math.Float64bits(s.V) {
				t.Errorf("sample %d: %v must pass, is %v", i, s.V, o.V)
			}
			continue
		}
		if got, want := o.V-base, want-want0; math.Abs(got-want) > v.Tolerance {
			t.Errorf("sample %d: rose by %v since the first, want %v ± %v", i, got, want, v.Tolerance)
		}
	}
}
