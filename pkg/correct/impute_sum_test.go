package correct_test

import (
	"math"
	"testing"

	"pawl/pkg/correct"
)

// Rule: what impute puts in for a loss comes with its usual share of the _sum,
// whether it is put in at the drop or once the drop turned out to be a loss: the mean stays what it was.
func TestImputedObservationsHaveTheirUsualMean(t *testing.T) {
	for _, left := range []float64{390.0 * 3 / 4, 390.0 / 2, 390.0 / 4} {
		pl := newPlayer(correct.Policy{Impute: true})
		at := int64(0)
		send := func(count float64) (outCount, outSum float64) {
			at += 15000
			pl.together([]piece{{correct.RoleSum, 0, correct.Sample{T: at, V: count / 2}}, {correct.RoleCount, 0, correct.Sample{T: at, V: count}}})
			pl.settle(true)
			return pl.out[pieceKey{correct.RoleCount, 0, at}], pl.out[pieceKey{correct.RoleSum, 0, at}]
		}
		for i := range 40 {
			send(float64(10 * i))
		}
		var count, sum float64
		for i := range 20 {
			count, sum = send(math.Floor(left) + float64(10*i))
		}
		if grew := count - 390; grew < 191 || grew > 200 {
			t.Errorf("left %v: _count grew by %v, want the 190 that were seen and most of a step for the loss", left, grew)
		}
		if math.Abs(sum-count/2) > 1e-9*count {
			t.Errorf("left %v: _count is %v, _sum %v; every observation is 0.5", left, count, sum)
		}
	}
}
