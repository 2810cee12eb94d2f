package bench

import (
	"fmt"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
)

// Fleet is what the simulated Prometheus scrapes: targets of perTarget series
// each, in the mix of a Kubernetes service: 40 % counters, 45 % parts of
// classic histograms, 15 % gauges, label sets of about 200 bytes.
type Fleet struct {
	Series int
	Busy   bool // counters in the gauges' place and nothing idle, so that every sample can be corrected

	// Faults, each a share of 0..1. Restarts: of the targets, per scrape, that start again from 0.
	// Losses: of the counters and histograms, per scrape, that lose a quarter of their count.
	Restarts, Losses float64
	// Once: of the counters and histograms, %, that restart or lose (half each) at scrape OnceAt.
	Once   int
	OnceAt int
}

const (
	perTarget = 500
	// A hundred series in a row: counters, then histograms, then gauges.
	counters   = 40
	parts      = 15 // of one histogram: 12 buckets, le="+Inf", _sum, _count
	histograms = 3
)

// kind is what a series is.
type kind uint8

const (
	counterKind kind = iota
	bucketKind       // part 0..12; 12 is +Inf
	sumKind
	countKind
	gaugeKind
)

// place is what a series is within the fleet.
type place struct {
	kind kind
	part uint8  // of a histogram: the bucket
	unit uint32 // what falls together: a counter by itself, a histogram's parts
	idle bool   // a counter or histogram to which nothing happens: a 0 for ever, which proto3 leaves out
}

func (f *Fleet) place(i int) place {
	n := i % 100
	p := place{kind: counterKind, unit: uint32(i)}
	switch {
	case n < counters:
		p.idle = !f.Busy && noise(uint32(i), 0)%10 == 0
	case n < counters+histograms*parts:
		h := (n - counters) / parts
		p.unit = uint32(i - n + counters + h*parts)
		p.idle = !f.Busy && noise(p.unit, 0)%10 == 0
		switch part := (n - counters) % parts; part {
		case parts - 2:
			p.kind = sumKind
		case parts - 1:
			p.kind = countKind
		default:
			p.kind, p.part = bucketKind, uint8(part)
		}
	case !f.Busy:
		p.kind = gaugeKind
	}
	return p
}

var bounds = [...]string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "+Inf"}

// labels gives series i's labels, sorted.
func (f *Fleet) labels(i int) labels.Labels {
	target, n := i/perTarget, i%perTarget
	block := strconv.Itoa(n / 100)
	ls := []string{
		"cluster", "prod-eu-west-1", "container", "server", "instance", fmt.Sprintf("10.%d.%d.%d:9100", target>>16&255, target>>8&255, target&255),
		"job", "kubernetes-pods", "namespace", "checkout", "node", fmt.Sprintf("ip-10-12-%d-17.internal", target/20%256),
		"pod", fmt.Sprintf("checkout-7d9f8b6c5-%05d", target),
	}
	p := f.place(i)
	switch p.kind {
	case counterKind:
		ls = append(ls, "__name__", "http_requests_"+block+"_total", "code", strconv.Itoa(200+n%100), "handler", "/api/v1/orders")
	case gaugeKind:
		ls = append(ls, "__name__", fmt.Sprintf("go_memstats_%d_bytes", n), "service", "orders-frontend")
	default:
		name := fmt.Sprintf("request_%s_%d_duration_seconds", block, (n%100-counters)/parts)
		ls = append(ls, "handler", "/api/v1/orders")
		switch p.kind {
		case sumKind:
			ls = append(ls, "__name__", name+"_sum")
		case countKind:
			ls = append(ls, "__name__", name+"_count")
		default:
			ls = append(ls, "__name__", name+"_bucket", "le", bounds[p.part])
		}
	}
	return labels.FromStrings(ls...)
}

// next is series i's value at a scrape, from the one before (0 at the first).
func (f *Fleet) next(i int, p place, was float64, scrape int) float64 {
	if p.kind == gaugeKind {
		return 1 + float64(noise(uint32(i), scrape)%1000)/8
	}
	if p.idle {
		return 0
	}
	x := growth(p, scrape)
	if scrape == 0 {
		return x + 400*growth(p, 1) // they have counted for a while
	}
	switch {
	case f.restarts(i, p, scrape):
		return x
	case f.loses(p, scrape):
		return float64(int(was*0.75)) + x
	}
	return was + x
}

// growth is what was counted between two scrapes.
func growth(p place, scrape int) float64 {
	n := 1 + noise(p.unit, scrape)%64
	switch p.kind {
	case bucketKind:
		return float64(n * uint32(p.part+1) / uint32(len(bounds)))
	case sumKind:
		return float64(n) * 0.375
	}
	return float64(n)
}

func (f *Fleet) restarts(i int, p place, scrape int) bool {
	if f.Once > 0 && scrape == f.OnceAt && f.hit(p) && p.unit%2 == 0 {
		return true
	}
	return f.Restarts > 0 && chance(uint32(i/perTarget), scrape) < f.Restarts
}

func (f *Fleet) loses(p place, scrape int) bool {
	if f.Once > 0 && scrape == f.OnceAt && f.hit(p) {
		return true
	}
	return f.Losses > 0 && chance(p.unit^0x9e3779b9, scrape) < f.Losses
}

// hit tells whether a unit is among the Once.
func (f *Fleet) hit(p place) bool { return noise(p.unit, 1<<20)%100 < uint32(f.Once) }

func chance(x uint32, scrape int) float64 { return float64(noise(x, scrape)) / (1 << 32) }

// noise is a hash: the same fleet sends the same values, whatever the timing.
func noise(x uint32, scrape int) uint32 {
	h := (x + 0x9e3779b9) * 0x85ebca6b
	h ^= h >> 15
	h = (h + uint32(scrape)*0x27d4eb2f) * 0xc2b2ae35
	h ^= h >> 13
	h *= 0x165667b1
	return h ^ h>>16
}
