package demo

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"pawl/api"
)

// width is what fits a terminal that nobody has widened.
const width = 100

// shownEvidence is how many terms of one verdict are printed, the weightiest first.
const shownEvidence = 4

// writeReport prints the table and, under it, the relay's reasons.
func writeReport(w io.Writer, o *outcome) error {
	var b bytes.Buffer
	writeTable(&b, o.rows)
	writeReasons(&b, o)
	fmt.Fprintf(&b, "\n%d stories in %s. ", len(o.rows), o.took.Round(10*time.Millisecond))
	if o.err() == nil {
		fmt.Fprintln(&b, "Every corrected value is within its stated bound of the truth.")
	} else {
		fmt.Fprintln(&b, "NOT every corrected value is within its stated bound of the truth.")
	}
	_, err := w.Write(b.Bytes())
	return err
}

const tableRow = "%-27s %14s %14s %14s   %s\n"

func writeTable(b *bytes.Buffer, rows []row) {
	fmt.Fprintf(b, "%d stories of counters, each sent twice to an embedded Prometheus: straight (raw), and through\n", len(rows))
	b.WriteString("the relay (corrected). Both are asked sum(increase(counter[length of the story])); story 3, a ratio.\n\n")
	fmt.Fprintf(b, tableRow, "story", "PromQL, raw", "corrected", "truth", "bound")
	fmt.Fprintln(b, strings.Repeat("─", width))
	for _, r := range rows {
		verdict := "ok, " + r.story.bound
		if r.problem != "" {
			verdict = "MISSED"
		}
		fmt.Fprintf(b, tableRow, r.story.title, number(r.raw), number(r.corrected), number(r.story.truth), verdict)
		if r.problem != "" {
			writeWrapped(b, "  ", r.problem)
		}
	}
}

func writeReasons(b *bytes.Buffer, o *outcome) {
	b.WriteString("\nWhy: from the relay's corrections log (its admin API, /api/v1/corrections). The numbers are log\n")
	b.WriteString("odds: above 0 speaks for a real restart, below 0 against one.\n")
	for _, r := range o.rows {
		fmt.Fprintf(b, "\n%s\n", r.story.title)
		writeWrapped(b, "  ", r.story.what)
		cs := o.of(r.story)
		if len(cs) == 0 {
			b.WriteString("  no corrections\n")
			continue
		}
		fmt.Fprintf(b, "  %s\n", kinds(cs))
		writeCorrection(b, typical(cs))
	}
}

// kinds counts the corrections by kind: "2 loss, 17 jitter".
func kinds(cs []api.Correction) string {
	count := map[string]int{}
	var order []string
	for _, c := range cs {
		kind := c.Kind
		if c.Settles != nil {
			kind += " settled"
		}
		if count[kind] == 0 {
			order = append(order, kind)
		}
		count[kind]++
	}
	slices.Sort(order)
	for i, k := range order {
		order[i] = fmt.Sprintf("%d %s", count[k], k)
	}
	word := "corrections"
	if len(cs) == 1 {
		word = "correction"
	}
	return fmt.Sprintf("%d %s: %s", len(cs), word, strings.Join(order, ", "))
}

// typical picks the verdict that hid the largest false increase. One that only
// settles another hid none of its own.
func typical(cs []api.Correction) api.Correction {
	hid := func(c api.Correction) api.Float {
		if c.Settles != nil {
			return -1
		}
		return c.FalseIncrease
	}
	return slices.MaxFunc(cs, func(a, b api.Correction) int { return cmp.Compare(hid(a), hid(b)) })
}

func writeCorrection(b *bytes.Buffer, c api.Correction) {
	text := fmt.Sprintf("%s → %s: %s", plain(float64(c.Previous)), plain(float64(c.Raw)), c.Kind)
	if c.Pending {
		text += " (may still be revised)"
	}
	if c.FalseIncrease > 0 {
		text += fmt.Sprintf("; PromQL would have added %s", number(float64(c.FalseIncrease)))
	}
	writeWrapped(b, "  e.g. "+c.Time.UTC().Format("15:04:05")+"  ", text)
	terms := slices.Clone(c.Evidence)
	slices.SortStableFunc(terms, func(x, y api.Evidence) int {
		return cmp.Compare(math.Abs(float64(y.LogOdds)), math.Abs(float64(x.LogOdds)))
	})
	terms = slices.DeleteFunc(terms, func(e api.Evidence) bool { return math.Abs(float64(e.LogOdds)) < 0.05 })
	for _, e := range terms[:min(shownEvidence, len(terms))] {
		writeWrapped(b, fmt.Sprintf("       %+6.1f  ", e.LogOdds), e.Test+": "+e.Text)
	}
}

// writeWrapped prints text after prefix, further lines under its beginning.
func writeWrapped(b *bytes.Buffer, prefix, text string) {
	indent := strings.Repeat(" ", len([]rune(prefix)))
	column := len([]rune(prefix))
	b.WriteString(prefix)
	for i, word := range strings.Fields(text) {
		n := len([]rune(word))
		switch {
		case i == 0:
		case column+1+n > width:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += n
	}
	b.WriteString("\n")
}

// number prints a value for reading: thousands apart, two decimals if it has
// any and is small.
func number(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	decimals := 2
	if math.Abs(v) >= 1000 || math.Abs(v-math.Round(v)) < 0.005 {
		decimals = 0
	}
	whole, fraction, _ := strings.Cut(strconv.FormatFloat(math.Abs(v), 'f', decimals, 64), ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		whole += "." + fraction
	}
	if v < 0 && whole != "0" {
		whole = "-" + whole
	}
	return whole
}

// plain prints a sample's value as it was sent.
func plain(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
