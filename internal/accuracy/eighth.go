package accuracy

import "math"

// EighthRule is MetricsQL's removeCounterResets: a drop by less than an eighth
// is added back, any other is a restart from 0.
func EighthRule(points []Point) []Point {
	out := make([]Point, len(points))
	var prev, correction, last float64
	for i, x := range points {
		out[i] = x
		if math.IsNaN(x.V) {
			continue
		}
		if d := x.V - prev; d < 0 {
			if -d*8 < prev {
				correction -= d
			} else {
				correction += prev
			}
		}
		prev = x.V
		last = max(last, x.V+correction)
		out[i].V = last
	}
	return out
}
