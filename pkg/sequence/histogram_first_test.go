package sequence

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"

	"pawl/internal/accuracy"
	"pawl/pkg/rewrite"
)

// partSeries are the series of a trace: buckets along le, _count, _sum. Each has a sample a scrape.
func partSeries(tr accuracy.HistTrace, id int) (names []string, all [][]prompb.TimeSeries) {
	add := func(suffix, le string, value func(accuracy.Frame) float64) {
		ls := labels.FromStrings("__name__", "x_seconds"+suffix, "pool", strconv.Itoa(id))
		if le != "" {
			ls = labels.FromStrings("__name__", "x_seconds"+suffix, "le", le, "pool", strconv.Itoa(id))
		}
		var list []prompb.TimeSeries
		for _, f := range tr.Raw {
			list = append(list, prompb.TimeSeries{Labels: prompb.FromLabels(ls, nil), Samples: []prompb.Sample{{Timestamp: f.T, Value: value(f)}}})
		}
		names, all = append(names, ls.String()), append(all, list)
	}
	for k, le := range tr.Bounds {
		add("_bucket", strconv.FormatFloat(le, 'g', -1, 64), func(f accuracy.Frame) float64 { return f.B[k] })
	}
	add("_count", "", func(f accuracy.Frame) float64 { return f.B[len(f.B)-1] })
	add("_sum", "", func(f accuracy.Frame) float64 { return f.Sum })
	return names, all
}

// Rule (DESIGN.md, invariant 3; docs/decisions/0016): a histogram that comes for the first time over four connections, several scrapes
// of each part in a request, is one at every timestamp, in whatever order the connections come within join_wait and
// however many scrapes a request holds, up to 63 in all that one is ahead; whatever befalls it meanwhile.
func TestFirstRequestsOfAnySizeBreakNothing(t *testing.T) {
	const scrapes, pools = 60, 60
	for name, c := range map[string]struct {
		each, ahead int   // scrapes in a request at most, and requests that a connection may be ahead
		gapMS       int64 // of journal time after the first request of all
	}{
		"eight a request": {8, 1, 0},
		"eight a request, the others four seconds late": {8, 1, 4000},
		"thirty a request, one ahead":                   {30, 2, 0},
		"three a request, ten ahead":                    {3, 10, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p, clock := newPairWorld(t, rewrite.V1), haT0
			for id := range pools {
				r := rand.New(rand.NewPCG(uint64(id), 11))
				tr := accuracy.GunicornPool(uint64(id)+1, 1)[0]
				names, all := partSeries(tr, id)
				for next, first := [4]int{}, true; min(next[0], next[1], next[2], next[3]) < scrapes; {
					l := r.IntN(4)
					if next[l] == scrapes || next[l] > min(next[0], next[1], next[2], next[3])+(c.ahead-1)*c.each {
						continue
					}
					end := min(next[l]+2+r.IntN(c.each-1), scrapes)
					var req []prompb.TimeSeries
					for n := next[l]; n < end; n++ {
						for k := l; k < len(all); k += 4 {
							req = append(req, all[k][n])
						}
					}
					next[l] = end
					p.send(clock, req...)
					if clock++; first {
						clock += c.gapMS
					}
					first = false
				}
				clock += 100_000 // join_wait is over
				p.send(clock)
				if n := brokenFrames(t, p, names[:len(tr.Bounds)+1], scrapes); n > 0 {
					t.Errorf("pool %d: %d of %d timestamps are no histogram", id+1, n, scrapes)
				}
			}
		})
	}
}

// brokenFrames counts the scrapes at which what went out for the buckets and the _count is not cumulative, or grew otherwise.
func brokenFrames(t *testing.T, p *pairWorld, names []string, scrapes int) (n int) {
	t.Helper()
	for _, name := range names {
		if len(p.out[name]) != scrapes {
			t.Fatalf("%d of %d samples of %s went out", len(p.out[name]), scrapes, name)
		}
	}
	for at := range scrapes {
		below, grew, bent := 0.0, 0.0, false
		for k, name := range names {
			v, g := p.out[name][at].Value, 0.0
			if at > 0 {
				g = v - p.out[name][at-1].Value
			}
			bent = bent || v < below || g < grew || k == len(names)-1 && v != below
			below, grew = v, g
		}
		if bent {
			n++
		}
	}
	return n
}
