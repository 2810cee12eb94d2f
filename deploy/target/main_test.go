package main

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scrape reads the exposition as Prometheus' own parser does.
func scrape(t *testing.T, f *faulty) map[string]float64 {
	t.Helper()
	var b bytes.Buffer
	f.write(&b)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(&b)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for name, family := range families {
		out[name] = family.GetMetric()[0].GetCounter().GetValue()
	}
	return out
}

func TestTheTruthOnlyGrowsAndTheRestBreaks(t *testing.T) {
	f := newFaulty(rand.New(rand.NewPCG(1, 0)))
	before := scrape(t, f)
	if len(before) != 6 {
		t.Fatalf("%d counters, want 6", len(before))
	}
	falls := map[string]int{}
	for range 720 { // an hour of scrapes
		for range 5 {
			f.second()
		}
		now := scrape(t, f)
		for name, v := range now {
			if v < before[name] {
				falls[name]++
			}
		}
		before = now
	}
	for name := range before {
		if truth := strings.Contains(name, "_true_"); truth != (falls[name] == 0) {
			t.Errorf("%s fell %d times", name, falls[name])
		}
	}
}
