package correct_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"pawl/pkg/correct"
)

// bounds are those of the histograms drawn here.
var bounds = []float64{0.1, 0.5, 1, 5, math.Inf(1)}

// faults are what may befall a drawn histogram.
type faults struct {
	restart, recycle, stale, torn, missing, marker bool
	starts                                         bool
}

var allFaults = faults{restart: true, recycle: true, stale: true, torn: true, missing: true, marker: true}

// drawPolicy is any policy for losses; resets are folded.
func drawPolicy(t *rapid.T) correct.Policy {
	return correct.Policy{
		Losses: rapid.SampledFrom([]correct.Losses{correct.Auto, correct.Restore, correct.Hold}).Draw(t, "losses"),
		Impute: rapid.Bool().Draw(t, "impute"),
	}
}

// drawFrames draws what is scraped of one histogram of two workers. Buckets come first, then _sum and _count.
func drawFrames(t *rapid.T, f faults) [][]piece {
	n := rapid.IntRange(3, 40).Draw(t, "frames")
	rate := rapid.SampledFrom([]int{1, 4, 60}).Draw(t, "rate")
	workers := [2][]float64{make([]float64, len(bounds)), make([]float64, len(bounds))}
	var past [][]float64
	var out [][]piece
	st := int64(0)
	if f.starts {
		st = 1
	}
	for i := range n {
		ms := int64(15000 * (i + 1))
		event := rapid.IntRange(0, 40).Draw(t, "event")
		switch {
		case f.restart && event == 0:
			workers = [2][]float64{make([]float64, len(bounds)), make([]float64, len(bounds))}
			if f.starts {
				st = ms - 7000
			}
		case f.recycle && event == 1:
			workers[0] = make([]float64, len(bounds))
		}
		for w := range workers {
			for k := range bounds {
				workers[w][k] += float64(rapid.IntRange(0, rate).Draw(t, "grow"))
			}
		}
		now := make([]float64, len(bounds))
		for k := range bounds {
			now[k] = workers[0][k] + workers[1][k]
		}
		past = append(past, slices.Clone(now))
		if f.stale && event == 2 && i > 4 {
			now = slices.Clone(past[i-4])
		}
		if f.torn && event == 3 {
			k := rapid.IntRange(0, len(bounds)-1).Draw(t, "torn")
			now[k] = max(0, now[k]-1)
		}
		frame := pieces(ms, st, now)
		if f.marker && event == 4 {
			for k := range frame {
				frame[k].s.V = math.Float64frombits(staleMarker)
			}
		}
		if f.missing && event == 5 {
			k := rapid.IntRange(0, len(frame)-1).Draw(t, "missing")
			frame = slices.Delete(frame, k, k+1)
		}
		out = append(out, frame)
	}
	return out
}

func pieces(ms, st int64, density []float64) (out []piece) {
	sum, seconds := 0.0, 0.0
	for k, le := range bounds {
		sum += density[k]
		seconds += density[k] * float64(k+1)
		out = append(out, piece{correct.RoleBucket, le, correct.Sample{T: ms, V: sum, ST: st}})
	}
	return append(out, piece{correct.RoleSum, 0, correct.Sample{T: ms, V: seconds, ST: st}},
		piece{correct.RoleCount, 0, correct.Sample{T: ms, V: sum, ST: st}})
}

// closing are timestamps at which nothing happens, until every part carries its correction.
func closing(frames [][]piece) [][]piece {
	var last []piece
	for _, f := range frames {
		if len(f) == len(bounds)+2 && !math.IsNaN(f[0].s.V) {
			last = f
		}
	}
	t := frames[len(frames)-1][0].s.T
	out := slices.Clone(frames)
	for i := range 2 {
		f := slices.Clone(last)
		for k := range f {
			f[k].s.T = t + int64(15000*(i+1))
		}
		if last != nil {
			out = append(out, f)
		}
	}
	return out
}

func playTogether(frames [][]piece, p correct.Policy) *player {
	pl := newPlayer(p)
	for _, f := range frames {
		pl.together(f)
		pl.settle(true)
	}
	return pl
}

// interleave puts the parts' samples into one order that keeps each part's own,
// none of them ahead of another by more than a timestamp.
func interleave(t *rapid.T, frames [][]piece, ahead bool) (order []piece, over []bool) {
	left := slices.Clone(frames)
	for i := range left {
		left[i] = slices.Clone(left[i])
	}
	sent := map[pieceKey]int{}
	for len(left) > 0 {
		at := 0
		if ahead && len(left) > 1 && rapid.IntRange(0, 3).Draw(t, "ahead") == 0 {
			at = 1
		}
		if len(left[at]) > 0 {
			k := rapid.IntRange(0, len(left[at])-1).Draw(t, "next")
			x := left[at][k]
			before := at == 0 || !slices.ContainsFunc(left[0], func(y piece) bool { return y.role == x.role && y.le == x.le })
			if before {
				order = append(order, x)
				over = append(over, false)
				sent[pieceKey{x.role, x.le, 0}] = 1
				left[at] = slices.Delete(left[at], k, k+1)
			}
		}
		for len(left) > 0 && len(left[0]) == 0 {
			left = left[1:]
			if len(over) > 0 && !ahead {
				over[len(over)-1] = true // join_wait is over before the next timestamp comes
			}
		}
	}
	return order, over
}

func playApart(order []piece, over []bool, p correct.Policy) *player {
	pl := newPlayer(p)
	for i, x := range order {
		pl.send(x)
		if over[i] {
			pl.settle(true)
		}
	}
	pl.settle(true)
	return pl
}

func TestFaultFreeHistogramIsLeftAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frames := drawFrames(t, faults{})
		order, over := interleave(t, frames, true)
		pl := playApart(order, over, correct.Policy{})
		for _, x := range order {
			if got := pl.out[pieceKey{x.role, x.le, x.s.T}]; math.Float64bits(got) != math.Float64bits(x.s.V) {
				t.Fatalf("%v went out as %v", x, got)
			}
		}
		if len(pl.log) > 0 {
			t.Fatalf("corrections of a healthy histogram: %+v", pl.log)
		}
	})
}

// checkInvariants: forward only, cumulative in value and increase, _count as +Inf.
func checkInvariants(t *rapid.T, frames [][]piece, pl *player) {
	last := map[pieceKey]float64{}
	for _, f := range frames {
		now := map[pieceKey]float64{}
		raw := map[pieceKey]float64{}
		for _, x := range f {
			if math.IsNaN(x.s.V) {
				continue
			}
			k := pieceKey{x.role, x.le, 0}
			v, ok := pl.out[pieceKey{x.role, x.le, x.s.T}]
			if !ok {
				t.Fatalf("%v did not go out", x)
			}
			if v < last[k] {
				t.Fatalf("%v: %v after %v", x, v, last[k])
			}
			now[k], raw[k] = v, x.s.V
		}
		below, belowGrew, belowRaw := 0.0, 0.0, 0.0
		for _, le := range bounds {
			k := pieceKey{correct.RoleBucket, le, 0}
			v, ok := now[k]
			if !ok {
				continue
			}
			if v < below {
				t.Fatalf("at %v: bucket %v is %v, a lower one %v", f[0].s.T, le, v, below)
			}
			was, seen := last[k]
			if grew := v - was; seen && grew < belowGrew-1e-9 && raw[k] >= belowRaw {
				t.Fatalf("at %v: bucket %v grew by %v, a lower one by %v", f[0].s.T, le, grew, belowGrew)
			} else if seen {
				belowGrew = max(belowGrew, grew)
			}
			below, belowRaw = v, raw[k]
		}
		inf, count := pieceKey{correct.RoleBucket, math.Inf(1), 0}, pieceKey{correct.RoleCount, 0, 0}
		if raw[inf] == raw[count] && now[inf] != now[count] {
			if _, ok := now[inf]; ok {
				if _, ok := now[count]; ok {
					t.Fatalf("at %v: _count is %v, +Inf %v, raw both %v", f[0].s.T, now[count], now[inf], raw[inf])
				}
			}
		}
		for k, v := range now {
			last[k] = v
		}
	}
}

func TestHistogramsStayHistograms(t *testing.T) {
	f := allFaults
	f.missing, f.torn = false, false // what of it could be read was a histogram, and all of it came
	rapid.Check(t, func(t *rapid.T) {
		frames := drawFrames(t, f)
		checkInvariants(t, frames, playTogether(frames, correct.Policy{}))
	})
}

func TestHistogramsStayHistogramsApart(t *testing.T) {
	f := allFaults
	f.missing, f.torn = false, false
	rapid.Check(t, func(t *rapid.T) {
		f.starts = rapid.Bool().Draw(t, "starts")
		frames := drawFrames(t, f)
		order, over := interleave(t, frames, false)
		pl := playApart(order, over, correct.Policy{})
		checkInvariants(t, frames, pl)
	})
}

func TestHistogramPartsOnlyMoveForward(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frames := drawFrames(t, allFaults)
		p := drawPolicy(t)
		order, over := interleave(t, frames, rapid.Bool().Draw(t, "ahead"))
		pl := playApart(order, over, p)
		last := map[pieceKey]float64{}
		for _, f := range frames {
			for _, x := range f {
				k := pieceKey{x.role, x.le, x.s.T}
				v, ok := pl.out[k]
				if !ok {
					t.Fatalf("%v did not go out", x)
				}
				if math.IsNaN(x.s.V) {
					continue
				}
				if k.t = 0; v < last[k] {
					t.Fatalf("%v: %v after %v", x, v, last[k])
				}
				last[k] = v
			}
		}
	})
}

func TestTotalsDoNotDependOnTheOrderOfParts(t *testing.T) {
	f := allFaults
	f.missing = false
	rapid.Check(t, func(t *rapid.T) {
		f.starts = rapid.Bool().Draw(t, "starts")
		frames := closing(drawFrames(t, f))
		order, over := interleave(t, frames, false)
		apart, together := playApart(order, over, correct.Policy{}), playTogether(frames, correct.Policy{})
		for _, x := range frames[len(frames)-1] {
			k := pieceKey{x.role, x.le, x.s.T}
			if a, b := apart.out[k], together.out[k]; math.Abs(a-b) > 1e-9*math.Abs(b) {
				t.Fatalf("%v: apart %v, together %v", k, a, b)
			}
		}
	})
}

func TestHistogramRetriesChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frames := drawFrames(t, faults{restart: true, recycle: true, stale: true})
		order, over := interleave(t, frames, rapid.Bool().Draw(t, "ahead"))
		pl, plain := newPlayer(correct.Policy{}), playApart(order, over, correct.Policy{})
		for i, x := range order {
			pl.send(x)
			if rapid.IntRange(0, 2).Draw(t, "retry") == 0 {
				again := order[rapid.IntRange(max(0, i-14), i).Draw(t, "which")]
				k := pieceKey{again.role, again.le, again.s.T}
				before, out := pl.out[k]
				pl.send(again)
				if after := pl.out[k]; out && math.Float64bits(after) != math.Float64bits(before) {
					t.Fatalf("%v went out as %v, again as %v", again, before, after)
				}
			}
			if over[i] {
				pl.settle(true)
			}
		}
		pl.settle(true)
		for k, v := range plain.out {
			if math.Float64bits(pl.out[k]) != math.Float64bits(v) {
				t.Fatalf("%v went out as %v, without retries as %v", k, pl.out[k], v)
			}
		}
	})
}

func TestHistogramSavedAndReadBackGoesOnTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := allFaults
		f.starts = rapid.Bool().Draw(t, "starts")
		frames := drawFrames(t, f)
		order, over := interleave(t, frames, true)
		plain, pl := playApart(order, over, correct.Policy{}), newPlayer(correct.Policy{})
		for i, x := range order {
			pl.send(x)
			if rapid.IntRange(0, 3).Draw(t, "save") == 0 {
				record := pl.h.Append(nil)
				h, err := correct.DecodeHistogram(record)
				if err != nil {
					t.Fatal(err)
				}
				if again := h.Append(nil); !slices.Equal(record, again) {
					t.Fatal("what was read back is written otherwise")
				}
				pl.h = *h
			}
			if over[i] {
				pl.settle(true)
			}
		}
		pl.settle(true)
		for k, v := range plain.out {
			if math.Float64bits(pl.out[k]) != math.Float64bits(v) {
				t.Fatalf("%v went out as %v, without a restart as %v", k, pl.out[k], v)
			}
		}
	})
}
