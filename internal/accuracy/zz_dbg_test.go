package accuracy

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"pawl/pkg/correct"
)

func TestDbgHist(t *testing.T) {
	kind := os.Getenv("DBG")
	if kind == "" {
		return
	}
	n, _ := strconv.Atoi(os.Getenv("N"))
	l, _ := strconv.ParseFloat(os.Getenv("L"), 64)
	for seed := uint64(5000); seed < 5000+uint64(n); seed++ {
		var tr HistTrace
		switch kind {
		case "restart":
			tr = histRestarts(seed, 10, l, false)
		case "panic":
			tr = histPanics(seed, 10, l)
		case "flip":
			tr = histFlips(seed, 10, 4, l)
		case "recycle":
			tr = histRecycle(seed, 10, 4, l)
		}
		dbgLog = map[int][]correct.Correction{}
		out := RelayHistogram(tr.Raw, correct.Policy{})
		last := make([]float64, 8)
		lost := 0.0
		for i := range out {
			if out[i].Stale {
				continue
			}
			change := 0.0
			var errs []float64
			for k := range out[i].B {
				e := out[i].B[k] - tr.Truth[i].B[k]
				if d := e - last[k]; d != 0 {
					change += max(d, -d)
				}
				last[k] = e
				errs = append(errs, e)
			}
			if change > 0 {
				lost += change
				if i > 0 && lost > 0 && os.Getenv("V") != "" {
					fmt.Printf("seed %d frame %d err %v\n  raw %v\n   <- %v\n", seed, i, errs, tr.Raw[i].B, tr.Raw[i-1].B)
				}
			}
			if os.Getenv("V") != "" {
				for _, c := range dbgLog[i] {
					fmt.Printf("   [%d] %v prev %v raw %v amount %v pend %v settles %v", i, c.Kind, c.Prev, c.Raw, c.Amount, c.Pending, c.Settles)
					for _, e := range c.Evidence {
						fmt.Printf(" %s %.2f;", e.Test, e.LogOdds)
					}
					fmt.Println()
				}
			}
		}
		fmt.Println("seed", seed, "abs err changes", lost, "truth", tr.Truth[len(tr.Truth)-1].B[7])
	}
}
