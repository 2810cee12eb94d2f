package correct_test

import (
	"math"
	"testing"

	"pawl/pkg/correct"
)

// story sends frames of density counts to a player, all parts together, and says what went out.
type story struct {
	t  *testing.T
	pl *player
	at int64
	st int64
}

func newStory(t *testing.T, p correct.Policy) *story {
	return &story{t: t, pl: newPlayer(p)}
}

// scrape sends the next timestamp.
func (s *story) scrape(density ...float64) {
	s.t.Helper()
	s.at += 15000
	s.pl.together(pieces(s.at, s.st, density))
	s.pl.settle(true)
}

// warm sends n timestamps that end at the given counts.
func (s *story) warm(n int, density ...float64) {
	s.t.Helper()
	for i := 1; i <= n; i++ {
		now := make([]float64, len(density))
		for k := range now {
			now[k] = math.Floor(density[k] * float64(i) / float64(n))
		}
		s.scrape(now...)
	}
}

func (s *story) bucket(le float64) float64 {
	s.t.Helper()
	v, ok := s.pl.out[pieceKey{correct.RoleBucket, le, s.at}]
	if !ok {
		s.t.Fatalf("bucket %v did not go out", le)
	}
	return v
}

func (s *story) want(density ...float64) {
	s.t.Helper()
	sum := 0.0
	for k, le := range bounds {
		sum += density[k]
		if got := s.bucket(le); got != sum {
			s.t.Errorf("bucket %v went out as %v, want %v", le, got, sum)
		}
	}
	if got := s.pl.out[pieceKey{correct.RoleCount, 0, s.at}]; got != sum {
		s.t.Errorf("_count went out as %v, want %v", got, sum)
	}
}

func (s *story) kinds() (out []correct.Kind) {
	for _, c := range s.pl.log {
		out = append(out, c.Kind)
	}
	return out
}

func TestWorkerLostIsPutBack(t *testing.T) {
	s := newStory(t, correct.Policy{})
	s.warm(40, 400, 200, 100, 80, 20)
	s.scrape(300, 151, 76, 61, 16)
	s.want(400, 200, 100, 80, 20)
	for i := 1.0; i < 20; i++ {
		s.scrape(300+10*i, 151+5*i, 76+3*i, 61+2*i, 16)
	}
	s.want(590, 295, 157, 118, 20)
}

func TestStaleReadOfTheWholeComesBack(t *testing.T) {
	s := newStory(t, correct.Policy{})
	s.warm(40, 400, 200, 100, 80, 40)
	s.scrape(370, 185, 93, 74, 37)
	s.want(400, 200, 100, 80, 40)
	s.scrape(420, 210, 105, 84, 42)
	s.want(420, 210, 105, 84, 42)
}

func TestRestartOfTheWholeIsFolded(t *testing.T) {
	s := newStory(t, correct.Policy{})
	s.warm(40, 400, 200, 100, 80, 40)
	s.scrape(5, 2, 1, 1, 0)
	s.want(405, 202, 101, 81, 40)
}

// A visible restart passes, but a later loss is still corrected.
func TestPassLetsVisibleRestartsOut(t *testing.T) {
	s := newStory(t, correct.Policy{Resets: correct.PassResets})
	s.warm(40, 400, 200, 100, 80, 40)
	s.scrape(5, 2, 1, 1, 0)
	s.want(5, 2, 1, 1, 0)
	s.scrape(15, 7, 3, 3, 1)
	s.want(15, 7, 3, 3, 1)
}

// A restart that one bucket hides would look like none there: then all are folded.
func TestPassFoldsARestartThatAPartHides(t *testing.T) {
	s := newStory(t, correct.Policy{Resets: correct.PassResets})
	s.st = 1
	s.warm(10, 1, 100, 100, 100, 0)
	s.st = s.at + 5000
	s.scrape(1, 9, 9, 9, 0)
	s.want(2, 109, 109, 109, 0)
}

func TestHoldNeverPutsBack(t *testing.T) {
	s := newStory(t, correct.Policy{Losses: correct.Hold})
	s.warm(40, 400, 200, 100, 80, 40)
	s.scrape(390, 200, 100, 80, 40)
	s.want(400, 200, 100, 80, 40)
	for i := 1.0; i <= 3; i++ {
		s.scrape(390+10*i, 200, 100, 80, 40)
	}
	s.want(420, 200, 100, 80, 40)
}

func TestRestorePutsBackForGood(t *testing.T) {
	s := newStory(t, correct.Policy{Losses: correct.Restore})
	s.warm(40, 400, 200, 100, 80, 40)
	s.scrape(390, 200, 100, 80, 40)
	s.scrape(410, 205, 103, 82, 41)
	s.want(420, 205, 103, 82, 41)
}

// The process says that it did not restart.
func TestStartThatStayedIsALoss(t *testing.T) {
	s := newStory(t, correct.Policy{})
	s.st = 1
	s.warm(40, 40, 20, 10, 8, 4)
	s.scrape(1, 0, 0, 0, 0)
	s.want(40, 20, 10, 8, 4)
}

func TestStartThatMovedIsARestartThoughNothingFell(t *testing.T) {
	s := newStory(t, correct.Policy{})
	s.st = 1
	s.scrape(3, 0, 0, 0, 0)
	s.st = 20000
	s.scrape(4, 1, 0, 0, 0)
	s.want(7, 1, 0, 0, 0)
	if k := s.kinds(); len(k) != 1 || k[0] != correct.KindHiddenReset {
		t.Errorf("corrections %v", k)
	}
}

// Prometheus' synthesis: a lost increment arrives as a jump with a start at t-1ms.
func TestReanchoredHistogramKeepsItsIncrease(t *testing.T) {
	s := newStory(t, correct.Policy{})
	s.st = 10
	for i := range 40 {
		s.scrape(float64(i), float64(i), 0, 0, 0)
	}
	s.st = s.at + 15000 - 1
	s.scrape(70000, 60000, 0, 0, 0)
	s.want(39, 39, 0, 0, 0)
	s.scrape(70001, 60002, 0, 0, 0)
	s.want(40, 41, 0, 0, 0)
}

// A summary has no buckets: its _count stands for all, and _sum follows it.
func TestSummary(t *testing.T) {
	pl := newPlayer(correct.Policy{})
	at := int64(0)
	send := func(count, sum float64) {
		at += 15000
		pl.together([]piece{{correct.RoleSum, 0, correct.Sample{T: at, V: sum}}, {correct.RoleCount, 0, correct.Sample{T: at, V: count}}})
		pl.settle(true)
	}
	want := func(count, sum float64) {
		t.Helper()
		if c, s := pl.out[pieceKey{correct.RoleCount, 0, at}], pl.out[pieceKey{correct.RoleSum, 0, at}]; c != count || math.Abs(s-sum) > 1e-9 {
			t.Errorf("went out as %v, %v, want %v, %v", c, s, count, sum)
		}
	}
	for i := range 40 {
		send(float64(10*i), float64(5*i))
	}
	want(390, 195)
	send(7, 3.5) // everything starts again
	want(397, 198.5)
	for i := 2; i < 40; i++ {
		send(float64(10*i), float64(5*i))
	}
	want(780, 390)
	send(280, 140) // a worker is gone
	want(780, 390)
	for i := 1; i < 15; i++ {
		send(float64(280+10*i), float64(140+5*i))
	}
	want(920, 460)
}

func TestUpperBoundsCompareAsNumbers(t *testing.T) {
	var h correct.Histogram
	if a, b := h.Part(correct.RoleBucket, 1), h.Part(correct.RoleBucket, 1.0); a != b {
		t.Errorf("1 and 1.0 are parts %d and %d", a, b)
	}
	up := h.Part(correct.RoleBucket, 5)
	if h.Part(correct.RoleBucket, 0.5); h.Part(correct.RoleBucket, 5) != up {
		t.Error("a lower bucket changed an index")
	}
	if h.Part(correct.RoleBucket, math.NaN()) != -1 {
		t.Error("NaN is no bound")
	}
}

// A part that stopped arriving holds its siblings up for one time to wait, not at every suspicious timestamp.
func TestPartThatIsGoneIsNotWaitedFor(t *testing.T) {
	pl := newPlayer(correct.Policy{})
	at := int64(0)
	frame := func(n float64, parts int) []piece {
		at += 15000
		return pieces(at, 0, []float64{n, n, n, n, n})[7-parts:]
	}
	for i := range 30 {
		pl.together(frame(float64(10*i), 7))
	}
	for range 3 {
		pl.together(frame(300, 6)) // the lowest bucket is not recorded any more
	}
	pl.settle(true) // the time to wait is over
	pl.together(frame(200, 6))
	if pl.h.Waiting() {
		t.Error("waits for a part whose siblings went on without it")
	}
	pl.together(frame(210, 6))
	pl.together(frame(220, 7)) // it is back
	pl.together(frame(90, 6))
	if !pl.h.Waiting() {
		t.Error("does not wait for a part that is there again")
	}
}

// Two parts that came before their siblings gave the loss away are recalled while they are at hand.
func TestRecall(t *testing.T) {
	var h correct.Histogram
	low, inf := h.Part(correct.RoleBucket, 1), h.Part(correct.RoleBucket, math.Inf(1))
	for i, v := range []float64{5, 9} {
		h.Offer([]int{low, inf}[i], correct.Policy{}, correct.Sample{T: 1000, V: v}, 0)
	}
	s := correct.Sample{T: 2000, V: 10}
	if !h.Healthy(inf, s) {
		t.Fatal("+Inf grew")
	}
	if h.Recall(inf, s, 1) {
		t.Fatal("nothing is suspicious yet")
	}
	if _, held := h.Offer(low, correct.Policy{}, correct.Sample{T: 2000, V: 4}, 2); !held {
		t.Fatal("a bucket fell, and nothing waits")
	}
	if !h.Recall(inf, s, 1) {
		t.Fatal("+Inf was not taken back")
	}
	if !h.Complete() {
		t.Fatal("both are there")
	}
	if out := h.Decide(correct.Policy{}); len(out) != 2 {
		t.Fatalf("%d came out", len(out))
	}
}

// Who came after the verdict follows it, between its neighbours.
func TestLatePartFollowsTheVerdict(t *testing.T) {
	s := newStory(t, correct.Policy{})
	s.warm(40, 400, 200, 100, 80, 40)
	s.at += 15000
	frame := pieces(s.at, 0, []float64{5, 2, 1, 1, 0})
	for k, x := range frame {
		if k != 1 {
			s.pl.send(x)
		}
	}
	s.pl.settle(true)
	s.pl.send(frame[1])
	s.want(405, 202, 101, 81, 40)
}

func TestOddValuesPassAndOthersAtTheSameTimeAreDropped(t *testing.T) {
	s := newStory(t, correct.Policy{})
	s.scrape(1, 1, 1, 1, 1)
	i := s.pl.h.Part(correct.RoleBucket, 0.5)
	for _, v := range []float64{math.Float64frombits(staleMarker), math.NaN(), math.Inf(1), -1} {
		o, held := s.pl.h.Offer(i, correct.Policy{}, correct.Sample{T: s.at + 1000, V: v}, 0)
		if held || o.Drop || math.Float64bits(o.V) != math.Float64bits(v) {
			t.Errorf("%v: %+v, held %v", v, o, held)
		}
	}
	if o, _ := s.pl.h.Offer(i, correct.Policy{}, correct.Sample{T: s.at, V: 3}, 0); !o.Drop {
		t.Error("another value at the same timestamp was not dropped")
	}
	if o, _ := s.pl.h.Offer(i, correct.Policy{}, correct.Sample{T: s.at, V: 2}, 0); o.Drop || o.V != 2 || len(o.Corrections) != 0 {
		t.Errorf("the same sample again: %+v", o)
	}
}

// Sums of floats differ in the last bits: no density falls by that.
func TestRoundingIsNotSuspicious(t *testing.T) {
	var h correct.Histogram
	low, inf := h.Part(correct.RoleBucket, 1), h.Part(correct.RoleBucket, math.Inf(1))
	a, b := 0.1, 0.3
	for i := range 1000 {
		at := int64(1000 * (i + 1))
		a += 0.1
		b += 0.1 // the density stays, but for rounding
		for k, s := range []correct.Sample{{T: at, V: a}, {T: at, V: b}} {
			if p := []int{low, inf}[k]; !h.Healthy(p, s) {
				if _, held := h.Offer(p, correct.Policy{}, s, 0); held || i > 0 {
					t.Fatalf("suspicious at %d", i)
				}
			}
		}
	}
}
