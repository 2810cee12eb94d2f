package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	File string // as given to Load or Parse
	Line int    // from 1; 0 when there is no line to name
	Path string // such as correct.rules[2].match; "" for the file as a whole
	Text string // what is wrong and what to write instead; shows no secret
}

// Error is "relay.yml:12: correct.rules[2].match: what is wrong".
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		b.WriteString(":" + strconv.Itoa(p.Line))
	}
	if p.Path != "" {
		b.WriteString(": " + p.Path)
	}
	b.WriteString(": " + p.Text)
	return b.String()
}

// problems collects them, and knows which line a key is on.
type problems struct {
	file       string
	lines      map[string]int  // of every key and item that was read, by path
	failed     map[string]bool // paths whose value could not be read: not judged a second time
	unreadable bool            // no YAML: nothing below was read
	found      []*Problem
}

// at reports a problem with the value at path.
func (p *problems) at(path, format string, args ...any) {
	if p.failed[path] {
		return
	}
	p.found = append(p.found, &Problem{File: p.file, Line: p.line(path), Path: path, Text: fmt.Sprintf(format, args...)})
}

// unread reports that the value at path could not be read; its default stands in its place.
func (p *problems) unread(path, format string, args ...any) {
	p.at(path, format, args...)
	if p.failed == nil {
		p.failed = make(map[string]bool)
	}
	p.failed[path] = true
}

// onLine reports a problem whose line is known otherwise.
func (p *problems) onLine(line int, path, format string, args ...any) {
	p.found = append(p.found, &Problem{File: p.file, Line: line, Path: path, Text: fmt.Sprintf(format, args...)})
}

func (p *problems) oneOf(path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		p.at(path, "%q is not one of: %s", value, strings.Join(allowed, ", "))
	}
}

func (p *problems) remember(path string, line int) {
	if p.lines == nil {
		p.lines = make(map[string]int)
	}
	p.lines[path] = line
}

// line is that of path, or of the nearest thing around it that is in the file.
func (p *problems) line(path string) int {
	for path != "" {
		if n, ok := p.lines[path]; ok {
			return n
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 0
}

// err joins the problems in the order of their lines.
func (p *problems) err() error {
	slices.SortStableFunc(p.found, func(a, b *Problem) int { return a.Line - b.Line })
	errs := make([]error, len(p.found))
	for i, f := range p.found {
		errs[i] = f
	}
	return errors.Join(errs...)
}
