package correct_test

import (
	"cmp"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"pawl/pkg/correct"

	"pgregory.net/rapid"
)

const (
	// 100 checks of rapid's at this length are 10^5 samples.
	traceLength = 1000
	// longTraces are 10^7 samples; PAWL_LONG=n runs n times as many.
	longTraces = 10000
)

// everyTrace runs check over traces drawn by rapid, and over n times longTraces more with PAWL_LONG=n.
func everyTrace(t *testing.T, check func(t rapid.TB, seed uint64)) {
	rapid.Check(t, func(t *rapid.T) { check(t, rapid.Uint64().Draw(t, "seed")) })
	times, err := strconv.ParseUint(cmp.Or(os.Getenv("PAWL_LONG"), "0"), 10, 16)
	if err != nil {
		t.Fatalf("PAWL_LONG: %v", err)
	}
	if times == 0 {
		return
	}
	first := rand.Uint64()
	t.Logf("first seed %d, %d samples", first, times*longTraces*traceLength)
	for i := range times * longTraces {
		seed := first + i
		func() {
			defer func() {
				if t.Failed() {
					t.Errorf("seed %d", seed) // check ended this goroutine
				}
			}()
			check(t, seed)
		}()
	}
}

// obvious is a trace whose drops leave no doubt: restarts to less than a step, losses of
// at least twelve steps that leave at least a third, float noise, with
// stale markers, infinities, retries and gaps strewn in.
func obvious(seed uint64) []correct.Sample {
	r := rand.New(rand.NewPCG(seed, 1))
	step := math.Exp(r.NormFloat64() * 5)
	value, now := step*1000*(1+r.Float64()*10), int64(1000)
	var trace []correct.Sample
	sinceFault := -20
	for len(trace) < traceLength {
		now += 15000
		sinceFault++
		grown := step * (0.7 + 0.6*r.Float64())
		switch k := r.IntN(60); {
		case k == 0 && sinceFault > 12 && value > 600*step:
			value, sinceFault = step*r.Float64()*0.9, 0
		case k == 1 && sinceFault > 12 && value > 600*step:
			value, sinceFault = value-max(12*step, value*r.Float64()*0.6), 0
		case k == 2 && value > 600*step:
			value *= 1 - 1e-11*r.Float64()
		case k == 3:
			trace = append(trace, correct.Sample{T: now - 7000, V: math.Inf(1)})
			value += grown
		default:
			value += grown
		}
		trace = append(trace, correct.Sample{T: now, V: value})
		if n := len(trace); r.IntN(40) == 0 && n > 6 {
			trace = append(trace, trace[n-1-r.IntN(6):]...) // a retry, perhaps of a batch that overlaps
		}
	}
	return trace
}

// wild is a trace of anything: what comes out is not known, only what must hold.
func wild(seed uint64) []correct.Sample {
	r := rand.New(rand.NewPCG(seed, 2))
	step := math.Exp(r.NormFloat64() * 4)
	value, now, start := step*r.Float64()*100, int64(1000), int64(0)
	if r.IntN(2) == 0 {
		start = 500
	}
	top := value
	var trace []correct.Sample
	for len(trace) < traceLength {
		before := now
		now += 15000 * int64(1+r.IntN(20)/19*r.IntN(20))
		switch r.IntN(16) {
		case 0:
			value *= r.Float64()
		case 1:
			value = max(0, value-step*r.Float64()*4)
		case 2:
			value, top = top, value
		case 3:
			value = step * r.ExpFloat64()
			if start != 0 && r.IntN(2) == 0 {
				start = before + 1 + r.Int64N(now-before)
			}
		case 4:
			value += step * r.ExpFloat64() * 30
		case 5:
			value = 0
		default:
			value += step * r.ExpFloat64()
		}
		top = max(top, value)
		s := correct.Sample{T: now, V: value, ST: start}
		switch r.IntN(50) {
		case 0:
			s.V = math.NaN()
		case 1:
			s.V = math.Float64frombits(staleMarker)
		case 2:
			s.V = -1
		case 3:
			s.ST = now - 1
		}
		trace = append(trace, s)
	}
	return trace
}

var policies = []correct.Policy{{}, {Losses: correct.Restore}, {Losses: correct.Hold}, {Impute: true}, {Wrap: 53}}

func policyOf(seed uint64) correct.Policy { return policies[seed%uint64(len(policies))] }

// What is obvious comes out as the oracle says, first time and again.
func TestObviousDropsComeOutAsTheOracleSays(t *testing.T) {
	everyTrace(t, func(t rapid.TB, seed uint64) {
		trace := obvious(seed)
		want := oracle(trace)
		var (
			c  correct.Counter
			cs *correct.Case
		)
		for i, s := range trace {
			var o correct.Outcome
			cs, o = feed(&c, cs, correct.Policy{}, s)
			if math.IsInf(s.V, 0) {
				continue
			}
			if w := want[s.T]; o.Drop || math.Abs(o.V-w) > 1e-7*w {
				t.Fatalf("sample %d (t=%d raw=%v): %v, the oracle says %v", i, s.T, s.V, o.V, w)
			}
		}
	})
}

// Forward only: with Fold, whatever comes in, nothing that goes out decreases.
func TestForwardOnly(t *testing.T) {
	everyTrace(t, func(t rapid.TB, seed uint64) {
		var (
			c    correct.Counter
			cs   *correct.Case
			last float64
		)
		for i, s := range wild(seed) {
			var o correct.Outcome
			cs, o = feed(&c, cs, policyOf(seed), s)
			if !(s.V >= 0) {
				if math.Float64bits(o.V) != math.Float64bits(s.V) {
					t.Fatalf("sample %d: %v must pass, is %v", i, s.V, o.V)
				}
				continue
			}
			if o.V < last {
				t.Fatalf("sample %d (raw %v): %v after %v", i, s.V, o.V, last)
			}
			last = o.V
		}
	})
}

// A fault-free trace comes out bit for bit, whatever its numbers.
func TestHealthyBitForBit(t *testing.T) {
	everyTrace(t, func(t rapid.TB, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 3))
		var (
			c     correct.Counter
			cs    *correct.Case
			value = math.Exp(r.NormFloat64() * 50)
			scale = math.Exp(r.NormFloat64() * 50)
			now   int64
		)
		for i := range traceLength {
			now += 1 + r.Int64N(60000)
			if r.IntN(3) > 0 {
				value += scale * math.Exp(r.NormFloat64()*4)
			}
			var o correct.Outcome
			cs, o = feed(&c, cs, policyOf(seed), correct.Sample{T: now, V: value, ST: 1})
			if math.Float64bits(o.V) != math.Float64bits(value) || o.ST != 1 || o.Drop || len(o.Corrections) > 0 || cs != nil {
				t.Fatalf("sample %d: %v came out as %+v", i, value, o)
			}
		}
	})
}

// Retries, duplicates and overlapping retries change nothing, and are answered with the same bits.
func TestRetriesChangeNothing(t *testing.T) {
	everyTrace(t, func(t rapid.TB, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 4))
		var (
			c, once   correct.Counter
			cs, alone *correct.Case
			p         = policyOf(seed)
			trace     = wild(seed)
			answers   = make([]correct.Outcome, len(trace))
		)
		for i, s := range trace {
			cs, answers[i] = feed(&c, cs, p, s)
			alone, _ = feed(&once, alone, p, s)
			for n := r.IntN(4) / 3 * r.IntN(9); n >= 0 && i >= n; n-- {
				var o correct.Outcome
				cs, o = feed(&c, cs, p, trace[i-n])
				if w := answers[i-n]; math.Float64bits(o.V) != math.Float64bits(w.V) || o.ST != w.ST || o.Drop != w.Drop {
					t.Fatalf("sample %d again after %d: %+v, was %+v", i-n, i, o, w)
				}
			}
			if a, b := c.Append(nil, cs), once.Append(nil, alone); string(a) != string(b) {
				t.Fatalf("after sample %d retries have changed the state", i)
			}
		}
	})
}

// State saved and read back mid-stream changes nothing.
func TestSavedAndReadBackChangesNothing(t *testing.T) {
	savedAndReadBack(t, 12848311498453696859) // taking a step after a gap back left a sum below 0, which no state may have
	everyTrace(t, savedAndReadBack)
}

func savedAndReadBack(t rapid.TB, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 5))
	var (
		c, saved   correct.Counter
		cs, loaded *correct.Case
		p          = policyOf(seed)
	)
	for i, s := range wild(seed) {
		var a, b correct.Outcome
		cs, a = feed(&c, cs, p, s)
		loaded, b = feed(&saved, loaded, p, s)
		if math.Float64bits(a.V) != math.Float64bits(b.V) || a.ST != b.ST || len(a.Corrections) != len(b.Corrections) {
			t.Fatalf("sample %d: %+v, after reading back %+v", i, a, b)
		}
		if r.IntN(10) > 0 {
			continue
		}
		record := saved.Append(nil, loaded)
		var fresh correct.Counter
		again, err := fresh.Decode(record)
		if err != nil {
			t.Fatalf("sample %d: %v", i, err)
		}
		saved, loaded = fresh, again
	}
}
