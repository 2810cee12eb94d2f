package sequence

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"pawl/pkg/config"
	"pawl/pkg/rewrite"
)

// drawNeighbours are label sets as they come side by side: of a target, its families, their parts; some of them odd.
func drawNeighbours(rnd *rand.Rand) (sets []labels.Labels) {
	pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
	for range 1 + rnd.IntN(3) {
		shared := []string{"instance", fmt.Sprint("10.0.0.", rnd.IntN(3)), "job", pick("a", "b", "")}
		for k := range rnd.IntN(40) {
			shared = append(shared, fmt.Sprintf("l%02d", k), pick("x", "y"))
		}
		for range 1 + rnd.IntN(6) {
			base := pick("a", "b", "process_start_time_seconds", "latency")
			for range 1 + rnd.IntN(4) {
				add := [][]string{
					{"__name__", base + "_bucket", "le", pick("1", "2", "+Inf", "none")}, {"__name__", base + "_bucket"},
					{"__name__", base + "_count"}, {"__name__", base + "_sum"}, {"__name__", base + "_total", "code", pick("200", "500")},
					{"__name__", base}, {"__name__", base, "quantile", pick("0.5", "0.9")}, {"__name__", base + "_bucket", "la", "1"},
				}[rnd.IntN(8)]
				sets = append(sets, labels.FromStrings(append(slices.Clone(shared), add...)...))
			}
		}
	}
	return sets
}

// Rule: what a new series is, who it is, and what it belongs to does not depend on what came beside it in its request.
func TestANewSeriesIsWhatItIsByItself(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		beside, alone := newTestWriter(t), newTestWriter(t)
		if seed%5 == 0 {
			rules, err := config.ParseDecisions([]byte(`rules: [{match: '{le="2"}', type: gauge}, {match: '{code="500"}', resets: pass}]`), "rules")
			if err != nil {
				t.Fatal(err)
			}
			beside.class.adopt(rules.Correct)
			alone.class.adopt(rules.Correct)
		}
		seq := uint64(0)
		for range 3 {
			sets := drawNeighbours(rnd)
			whole := decodeV1(t, "t", nil, sets...)
			if seed%2 == 0 {
				body, _, err := whole.Encode(nil, rewrite.V2, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := whole.Decode(rewrite.V2, "t", body, trusted); err != nil {
					t.Fatal(err)
				}
			}
			for j := range whole.Samples {
				whole.Samples[j].V = 1
			}
			seq++
			beside.apply(&Request{Batch: *whole, seq: seq})
			for _, ls := range sets {
				alone.apply(&Request{Batch: *decodeV1(t, "t", nil, ls), seq: seq})
			}
		}
		if beside.table.series.n != alone.table.series.n || !reflect.DeepEqual(beside.class.families, alone.class.families) {
			t.Fatalf("seed %d: %d series, alone %d; families %v, alone %v", seed, beside.table.series.n, alone.table.series.n, beside.class.families, alone.class.families)
		}
		for id := range beside.table.series.n {
			got, want := *beside.table.series.at(id), *alone.table.series.at(id)
			who := beside.identityOf(id)
			got.next, want.next, got.gen, want.gen = 0, 0, 0, 0
			if got != want || !reflect.DeepEqual(who, alone.identityOf(id)) || rewrite.KeyOf(who.Tenant, who.Labels) != got.key {
				t.Fatalf("seed %d: %v is %+v, alone %+v %v", seed, who, got, want, alone.identityOf(id))
			}
			in, own := beside.targets.target(id), alone.targets.target(id)
			if (in == nil) != (own == nil) || in != nil && in.key != own.key {
				t.Fatalf("seed %d: %v is of target %v, alone %v", seed, who, in, own)
			}
			if got.flags&isPart != 0 && beside.groups.all[got.counter-1].key != alone.groups.all[want.counter-1].key {
				t.Fatalf("seed %d: %v is part of another histogram than alone", seed, who)
			}
		}
	}
}
