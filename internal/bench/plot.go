package bench

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// chart is one plot as the documentation shows it.
type chart struct {
	file, title, x, y string
	logX              bool
	lines             []chartLine
}

type chartLine struct {
	name string
	at   [][2]float64
}

// WritePlots draws what was measured into a directory; a plot without a point
// is left as it is there.
func (r *Report) WritePlots(dir string) error {
	for _, c := range []chart{
		{file: "performance-series.svg", title: "Cost against the number of series", x: "active series", y: "CPU-s per million samples", logX: true, lines: r.lines("series")},
		{file: "performance-memory.svg", title: "Memory against the number of series", x: "active series", y: "resident bytes per series", logX: true, lines: r.lines("memory")},
		{file: "performance-corrected.svg", title: "Cost against the share of corrected samples", x: "samples that go out changed, %", y: "CPU-s per million samples", lines: r.lines("shares")},
	} {
		if len(c.lines) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.svg()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// lines are the lines of a plot, in the order in which they were measured.
func (r *Report) lines(plot string) (ls []chartLine) {
	for _, p := range r.Points {
		if p.Plot != plot {
			continue
		}
		name := strings.TrimSuffix(string(p.Proto)+", "+p.Line, ", ")
		i := slices.IndexFunc(ls, func(l chartLine) bool { return l.name == name })
		if i < 0 {
			i = len(ls)
			ls = append(ls, chartLine{name: name})
		}
		ls[i].at = append(ls[i].at, [2]float64{p.X, p.Y})
	}
	for i := range ls {
		slices.SortFunc(ls[i].at, func(a, b [2]float64) int { return int(math.Copysign(1, a[0]-b[0])) })
	}
	return ls
}

// The drawing's measures, in px.
const (
	width, height       = 720, 400
	left, right         = 64, 16
	top, bottom         = 62, 52
	plotW               = width - left - right
	plotH               = height - top - bottom
	textStyle           = `font-family="sans-serif" font-size="12" fill="#444"`
	legendY, legendStep = 44, plotW / 4
)

func (c chart) svg() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n", width, height, c.title)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="%d" y="22" font-family="sans-serif" font-size="15" fill="#222">%s</text>`+"\n", left, c.title)
	lo, hi, top100 := c.extent()
	x := func(v float64) float64 {
		if c.logX {
			return left + plotW*(math.Log(v)-math.Log(lo))/(math.Log(hi)-math.Log(lo))
		}
		return left + plotW*(v-lo)/(hi-lo)
	}
	y := func(v float64) float64 { return top + plotH*(1-v/top100) }
	for i := range 6 {
		v := top100 * float64(i) / 5
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end" %s>%s</text>`+"\n", left, y(v), width-right, left-6, y(v)+4, textStyle, tick(v))
	}
	for _, v := range c.ticks() {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle" %s>%s</text>`+"\n", x(v), height-bottom+18, textStyle, tick(v))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle" %s>%s</text>`+"\n", left+plotW/2, height-12, textStyle, c.x)
	fmt.Fprintf(&b, `<text transform="translate(16 %d) rotate(-90)" text-anchor="middle" %s>%s</text>`+"\n", top+plotH/2, textStyle, c.y)
	colours := []string{"#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#57606a"}
	for i, l := range c.lines {
		colour := colours[i%len(colours)]
		var path strings.Builder
		for j, p := range l.at {
			path.WriteString(map[bool]string{true: "M", false: "L"}[j == 0])
			fmt.Fprintf(&path, "%.1f %.1f", x(p[0]), y(p[1]))
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x(p[0]), y(p[1]), colour)
		}
		fmt.Fprintf(&b, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", path.String(), colour)
		at := left + legendStep*i
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="10" height="10" fill="%s"/><text x="%d" y="%d" %s>%s</text>`+"\n", at, legendY-9, colour, at+14, legendY, textStyle, l.name)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// extent is what the axes span: x from lo to hi, y from 0 to high.
func (c chart) extent() (lo, hi, high float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, l := range c.lines {
		for _, p := range l.at {
			lo, hi, high = min(lo, p[0]), max(hi, p[0]), max(high, p[1])
		}
	}
	if lo >= hi {
		hi = lo + 1
	}
	step := math.Pow(10, math.Floor(math.Log10(max(high, 1e-9))))
	for _, m := range []float64{1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10} {
		if m*step >= high {
			return lo, hi, m * step
		}
	}
	return lo, hi, high
}

// ticks are the x values with a label: those measured, or round ones.
func (c chart) ticks() (ts []float64) {
	if c.logX {
		for _, l := range c.lines {
			for _, p := range l.at {
				if !slices.Contains(ts, p[0]) {
					ts = append(ts, p[0])
				}
			}
		}
		return ts
	}
	lo, hi, _ := c.extent()
	step := math.Pow(10, math.Floor(math.Log10(hi-lo))-1)
	for i := 0; (hi-lo)/step > 10; i++ {
		step *= []float64{2, 2.5, 2}[i%3] // 1, 2, 5, 10
	}
	for n := math.Ceil(lo / step); n*step <= hi; n++ {
		ts = append(ts, n*step)
	}
	return ts
}

// tick writes a number short: 2M, 100k, 1,500, 0.4.
func tick(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.3gM", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.3gk", v/1e3)
	case v >= 999.5: // %.3g would write 1e+03
		n := int(math.Round(v))
		return fmt.Sprintf("%d,%03d", n/1000, n%1000)
	}
	return fmt.Sprintf("%.3g", v)
}
