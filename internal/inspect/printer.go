package inspect

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"pawl/pkg/store"
)

// printer writes lines: text, or a JSON object each. Its first error stays.
type printer struct {
	w    io.Writer
	json bool
	buf  *bufio.Writer
	err  error
}

func (p *printer) writer() *bufio.Writer {
	if p.buf == nil {
		p.buf = bufio.NewWriterSize(p.w, 64<<10)
	}
	return p.buf
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.writer(), format+"\n", args...)
	}
}

func (p *printer) object(v any) {
	if p.err == nil {
		e := json.NewEncoder(p.writer())
		e.SetEscapeHTML(false)
		p.err = e.Encode(v)
	}
}

func (p *printer) flush() error {
	if p.err == nil {
		p.err = p.writer().Flush()
	}
	return p.err
}

// findingLine is a finding in JSON.
type findingLine struct {
	Type   string `json:"type"` // finding
	Part   string `json:"part"`
	Level  string `json:"level"` // ok, note, damaged
	Path   string `json:"path"`
	Offset *int64 `json:"offset,omitempty"` // bytes
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

func (p *printer) finding(f store.Finding) {
	if !p.json {
		p.line("%s", f)
		return
	}
	l := findingLine{Type: "finding", Part: f.Part, Level: f.Level.String(), Path: f.Path, Text: f.Text, Remedy: f.Remedy}
	if f.Level == store.Damaged {
		l.Level = "damaged"
	}
	if f.Offset >= 0 {
		l.Offset = &f.Offset
	}
	p.object(l)
}
