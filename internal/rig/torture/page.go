package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The lines of the page between which the command writes.
const (
	tableBegins = "<!-- table: written by make torture -->"
	tableEnds   = "<!-- end of table -->"
	storyBegins = "<!-- story: written by make torture -->"
	storyEnds   = "<!-- end of story -->"
)

// render writes the table into the page.
func (s *state) render(all []row, page string) error {
	b, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(b), tableBegins)
	_, after, ok2 := strings.Cut(rest, tableEnds)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no line %q followed by %q", page, tableBegins, tableEnds)
	}
	text := before + tableBegins + "\n" + s.table(all) + tableEnds + after
	if s.Story != "" {
		before, rest, ok := strings.Cut(text, storyBegins)
		_, after, ok2 := strings.Cut(rest, storyEnds)
		if !ok || !ok2 {
			return fmt.Errorf("%s has no line %q followed by %q", page, storyBegins, storyEnds)
		}
		text = before + storyBegins + "\n```\n" + s.Story + "```\n" + storyEnds + after
	}
	return os.WriteFile(page, []byte(text), 0o644)
}

func (s *state) table(all []row) string {
	var t strings.Builder
	t.WriteString("| test | in CI | ran | of | failed | first seed | commits | took | date |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	var details strings.Builder
	for _, r := range all {
		rec := s.Rows[r.Name]
		if rec == nil || len(rec.Seeds) == 0 {
			fmt.Fprintf(&t, "| %s (`%s`) | %s | not run | %s %s | | | | | |\n", r.Title, r.Name, r.CI, number(float64(r.Target)), r.Unit)
			continue
		}
		fmt.Fprintf(&t, "| %s (`%s`) | %s | **%s** | %s %s | %d | %d | %s | %s | %s |\n", r.Title, r.Name, r.CI, number(float64(rec.Done)),
			number(float64(r.Target)), r.Unit, len(rec.Failures), rec.Seeds[0], strings.Join(rec.Commits, ", "),
			(time.Duration(rec.Seconds) * time.Second).String(), rec.Last)
		if len(rec.Figures) > 0 {
			fmt.Fprintf(&details, "- `%s`: ", r.Name)
			for i, name := range slices.Sorted(maps.Keys(rec.Figures)) {
				if i > 0 {
					details.WriteString("; ")
				}
				fmt.Fprintf(&details, "%s %s", name, number(rec.Figures[name]))
			}
			details.WriteString(".\n")
		}
	}
	return t.String() + "\nWhat was counted meanwhile:\n\n" + details.String()
}

// number prints with thin thousands, and three digits of what is not whole.
func number(v float64) string {
	if v != float64(int64(v)) {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	s := strconv.FormatInt(int64(v), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
