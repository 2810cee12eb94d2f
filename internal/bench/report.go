package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// The figures, as the table names them.
const (
	figureWhole         = "CPU-s per million samples, whole process"
	figureCost          = "CPU-s per million samples, first to last delivered"
	figureLater         = "CPU-s per million samples, after the first scrape"
	figureRate          = "delivered, million samples/s"
	figureResident      = "resident memory at the end, MB"
	figurePeak          = "resident memory at most, MB"
	figureUnbound       = "connections that run apart without bound: CPU-s per million samples, whole process"
	figureUnboundLater  = "connections that run apart without bound: after the first scrape"
	figureBigCost       = "many series: CPU-s per million samples"
	figureBigRatio      = "many series: that against the main run"
	figureBigLater      = "many series: CPU-s per million, after the first scrape"
	figureBigLaterRatio = "many series: that against the main run's"
	figureBytes         = "many series: resident bytes per series"
	figureSteadyBytes   = "many series: resident bytes per series while 100,000 samples/s come, median"
	figureSteadyAnon    = "many series: anonymous ones of them, median"
	figurePeakBytes     = "many series: resident bytes per series at most"
	figureStart         = "many series: start until ready, s"
	figureStartBytes    = "many series: resident bytes per series after that start"
	figureStartClean    = "start: many series, no backlog, until ready, s"
	figureStartKilled   = "start: many series, killed with 1 GiB of backlog, until ready, s"
	figureStartDrain    = "start: from then until the backlog is delivered, s"
	figureStartPeak     = "start: resident memory at most meanwhile, MB"
	figureCalm          = "many series: p99 of answers before a checkpoint, ms"
	figureBusy          = "many series: p99 of answers since it began, ms"
	figureSlowdown      = "many series: the second against the first"
	figureCheckpoint    = "many series: longest writing of a checkpoint, s"
	figureP50           = "answers: median, ms"
	figureP99           = "answers: p99, ms"
	figureMax           = "answers: longest, ms"
	figurePacedCost     = "answers: CPU-s per million samples meanwhile"
	figureDrain         = "backlog: drains at, times the live rate"
	figureFirst         = "backlog: upstream back until the first of it, s"
	figureDrainRSS      = "backlog: resident memory when the upstream is back, MB"
)

// reach is how good a figure is to be.
type reach struct {
	v1, v2 float64
	atMost bool // else at least
}

// reaches are the issue's; figures without one explain others.
func reaches() map[string]reach {
	return map[string]reach{
		figureWhole: {0.6, 0.45, true}, figureRate: {v1: 1.3}, figureBigRatio: {1.25, 1.25, true},
		figureResident: {150, 150, true}, figureBytes: {250, 250, true}, figureSteadyBytes: {250, 250, true}, figureP99: {30, 30, true},
		figureSlowdown: {2, 2, true}, figureStart: {3, 3, true}, figureDrain: {v1: 4, v2: 4},
	}
}

// Report is what was measured.
type Report struct {
	Machine string    `json:"machine"`
	Time    time.Time `json:"time"`
	Disk    string    `json:"disk"` // what a synced write costs on it
	Load    string    `json:"load"` // the machine's load averages at the start: what else it was doing
	Plan    Plan      `json:"plan"`
	Figures []*Figure `json:"figures"`
	Points  []Point   `json:"points"`
}

// Figure is one number of one subject, the median of its runs.
type Figure struct {
	Name    string    `json:"name"`
	Subject string    `json:"subject"`
	Proto   Proto     `json:"proto"`
	Median  float64   `json:"median"`
	Runs    []float64 `json:"runs"`
	Reach   float64   `json:"reach,omitempty"`
	Reached *bool     `json:"reached,omitempty"` // absent: no reach is set
}

// Point is one point of a plot.
type Point struct {
	Plot  string  `json:"plot"`
	Proto Proto   `json:"proto"`
	Line  string  `json:"line"`
	X     float64 `json:"x"`
	Y     float64 `json:"y"`
}

func newReport(o Options) *Report {
	load, _ := os.ReadFile("/proc/loadavg")
	return &Report{Machine: machine(), Time: time.Now().UTC().Truncate(time.Second), Load: strings.TrimSpace(string(load)), Plan: o.Plan}
}

func (r *Report) add(p Proto, subject, name string, runs []float64) {
	f := &Figure{Name: name, Subject: subject, Proto: p, Runs: slices.Clone(runs)}
	sorted := slices.Clone(runs)
	slices.Sort(sorted)
	f.Median = sorted[len(sorted)/2]
	if at, ok := reaches()[name]; ok {
		f.Reach = at.v1
		if p == V2 {
			f.Reach = at.v2
		}
		if f.Reach != 0 {
			reached := f.Median >= f.Reach
			if at.atMost {
				reached = f.Median <= f.Reach
			}
			f.Reached = &reached
		}
	}
	r.Figures = append(r.Figures, f)
}

func (r *Report) point(plot string, p Proto, line string, x, y float64) {
	r.Points = append(r.Points, Point{plot, p, line, x, y})
}

func (r *Report) figure(p Proto, subject, name string) *Figure {
	for _, f := range r.Figures {
		if f.Proto == p && f.Subject == subject && f.Name == name {
			return f
		}
	}
	return nil
}

// WriteJSON writes all of it.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteTable writes the figures as a Markdown table: a row a figure, a column
// a version, with what is to be reached and, measured beside another subject, the ratio.
func (r *Report) WriteTable(w io.Writer) error {
	subject, other := "relay", ""
	var names []string
	for _, f := range r.Figures {
		if !slices.Contains(names, f.Name) {
			names = append(names, f.Name)
		}
		if f.Subject != subject {
			other = f.Subject
		}
	}
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s; %s; load %s; %s\n%d series × %d scrapes, batches of %d, %d connections with queues of %d, median of %d; many series: %d × %d; answers: %d requests/s of %d samples\n\n",
		r.Time.Format(time.RFC3339), r.Machine, r.Load, r.Disk, r.Plan.Series, r.Plan.Scrapes, r.Plan.Batch, r.Plan.Conns, r.Plan.Capacity, r.Plan.Repeat, r.Plan.BigSeries, r.Plan.BigScrapes, r.Plan.Rate, r.Plan.Small)
	fmt.Fprint(b, "| figure | 1.0 | reach | 2.0 | reach |")
	if other != "" {
		fmt.Fprintf(b, " %s 1.0 | ratio | %s 2.0 | ratio |", other, other)
	}
	fmt.Fprint(b, "\n| --- | --- | --- | --- | --- |", strings.Repeat(" --- |", map[bool]int{true: 4}[other != ""]), "\n")
	for _, name := range names {
		fmt.Fprintf(b, "| %s |", name)
		for _, p := range []Proto{V1, V2} {
			writeCells(b, r.figure(p, subject, name))
		}
		if other != "" {
			for _, p := range []Proto{V1, V2} {
				writeRatio(b, r.figure(p, subject, name), r.figure(p, other, name))
			}
		}
		fmt.Fprintln(b)
	}
	return b.Flush()
}

func writeCells(w io.Writer, f *Figure) {
	if f == nil {
		fmt.Fprint(w, " | |")
		return
	}
	fmt.Fprintf(w, " %s |", number(f.Median))
	if f.Reached == nil {
		fmt.Fprint(w, " |")
		return
	}
	sign := "≥"
	if reaches()[f.Name].atMost {
		sign = "≤"
	}
	word := "reached"
	if !*f.Reached {
		word = fmt.Sprintf("**missed: %.2f times**", f.Median/f.Reach)
	}
	fmt.Fprintf(w, " %s %s %s |", sign, number(f.Reach), word)
}

func writeRatio(w io.Writer, f, other *Figure) {
	if other == nil {
		fmt.Fprint(w, " | |")
		return
	}
	fmt.Fprintf(w, " %s |", number(other.Median))
	if f == nil || f.Median == 0 {
		fmt.Fprint(w, " |")
		return
	}
	fmt.Fprintf(w, " %.2f |", other.Median/f.Median)
}

// number is three digits of v.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// machine says on what was measured.
func machine() string {
	model := runtime.GOARCH
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for _, line := range strings.Split(string(b), "\n") {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
				model = strings.TrimSpace(v)
				break
			}
		}
	}
	return fmt.Sprintf("%d × %s, %s, %s", runtime.NumCPU(), model, runtime.GOOS, runtime.Version())
}
