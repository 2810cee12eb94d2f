package bench

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheTableSaysWhatIsReachedAndByHowMuchNot(t *testing.T) {
	r := newReport(Options{Plan: Short()})
	r.add(V1, "relay", figureWhole, []float64{0.9, 0.5, 0.4})
	r.add(V2, "relay", figureWhole, []float64{0.9})
	r.add(V1, "prometheus", figureWhole, []float64{5})
	r.add(V1, "relay", figureRate, []float64{1.0})
	var b bytes.Buffer
	if err := r.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| 0.500 | ≤ 0.600 reached | 0.900 | ≤ 0.450 **missed: 2.00 times** | 5.00 | 10.00 |",
		"| 1.00 | ≥ 1.30 **missed: 0.77 times** |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	b.Reset()
	if err := r.WriteJSON(&b); err != nil || !strings.Contains(b.String(), `"reached": false`) {
		t.Errorf("err %v, JSON %s", err, b.String())
	}
}

func TestAnswersSinceACheckpointAreThoseThatWereDueThen(t *testing.T) {
	t0 := time.UnixMilli(1_700_000_000_000)
	at := func(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }
	before, since := split([]Answer{{at(5), 1}, {at(10), 2}, {at(19), 3}, {at(20), 4}}, []window{{at(10), at(20)}})
	if len(before) != 1 || before[0] != 1 || len(since) != 3 {
		t.Errorf("before %v, since %v", before, since)
	}
	if q := quantile([]time.Duration{4, 1, 3, 2}, 0.99); q != 4 {
		t.Errorf("p99 of 1..4 is %d", q)
	}
}

func TestPlotsAreXML(t *testing.T) {
	dir := t.TempDir()
	r := newReport(Options{})
	for _, n := range []float64{100_000, 1_000_000, 5_000_000} {
		for _, p := range []Proto{V1, V2} {
			r.point("series", p, "later scrapes", n, 0.5)
			r.point("memory", p, "at the end", n, 240)
			r.point("shares", p, "", n/1e5, 0.4)
		}
	}
	if err := r.WritePlots(dir); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%v, err %v, want three plots", files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(bytes.NewReader(text))
		for err = nil; err == nil; {
			_, err = d.Token()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", f, err)
		}
	}
}

// Rule: people read the numbers at the axes, so none is written with an exponent, and a linear axis has round ones.
func TestTicksAreReadable(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.16: "0.16", 40: "40", 999: "999", 999.7: "1,000", 1200: "1,200", 1500: "1,500", 9999: "9,999", 100_000: "100k", 5e6: "5M"} {
		if got := tick(v); got != want {
			t.Errorf("%g is written %s, want %s", v, got, want)
		}
	}
	for _, c := range []struct {
		lo, hi float64
		want   []float64
	}{{0, 99.9, []float64{0, 10, 20, 30, 40, 50, 60, 70, 80, 90}}, {0, 1, []float64{0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1}}, {3, 47, []float64{5, 10, 15, 20, 25, 30, 35, 40, 45}}} {
		got := chart{lines: []chartLine{{at: [][2]float64{{c.lo, 1}, {c.hi, 1}}}}}.ticks()
		if !slices.EqualFunc(got, c.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }) {
			t.Errorf("between %g and %g: %v, want %v", c.lo, c.hi, got, c.want)
		}
	}
}

// What was written as JSON gives the same table on the page, in place of the one that was there, and nothing else on the page changes.
func TestThePageGetsTheTable(t *testing.T) {
	r := newReport(Options{Plan: Short()})
	r.add(V2, "relay", figureWhole, []float64{0.4})
	r.point("series", V2, "later scrapes", 2_000_000, 0.375)
	var stored bytes.Buffer
	if err := r.WriteJSON(&stored); err != nil {
		t.Fatal(err)
	}
	again, err := ReadReport(&stored)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(path, []byte("before\n"+tableBegins+"\nold\n"+tableEnds+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := again.WritePage(path); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var table bytes.Buffer
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	want := "before\n" + tableBegins + "\n" + table.String() +
		"\n| plot | line | points |\n| --- | --- | --- |\n| CPU-s per million samples against series | 2.0, later scrapes | 2M: 0.375 |\n" + tableEnds + "\nafter\n"
	if string(page) != want {
		t.Errorf("the page is\n%s\nwant\n%s", page, want)
	}
	if err := os.WriteFile(path, []byte("no such lines"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := again.WritePage(path); err == nil {
		t.Error("a page without the lines is written")
	}
}
