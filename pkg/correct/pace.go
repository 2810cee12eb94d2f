package correct

import "math"

// pace is what is known of a counter's growth, ready to be asked for
// likelihoods. Growth is modelled as events of size unit that come at random
// (a Poisson process), whose rate is itself known only as well as the events
// seen allow (so the sum is negative binomial), plus a heavy tail. It fits
// requests, bytes, and seconds alike: the unit is the variance per growth.
type pace struct {
	rate     float64 // 1/s
	unit     float64 // size of an event
	shape    float64 // how well the rate is known, in events
	interval float64 // usual step, s
	known    bool    // there has been an increment, or a long standstill
}

const (
	// spreadPrior steps of a spread as wide as the step itself are assumed before any was seen.
	spreadPrior = 1
	// shapeMax bounds how well a pace can be known: rates of real services vary by an eighth within the window.
	shapeMax = 64
	// unitMin bounds the unit from below, as a share of a usual step, where the arithmetic of the densities is still exact.
	unitMin = 1e-4
	// idleSteps without any increment are a pace of their own.
	idleSteps = 8
	// tailWeight of all steps are of no usual size.
	tailWeight = 0.001
	// tailReach is how many usual steps an unusual one may reach before it becomes unlikelier still.
	tailReach = 1e3
)

func (c *Counter) pace() pace {
	if c.n == 0 || c.sumDt <= 0 {
		return pace{unit: 1, shape: 0.5}
	}
	n, dt, x := float64(c.n), float64(c.sumDt), float64(c.sumX)
	p := pace{interval: dt / n}
	if x <= 0 {
		// Nothing came within dt: as if half an event of size 1 had.
		p.unit, p.rate, p.shape, p.known = 1, 0.5/dt, 0.5, c.n >= idleSteps
		return p
	}
	m := x / n
	p.rate = x / dt
	p.unit = max((float64(c.sumSq)+spreadPrior*m*m)/(n+spreadPrior)/m, unitMin*m)
	p.shape = min(x/p.unit+0.5, shapeMax)
	p.known = true
	return p
}

// usual is the growth to expect within dt seconds, and the standard deviation of it.
func (p pace) usual(dt float64) (mean, sigma float64) {
	mean = p.rate * dt
	return mean, math.Sqrt(mean*p.unit + mean*mean/p.shape)
}

// step is the logarithm of the density of growth x within dt seconds; the tail is included.
func (p pace) step(x, dt float64) float64 {
	if x < 0 {
		return math.Inf(-1)
	}
	return logSum(math.Log(1-tailWeight)+p.plain(x, dt), math.Log(tailWeight)+p.tail(x, dt))
}

// plain is step without the tail.
func (p pace) plain(x, dt float64) float64 {
	if x < 0 {
		return math.Inf(-1)
	}
	k, m, r := x/p.unit, p.rate*dt/p.unit, p.shape
	if m <= 0 || math.IsInf(k, 0) {
		return math.Inf(-1)
	}
	l := lgamma(k+r) - lgamma(k+1) - lgamma(r) + r*math.Log(r/(r+m)) + k*math.Log(m/(r+m))
	return l - math.Log(p.unit)
}

// tail spreads an unusual growth evenly over its logarithm.
func (p pace) tail(x, dt float64) float64 {
	return spread(x, p.unit, tailReach*(p.rate*dt+p.unit))
}

// regrowth is the logarithm of the density of a value v that has grown from 0
// since a restart at any instant of the last dt seconds, at the usual pace.
func (p pace) regrowth(v, dt float64) float64 {
	m := p.rate * dt
	l, k := m/p.unit, v/p.unit
	if m <= 0 {
		return math.Inf(-1)
	}
	// The integral of the Poisson density over the rate from 0 to l is the
	// incomplete gamma function P(k+1, l).
	if l < 30 && k < 200 {
		return math.Log(gammaP(k+1, l)) - math.Log(m)
	}
	z := (l - k) / math.Sqrt(l+l*l/p.shape)
	return math.Log(0.5*math.Erfc(-z/math.Sqrt2)) - math.Log(m)
}

// spread is the logarithm of a density over x >= 0 that gives each factor
// from unit up to reach the same weight, and falls with the fourth power beyond.
func spread(x, unit, reach float64) float64 {
	l := -math.Log(x+unit) - math.Log(math.Log1p(reach/unit))
	if x > reach {
		l -= 3 * math.Log(x/reach)
	}
	return l
}

// gammaP is the regularised lower incomplete gamma function, by its series; x < 30.
func gammaP(a, x float64) float64 {
	term := math.Exp(a*math.Log(x) - x - lgamma(a+1))
	sum := term
	for n := 1; n < 200 && term > sum*1e-12; n++ {
		term *= x / (a + float64(n))
		sum += term
	}
	return min(sum, 1)
}

func lgamma(x float64) float64 {
	l, _ := math.Lgamma(x)
	return l
}

// logSum is log(exp(a) + exp(b)).
func logSum(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(b, -1) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}
