package correct_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"pawl/pkg/correct"
)

// smallFrames draws a few scrapes of two workers' histogram of two buckets, at one of four of
// which something befalls it: small ones find what depends on the order far sooner than long ones.
func smallFrames(r *rand.Rand, starts bool) (frames [][]piece) {
	les := []float64{1, math.Inf(1)}
	rate := []int{1, 4, 60}[r.IntN(3)]
	var workers [2][2]float64
	var past [][2]float64
	st := int64(0)
	if starts {
		st = 1
	}
	for i := range 3 + r.IntN(9) {
		ms, event := int64(15_000*(i+1)), -1
		if i > 0 && r.IntN(4) == 0 {
			event = r.IntN(6)
		}
		switch event {
		case 0: // a restart
			workers = [2][2]float64{}
			if starts {
				st = ms - 7000
			}
		case 1: // one worker recycles
			workers[0] = [2]float64{}
		}
		var now [2]float64
		for w := range workers {
			for k := range now {
				workers[w][k] += float64(r.IntN(rate + 1))
				now[k] += workers[w][k]
			}
		}
		past = append(past, now)
		switch k := r.IntN(2); event {
		case 2: // a stale read
			now = past[max(0, i-4)]
		case 3: // a torn one
			now[k] = max(0, now[k]-1)
		}
		f := []piece{
			{correct.RoleBucket, les[0], correct.Sample{T: ms, V: now[0], ST: st}},
			{correct.RoleBucket, les[1], correct.Sample{T: ms, V: now[0] + now[1], ST: st}},
			{correct.RoleSum, 0, correct.Sample{T: ms, V: now[0] + 2*now[1], ST: st}},
			{correct.RoleCount, 0, correct.Sample{T: ms, V: now[0] + now[1], ST: st}},
		}
		switch k := r.IntN(4); event {
		case 4: // stale markers
			for k := range f {
				f[k].s.V = math.Float64frombits(staleMarker)
			}
		case 5: // a part is missing
			f = append(f[:k], f[k+1:]...)
		}
		frames = append(frames, f)
	}
	// Whole and quiet at last, until every part carries its correction.
	whole := frames[0]
	for _, f := range frames {
		if len(f) == 4 && !math.IsNaN(f[0].s.V) {
			whole = f
		}
	}
	for range 2 {
		f := append([]piece(nil), whole...)
		for k := range f {
			f[k].s.T = int64(15_000 * (len(frames) + 1))
		}
		frames = append(frames, f)
	}
	return frames
}

// lagSmall puts the parts' samples into an order that keeps each part's own, none more than lag scrapes ahead of the slowest.
func lagSmall(r *rand.Rand, frames [][]piece, lag int) (order []piece) {
	var parts [4][]piece
	for _, f := range frames {
		for _, x := range f {
			k := int(x.role) + 1 // _count and _sum behind the buckets
			if x.role == correct.RoleBucket && x.le == 1 {
				k = 0
			}
			parts[k] = append(parts[k], x)
		}
	}
	for {
		slowest, left := int64(math.MaxInt64), false
		for _, p := range parts {
			if len(p) > 0 {
				slowest, left = min(slowest, p[0].s.T), true
			}
		}
		if !left {
			return order
		}
		k := r.IntN(len(parts))
		for n := 1 + r.IntN(lag); n > 0 && len(parts[k]) > 0 && parts[k][0].s.T <= slowest+int64(lag)*15_000; n-- {
			order, parts[k] = append(order, parts[k][0]), parts[k][1:]
		}
	}
}

// Rule: that of TestTotalsDoNotDependOnHowFarApartPartsCome, on many small histograms of which the first scrape comes whole.
func TestTotalsOfSmallHistogramsDoNotDependOnHowFarApartPartsCome(t *testing.T) {
	for seed := range uint64(20_000) {
		r := rand.New(rand.NewPCG(seed, 7))
		frames := smallFrames(r, r.IntN(2) == 0)
		p := correct.Policy{
			Losses: []correct.Losses{correct.Auto, correct.Restore, correct.Hold}[r.IntN(3)],
			Impute: r.IntN(2) == 0,
		}
		closed := len(frames) - 2
		order := append([]piece(nil), frames[0]...)
		order = append(order, lagSmall(r, frames[1:closed], 1+r.IntN(4))...)
		for _, f := range frames[closed:] {
			order = append(order, f...)
		}
		pl := newPlayer(p)
		for _, x := range order {
			pl.send(x)
		}
		pl.settle(true)
		if err := sameTotals(frames, closed, order, pl, playTogether(frames, p)); err != nil {
			t.Fatalf("seed %d, %+v: %v\nscrapes %v\norder %v", seed, p, err, frames, order)
		}
	}
}

// Rule (DESIGN.md, invariants 1, 2, 5): a histogram of which nobody knows yet which parts it has, and whose first scrapes
// come apart while it is new, loses no sample, moves forward only, and gets the totals of joined delivery.
func TestFirstScrapesThatComeApartGiveTheSameTotals(t *testing.T) {
	for seed := range uint64(20_000) {
		r := rand.New(rand.NewPCG(seed, 7))
		frames := smallFrames(r, r.IntN(2) == 0)
		closed := len(frames) - 2
		lag := 1 + r.IntN(4)
		order := lagSmall(r, frames[:closed], lag)
		for _, f := range frames[closed:] {
			order = append(order, f...)
		}
		pl := newPlayer(correct.Policy{})
		pl.h.Expect(lag > 1)
		for _, x := range order {
			pl.send(x)
		}
		pl.h.Known()
		pl.settle(true)
		last := map[pieceKey]float64{}
		for _, f := range frames {
			for _, x := range f {
				k := pieceKey{x.role, x.le, x.s.T}
				v, ok := pl.out[k]
				if k.t = 0; !ok || v < last[k] {
					t.Fatalf("seed %d: %v went out as %v (%v), after %v", seed, x, v, ok, last[k])
				}
				if !math.IsNaN(v) {
					last[k] = v
				}
			}
		}
		if err := sameTotals(frames, closed, order, pl, playTogether(frames, correct.Policy{})); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}
