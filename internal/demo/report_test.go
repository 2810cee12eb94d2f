package demo

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pawl/api"
)

func TestNumbersAreForReading(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 4: "4", 4.00001: "4", 56.87: "56.87", 999: "999", 1000: "1,000", 72932: "72,932",
		717672.53: "717,673", 1234567: "1,234,567", -3: "-3", -0.001: "0", 999.999: "1,000", math.Inf(1): "+Inf",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) is %q, want %q", v, got, want)
		}
	}
}

// told is an outcome with everything that can make a line long.
func told() *outcome {
	o := &outcome{took: time.Second}
	for _, st := range storiesEndingAt(noon, seed) {
		o.rows = append(o.rows, row{story: st, raw: 717672.53, corrected: st.truth})
		c := api.Correction{
			Labels: map[string]string{"__name__": st.series[0].name()}, Kind: "hidden_reset", Time: noon, Pending: true,
			Previous: 51234.56, Raw: 51234.55, FalseIncrease: 51234.55,
			Evidence: []api.Evidence{{Test: "regrowth", LogOdds: -6.25, Text: strings.Repeat("would need 50.7/s from zero, its peak is 1.2/s; ", 5)}},
		}
		o.corrections = append(o.corrections, c, c)
	}
	return o
}

func TestTheReportFitsATerminal(t *testing.T) {
	o := told()
	o.rows[1].problem = strings.Repeat("1,234 is 234 too high ", 8)
	var b bytes.Buffer
	if err := writeReport(&b, o); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestTheReportShowsEveryStoryAndTheReason(t *testing.T) {
	var b bytes.Buffer
	if err := writeReport(&b, told()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"1 kernel panic 717,673 4 4 ok, exact", "ok, bit for bit",
		"2 corrections: 2 hidden_reset", "51234.56 → 51234.55", "PromQL would have added 51,235",
		"-6.2 regrowth: would need 50.7/s from zero", "Every corrected value is within its stated bound",
	} {
		if !strings.Contains(strings.Join(strings.Fields(b.String()), " "), want) {
			t.Errorf("no %q in:\n%s", want, b.String())
		}
	}
}

func TestAMissedBoundIsSaidAndReturned(t *testing.T) {
	o := told()
	o.rows[0].corrected = 5
	o.rows[0].problem = o.rows[0].story.misses(5)
	var b bytes.Buffer
	if err := writeReport(&b, o); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "MISSED") || !strings.Contains(b.String(), "NOT every corrected value") {
		t.Errorf("the table hides it:\n%s", b.String())
	}
	if err := o.err(); !errors.Is(err, ErrOutOfBounds) || !strings.Contains(err.Error(), "1 kernel panic: 5 is 1 too high") {
		t.Errorf("err() is %v", err)
	}
}

func TestTheBoundIsWhatIsStated(t *testing.T) {
	st := story{truth: 100, below: 3}
	for v, ok := range map[float64]bool{100: true, 97: true, 96.9: false, 100.1: false, 100.0009: true, math.NaN(): false, math.Inf(1): false} {
		if got := st.misses(v) == ""; got != ok {
			t.Errorf("%v within [97, 100]: %v, want %v", v, got, ok)
		}
	}
}

func TestAnUntouchedSeriesIsComparedBitForBit(t *testing.T) {
	sent := []sample{{1, 5}, {2, math.Copysign(0, -1)}, {3, 4}}
	if p := differences(sent, []sample{{1, 5}, {2, math.Copysign(0, -1)}, {3, 4}}); p != "" {
		t.Error(p)
	}
	for _, got := range [][]sample{
		{{1, 5}, {2, 0}, {3, 4}}, // +0 is not -0
		{{1, 5}, {2, math.Copysign(0, -1)}},
		{{1, 5}, {3, math.Copysign(0, -1)}, {4, 4}},
	} {
		if differences(sent, got) == "" {
			t.Errorf("%v taken for %v", got, sent)
		}
	}
}

func TestACorrectedCounterMayNotFall(t *testing.T) {
	sent := []sample{{1, 5}, {2, 4}, {3, 6}}
	if p := steps(sent, []sample{{1, 5}, {2, 5}, {3, 6}}); p != "" {
		t.Error(p)
	}
	if steps(sent, sent) == "" || steps(sent, sent[:2]) == "" {
		t.Error("a fall or a missing sample went unnoticed")
	}
}
