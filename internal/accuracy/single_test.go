package accuracy_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"pawl/internal/accuracy"
	"pawl/pkg/correct"
)

// exception is where a single fault may leave the corrected increase further
// from the truth than PromQL alone is; docs/accuracy.md names the same ones.
type exception struct {
	atMost  float64                       // share of the traces
	where   func(x *accuracy.Single) bool // nil: anywhere
	because string
}

// young: the pace is not known yet.
func young(x *accuracy.Single) bool { return x.At < 20 }

// unusual: the step over the wrap was of more than twice the usual size.
func unusual(x *accuracy.Single) bool {
	return young(x) || math.Exp2(32)-x.Before+x.After > 2*x.Step
}

// synthesised: a start timestamp one ms before the sample is what Prometheus
// itself makes up at any decrease, so it is no evidence.
func synthesised(x *accuracy.Single) bool { return x.Raw[x.At].ST == x.Raw[x.At].T-1 }

var exceptions = map[accuracy.SingleFault]exception{
	accuracy.FaultLoss:         {0.01, young, "its pace is not known yet"},
	accuracy.FaultStartLoss:    {0.01, young, "its pace is not known yet"},
	accuracy.FaultRestart:      {0.01, nil, "it shows more at once than it usually counts in a step, or its pace is not known yet"},
	accuracy.FaultGapRestart:   {0.01, nil, "the same"},
	accuracy.FaultBurst:        {0.02, nil, "the burst looks like what a loss left, or like a return to the value before"},
	accuracy.FaultWrap:         {0.01, unusual, "the step over the wrap is unusual, or its pace is not known yet"},
	accuracy.FaultStartRestart: {0.002, synthesised, "the start timestamp is taken for Prometheus' synthesis"},
}

// Never further from the truth than PromQL alone on a single fault, but for the documented exceptions.
func TestSingleFaultsAreNoWorseThanPromQL(t *testing.T) {
	traces := 1000
	if *long {
		traces = 40_000
	}
	first := *seed
	if first == 0 {
		first = rand.Uint64N(1 << 40)
	}
	t.Logf("seeds from %d", first)
	for _, fault := range accuracy.SingleFaults() {
		t.Run(string(fault), func(t *testing.T) {
			allowed, excepted := exceptions[fault]
			worse, better := 0, 0
			for k := range traces {
				x := accuracy.NewSingle(first+uint64(k), fault)
				outs, err := accuracy.Engine{}.Counters(context.Background(), correct.Policy{}, []accuracy.Trace{x.Trace})
				if err != nil {
					t.Fatal(err)
				}
				promql, pawl := x.Off(outs[0])
				rounding := 1e-9 * x.Truth[len(x.Truth)-1].V
				switch {
				case promql > pawl+rounding:
					better++
				case pawl <= promql+rounding:
				case !excepted, allowed.where != nil && !allowed.where(&x):
					t.Errorf("seed %d, at scrape %d from %v to %v, usual step %v: PromQL is off by %v, the engine by %v",
						first+uint64(k), x.At, x.Before, x.After, x.Step, promql, pawl)
				default:
					worse++
				}
			}
			if limit := int(allowed.atMost * float64(traces)); worse > limit {
				t.Errorf("of %d traces %d are further from the truth than PromQL alone, at most %d (%s)", traces, worse, limit, allowed.because)
			}
			t.Logf("of %d traces %d are nearer to the truth than PromQL alone, %d further", traces, better, worse)
		})
	}
}
