package correct_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"pawl/pkg/correct"
)

// histVector is one histogram of testdata/vectors/histograms.json; its "about" explains the keys.
type histVector struct {
	ID, Note   string
	Le         []string
	Frames     []histFrame
	Increments []histIncrement
	ST         []int64
	Warm       *struct {
		Rate    []float64
		Samples int
	}
	SumTolerance   float64   `json:"sum_tolerance"`
	Total          []float64 `json:"total"`
	TotalTolerance float64   `json:"total_tolerance"`
}

type histFrame struct {
	T     float64
	B     []*float64
	Count float64
	Sum   float64
	Le    []string
}

type histIncrement struct {
	B     []float64
	Count float64
	Sum   *float64
}

func loadHistVectors(t *testing.T) []histVector {
	t.Helper()
	text, err := os.ReadFile("../../testdata/vectors/histograms.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []histVector }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) == 0 {
		t.Fatal("no vectors")
	}
	return file.Vectors
}

// piece is one part's sample of a frame.
type piece struct {
	role correct.Role
	le   float64
	s    correct.Sample
}

// frameOf puts cumulative buckets, _count and _sum into pieces.
func (v histVector) frameOf(t *testing.T, f histFrame, st int64) []piece {
	t.Helper()
	var out []piece
	spelled := v.Le
	if f.Le != nil {
		spelled = f.Le
	}
	ms := int64(f.T * 1000)
	for i, x := range f.B {
		if x == nil {
			continue
		}
		le, err := strconv.ParseFloat(spelled[i], 64)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, piece{correct.RoleBucket, le, correct.Sample{T: ms, V: *x, ST: st}})
	}
	return append(out,
		piece{correct.RoleCount, 0, correct.Sample{T: ms, V: f.Count, ST: st}},
		piece{correct.RoleSum, 0, correct.Sample{T: ms, V: f.Sum, ST: st}})
}

func (v histVector) start(i int) int64 {
	if v.ST == nil {
		return 0
	}
	return v.ST[max(i, 0)]
}

// frames are the warm-up and the vector's own; own is the index of the first of these.
func (v histVector) frames(t *testing.T) (all [][]piece, own int) {
	t.Helper()
	first := v.Frames[0]
	dt := v.Frames[1].T - first.T
	if v.Warm != nil {
		for k := v.Warm.Samples; k > 0; k-- {
			f := histFrame{T: first.T - float64(k)*dt}
			enough := true
			for i, x := range first.B {
				y := *x - v.Warm.Rate[i]*float64(k)*dt
				enough = enough && y >= 0
				f.B = append(f.B, &y)
			}
			f.Count = *f.B[len(f.B)-1]
			f.Sum = first.Sum * f.Count / first.Count
			if enough {
				all = append(all, v.frameOf(t, f, v.start(-1)))
			}
		}
	}
	own = len(all)
	for i, f := range v.Frames {
		all = append(all, v.frameOf(t, f, v.start(i)))
	}
	// One more timestamp at which nothing happens: parts that had gone out
	// before a sibling gave the reset away carry their correction from then on.
	last := v.Frames[len(v.Frames)-1]
	last.T += dt
	return append(all, v.frameOf(t, last, v.start(len(v.Frames)-1))), own
}

// pieceKey names a part and a timestamp.
type pieceKey struct {
	role correct.Role
	le   float64
	t    int64
}

// player is what the relay does with the parts of one histogram: what is
// healthy goes out, what waits comes out of Decide.
type player struct {
	h    correct.Histogram
	p    correct.Policy
	key  map[uint64]pieceKey
	tag  uint64
	out  map[pieceKey]float64
	st   map[pieceKey]int64
	log  []correct.Correction
	drop map[pieceKey]bool

	sends int
	when  map[pieceKey]int   // after how many sends it went out
	order map[pieceKey]int   // when it went out
	zeros map[pieceKey]int64 // when a 0 went out before it, ms; nil: not looked at
}

func newPlayer(p correct.Policy) *player {
	return &player{p: p, key: map[uint64]pieceKey{}, out: map[pieceKey]float64{}, st: map[pieceKey]int64{}, drop: map[pieceKey]bool{}, order: map[pieceKey]int{}, when: map[pieceKey]int{}}
}

func (pl *player) went(k pieceKey, o correct.Outcome) {
	pl.log = append(pl.log, o.Corrections...)
	if o.Drop {
		pl.drop[k] = true
		return
	}
	pl.out[k], pl.st[k], pl.when[k] = o.V, o.ST, pl.sends
	pl.order[k] = len(pl.order)
	if o.Marked && pl.zeros != nil {
		pl.zeros[k] = o.MarkT
	}
}

func (pl *player) send(x piece) {
	pl.offer(x)
	pl.settle(false)
}

// offer sends x; what is complete is not judged yet.
func (pl *player) offer(x piece) {
	pl.sends++
	k := pieceKey{x.role, x.le, x.s.T}
	i := pl.h.Part(x.role, x.le)
	if pl.h.Healthy(i, x.s) {
		pl.went(k, correct.Outcome{V: x.s.V, ST: x.s.ST})
		return
	}
	pl.tag++
	pl.key[pl.tag] = k
	o, held := pl.h.Offer(i, pl.p, x.s, pl.tag)
	if !held {
		pl.went(k, o)
	}
}

// settle takes out what is complete, or, when waiting is over, everything.
func (pl *player) settle(over bool) {
	for pl.h.Waiting() && (over || pl.h.Complete()) {
		pl.decide()
	}
}

func (pl *player) decide() {
	for _, r := range pl.h.Decide(pl.p) {
		if r.Gone {
			pl.log = append(pl.log, r.Out.Corrections...)
			continue
		}
		pl.went(pl.key[r.Tag], r.Out)
	}
}

// together sends a frame as one request: when it turns out to be suspicious,
// what had been let out of it is recalled.
func (pl *player) together(f []piece) {
	type sent struct {
		i int
		x piece
	}
	var early []sent
	for _, x := range f {
		i := pl.h.Part(x.role, x.le)
		waiting := pl.h.Waiting()
		pl.offer(x)
		if !waiting && pl.h.Waiting() {
			for _, y := range early {
				pl.tag++
				pl.key[pl.tag] = pieceKey{y.x.role, y.x.le, y.x.s.T}
				pl.h.Recall(y.i, y.x.s, pl.tag)
			}
		}
		early = append(early, sent{i, x})
	}
	pl.settle(false)
}

func TestHistogramVectors(t *testing.T) {
	for _, v := range loadHistVectors(t) {
		frames, own := v.frames(t)
		t.Run(v.ID, func(t *testing.T) {
			together := newPlayer(correct.Policy{})
			for _, f := range frames {
				together.together(f)
			}
			together.settle(true)
			v.check(t, frames[own:], together, true)
			for seed := range uint64(50) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				apart := newPlayer(correct.Policy{})
				for _, f := range frames {
					for _, i := range rnd.Perm(len(f)) {
						apart.send(f[i])
					}
				}
				apart.settle(true)
				v.check(t, frames[own:], apart, false)
				for k, want := range together.out {
					if k.t == frames[len(frames)-1][0].s.T && math.Abs(apart.out[k]-want) > 1e-9 {
						t.Errorf("shuffle %d: %v is at last %v, together %v", seed, k, apart.out[k], want)
					}
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// check compares increments frame by frame, or, apart, up to the last one:
// what had gone out before the verdict catches up with its next sample.
func (v histVector) check(t *testing.T, frames [][]piece, pl *player, together bool) {
	t.Helper()
	if together {
		for _, c := range pl.log {
			t.Logf("%v %+v", c.Kind, c)
		}
	}
	n := len(v.Frames)
	steps := [][2]int{}
	if together {
		for i := 1; i < n; i++ {
			steps = append(steps, [2]int{i - 1, i})
		}
	}
	steps = append(steps, [2]int{0, n})
	for _, s := range steps {
		want := map[pieceKey]float64{}
		lower := 0.0
		_ = lower
		for _, x := range frames[s[1]] {
			k := pieceKey{x.role, x.le, frames[s[1]][0].s.T}
			got, ok := pl.out[k]
			if !ok {
				t.Fatalf("%v did not go out", k)
			}
			before, ok := pl.out[pieceKey{x.role, x.le, frames[s[0]][0].s.T}]
			if !ok {
				before = v.neighbour(frames[s[0]], x.le, pl)
			}
			want[k], ok = v.want(x, s[0], s[1])
			if !ok {
				continue
			}
			tolerance := 1e-9
			if x.role == correct.RoleSum {
				tolerance += v.SumTolerance
			}
			if s[1] == n || v.Total != nil {
				tolerance += v.TotalTolerance
			}
			if math.Abs(got-before-want[k]) > tolerance {
				t.Errorf("frames %v: %v grew by %v, want %v", s, k, got-before, want[k])
			}
		}
	}
}

// neighbour is what went out for the next lower bucket: a new one begins there.
func (v histVector) neighbour(f []piece, le float64, pl *player) float64 {
	out := 0.0
	for _, x := range f {
		if x.role == correct.RoleBucket && x.le < le {
			out = pl.out[pieceKey{x.role, x.le, x.s.T}]
		}
	}
	return out
}

// want is the expected growth of a piece between two frames; the standing frame adds nothing.
func (v histVector) want(x piece, from, to int) (sum float64, ok bool) {
	for i := from; i < to && i < len(v.Increments); i++ {
		inc := v.Increments[i]
		switch x.role {
		case correct.RoleCount:
			sum += inc.Count
		case correct.RoleSum:
			if inc.Sum == nil {
				return 0, false
			}
			sum += *inc.Sum
		default:
			at := -1
			for k, s := range v.Le {
				if le, _ := strconv.ParseFloat(s, 64); le == x.le {
					at = k
				}
			}
			sum += inc.B[at]
		}
	}
	return sum, true
}
