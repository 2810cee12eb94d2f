package accuracy

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// chart is one plot as SVG, small enough to stand in the documentation.
type chart struct {
	title, y string // y: what the vertical axis shows, with its unit
	note     string // after the name of the horizontal axis
	from, to float64
	lines    []chartLine
}

// chartLine is drawn in the order of the chart's lines, the later ones on top.
type chartLine struct {
	name   string
	colour string
	width  float64      // px
	dots   bool         // a dot at every point
	at     [][2]float64 // minutes, value
}

// The drawing's measures, in px.
const (
	chartWidth, chartHeight = 640, 320
	chartLeft, chartRight   = 72, 16
	chartTop, chartBottom   = 58, 46
	innerWidth              = chartWidth - chartLeft - chartRight
	innerHeight             = chartHeight - chartTop - chartBottom
	chartText               = `font-family="sans-serif" font-size="12" fill="#444"`
)

// svg draws it.
func (c chart) svg() []byte {
	lo, hi, step := c.extent()
	x := func(v float64) float64 { return chartLeft + innerWidth*(v-c.from)/(c.to-c.from) }
	y := func(v float64) float64 { return chartTop + innerHeight*(1-(v-lo)/(hi-lo)) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n", chartWidth, chartHeight, html.EscapeString(c.title))
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", chartWidth, chartHeight)
	fmt.Fprintf(&b, `<text x="%d" y="20" font-family="sans-serif" font-size="14" fill="#222">%s</text>`+"\n", chartLeft, html.EscapeString(c.title))
	for v := lo; v <= hi+step/2; v += step {
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#e4e4e4"/><text x="%d" y="%.1f" text-anchor="end" %s>%s</text>`+"\n",
			chartLeft, y(v), chartWidth-chartRight, chartLeft-6, y(v)+4, chartText, tickLabel(v, step))
	}
	every := niceStep((c.to-c.from)/8, 1)
	for v := math.Ceil(c.from/every) * every; v <= c.to; v += every {
		fmt.Fprintf(&b, `<path d="M%.1f %dv5" stroke="#888"/><text x="%.1f" y="%d" text-anchor="middle" %s>%s</text>`+"\n",
			x(v), chartTop+innerHeight, x(v), chartTop+innerHeight+18, chartText, tickLabel(v, every))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle" %s>minutes since the first scrape; %s</text>`+"\n", chartLeft+innerWidth/2, chartHeight-10, chartText, html.EscapeString(c.note))
	fmt.Fprintf(&b, `<text transform="translate(14 %d) rotate(-90)" text-anchor="middle" %s>%s</text>`+"\n", chartTop+innerHeight/2, chartText, html.EscapeString(c.y))
	for i, l := range c.lines {
		l.draw(&b, x, y)
		at := chartLeft + i*innerWidth/len(c.lines)
		fmt.Fprintf(&b, `<path d="M%d 40h22" stroke="%s" stroke-width="%g"/><text x="%d" y="44" %s>%s</text>`+"\n", at, l.colour, l.width, at+28, chartText, l.name)
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// draw writes the line's path, and its dots as strokes without length with round ends.
func (l chartLine) draw(b *strings.Builder, x, y func(float64) float64) {
	var path, dots strings.Builder
	for i, p := range l.at {
		fmt.Fprintf(&path, "%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[i == 0], x(p[0]), y(p[1]))
		fmt.Fprintf(&dots, "M%.1f %.1fh0", x(p[0]), y(p[1]))
	}
	fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="%g" stroke-linejoin="round"/>`+"\n", path.String(), l.colour, l.width)
	if l.dots {
		fmt.Fprintf(b, `<path d="%s" stroke="%s" stroke-width="4" stroke-linecap="round"/>`+"\n", dots.String(), l.colour)
	}
}

// extent is what the vertical axis spans, and the distance of its ticks. It
// starts at 0 unless that would press the lines into its upper part.
func (c chart) extent() (lo, hi, step float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, l := range c.lines {
		for _, p := range l.at {
			lo, hi = min(lo, p[1]), max(hi, p[1])
		}
	}
	if lo < hi/2 {
		lo = 0
	}
	if hi <= lo {
		hi = lo + 1
	}
	step = niceStep((hi-lo)/7, 0)
	lo = math.Floor(lo/step) * step
	return lo, math.Ceil(hi/step) * step, step
}

// niceStep is the next of 1, 2, 5, 10... from v up, and not below least.
func niceStep(v, least float64) float64 {
	v = max(v, least)
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*unit >= v*(1-1e-9) {
			return m * unit
		}
	}
	return 10 * unit
}

// tickLabel writes v with as many digits as ticks at that distance need.
func tickLabel(v, step float64) string {
	digits := max(0, int(math.Ceil(-math.Log10(step)-1e-9)))
	return fmt.Sprintf("%.*f", digits, v)
}
