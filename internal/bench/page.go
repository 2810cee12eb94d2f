package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// The lines of the page between which the table is written.
const (
	tableBegins = "<!-- figures: written by make bench LONG=1 -->"
	tableEnds   = "<!-- end of figures -->"
)

// ReadReport reads what WriteJSON wrote.
func ReadReport(r io.Reader) (*Report, error) {
	report := &Report{}
	if err := json.NewDecoder(r).Decode(report); err != nil {
		return nil, fmt.Errorf("read the figures: %w", err)
	}
	return report, nil
}

// WritePage puts the table into the page at path, in place of the one that is there.
func (r *Report) WritePage(path string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(page), tableBegins)
	_, after, ok2 := strings.Cut(rest, tableEnds)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no line %q followed by %q: put them where the table is to be", path, tableBegins, tableEnds)
	}
	var table bytes.Buffer
	if err := r.WriteTable(&table); err != nil {
		return err
	}
	text := before + tableBegins + "\n" + strings.TrimSpace(table.String()) + "\n" + r.pointsTable() + tableEnds + after
	return os.WriteFile(path, []byte(text), 0o644)
}

// pointsTable are the plots' points, a row each, for those who want numbers.
func (r *Report) pointsTable() string {
	if len(r.Points) == 0 {
		return ""
	}
	titles := map[string]string{
		"series": "CPU-s per million samples against series",
		"memory": "resident bytes per series against series",
		"shares": "CPU-s per million samples against the share of corrected samples, %",
	}
	var b strings.Builder
	b.WriteString("\n| plot | line | points |\n| --- | --- | --- |\n")
	for _, plot := range []string{"series", "memory", "shares"} {
		for _, l := range r.lines(plot) {
			fmt.Fprintf(&b, "| %s | %s | ", titles[plot], l.name)
			for i, at := range l.at {
				if i > 0 {
					b.WriteString(", ")
				}
				fmt.Fprintf(&b, "%s: %s", tick(at[0]), number(at[1]))
			}
			b.WriteString(" |\n")
		}
	}
	return b.String()
}
