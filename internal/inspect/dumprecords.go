package inspect

import (
	"fmt"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"pawl/api"
	"pawl/pkg/rewrite"
	"pawl/pkg/sequence"
	"pawl/pkg/store"
)

// recordLine is a journal record, a rejected batch, or one that was kept aside, in JSON.
type recordLine struct {
	Type     string       `json:"type"` // record, rejected, held
	Seq      uint64       `json:"seq"`
	Time     string       `json:"time"`
	Kind     string       `json:"kind"`
	Tenant   string       `json:"tenant"`
	Bytes    int          `json:"bytes"` // of the payload, compressed
	Series   int          `json:"series"`
	Samples  int          `json:"samples"`
	Native   int          `json:"histograms"`
	Status   int          `json:"status,omitempty"`
	Answer   string       `json:"answer,omitempty"`
	Settled  string       `json:"settled,omitempty"` // why a rejected batch is not kept any more
	YAML     string       `json:"yaml,omitempty"`    // of rules
	Forgot   []string     `json:"forgot,omitempty"`  // keys of series
	Contents []seriesLine `json:"contents,omitempty"`
	Error    string       `json:"error,omitempty"` // why the contents cannot be read
}

type seriesLine struct {
	Labels     map[string]string `json:"labels"`
	Samples    []sampleLine      `json:"samples,omitempty"`
	Histograms []histogramLine   `json:"histograms,omitempty"`
}

type sampleLine struct {
	Time  string    `json:"time"`
	Value api.Float `json:"value"`
}

type histogramLine struct {
	Time string `json:"time"`
	Text string `json:"text"`
}

func (d *dumper) journal() error {
	found, err := d.in.Journal(func(r store.Record) error {
		if !d.inRange(r.Seq) {
			return nil
		}
		l := recordLine{Type: "record", Seq: r.Seq, Time: stamp(r.Time), Kind: r.Kind.String(), Tenant: r.Tenant, Bytes: len(r.Payload), Samples: int(r.Samples)}
		shown := len(d.Match) == 0
		switch r.Kind {
		case store.KindBatch1:
			shown = d.contents(&l, rewrite.V1, r.Tenant, r.Payload)
		case store.KindBatch2:
			shown = d.contents(&l, rewrite.V2, r.Tenant, r.Payload)
		case store.KindRules:
			l.YAML = string(r.Payload)
		case store.KindForget:
			l.Forgot = sequence.ForgottenKeys(r.Payload)
		}
		if shown {
			d.record(l)
		}
		return d.p.err
	})
	d.found(found)
	return err
}

func (d *dumper) rejected() error {
	found, err := d.in.Rejected(func(b store.Rejected, settled store.Outcome) error {
		l := recordLine{Type: "rejected", Seq: b.Seq, Time: stamp(b.Time), Tenant: b.Tenant, Bytes: len(b.Body), Samples: int(b.Samples),
			Kind: fmt.Sprintf("remote write %d.0", b.Version), Status: b.Status, Answer: b.Answer}
		if settled != 0 {
			l.Settled = settled.String()
		}
		if b.Body == nil {
			l.Error = "the body was too large to be kept"
			if len(d.Match) == 0 {
				d.record(l)
			}
			return d.p.err
		}
		if d.contents(&l, rewrite.Version(b.Version), b.Tenant, b.Body) {
			d.record(l)
		}
		return d.p.err
	})
	d.found(found)
	return err
}

// held prints a line for every part of what was kept aside: what was held out of earlier batches, and the batch as corrected.
func (d *dumper) held() error {
	found, err := d.in.Held(func(_ string, h store.Held) error {
		if !d.inRange(h.Seq) {
			return nil
		}
		for _, p := range h.Parts {
			l := recordLine{Type: "held", Seq: h.Seq, Time: stamp(h.Time), Tenant: h.Tenant, Bytes: len(p.Body), Kind: fmt.Sprintf("remote write %d.0", p.Version)}
			if d.contents(&l, rewrite.Version(p.Version), h.Tenant, p.Body) {
				d.record(l)
			}
		}
		return d.p.err
	})
	d.found(found)
	return err
}

// contents decodes a batch into its line, and says whether it is to be shown.
func (d *dumper) contents(l *recordLine, v rewrite.Version, tenant string, body []byte) bool {
	if err := d.batch.Decode(v, tenant, body, rewrite.Limits{}); err != nil {
		l.Error = err.Error()
		d.damaged = true
		return true
	}
	b := &d.batch
	l.Series, l.Samples, l.Native = len(b.Series), len(b.Samples), len(b.Histograms)
	if len(d.Match) == 0 && !d.Samples {
		return true
	}
	any := len(d.Match) == 0
	for i := range b.Series {
		ls := b.Labels(i)
		if !d.matches(ls) {
			continue
		}
		any = true
		if d.Samples {
			l.Contents = append(l.Contents, d.samplesOf(i, ls.Map()))
		}
	}
	return any
}

func (d *dumper) samplesOf(i int, ls map[string]string) seriesLine {
	out, s := seriesLine{Labels: ls}, d.batch.Series[i]
	for _, p := range d.batch.Samples[s.S0:s.S1] {
		out.Samples = append(out.Samples, sampleLine{stamp(p.T), api.Float(p.V)})
	}
	for j := s.H0; j < s.H1; j++ {
		text := "cannot be read"
		if h, _, err := d.batch.FloatHistogram(int(j)); err == nil {
			text = h.String()
		} else {
			text += ": " + err.Error()
		}
		out.Histograms = append(out.Histograms, histogramLine{stamp(d.batch.Histograms[j].T), text})
	}
	return out
}

func (d *dumper) record(l recordLine) {
	if d.JSON {
		d.p.object(l)
		return
	}
	text := fmt.Sprintf("%s %d %s %s tenant=%q bytes=%d", l.Type, l.Seq, l.Time, l.Kind, l.Tenant, l.Bytes)
	switch {
	case l.Error != "":
		text += ": " + l.Error
	case l.YAML != "":
		text += fmt.Sprintf(": %q", l.YAML)
	case l.Forgot != nil:
		text += ": " + strings.Join(l.Forgot, " ")
	case l.Series > 0:
		text += fmt.Sprintf(" series=%d samples=%d histograms=%d", l.Series, l.Samples, l.Native)
	}
	if l.Type == "rejected" {
		text += fmt.Sprintf(" status=%d answer=%q", l.Status, l.Answer)
		if l.Settled != "" {
			text += " " + l.Settled
		}
	}
	d.p.line("%s", text)
	for _, s := range l.Contents {
		d.p.line("  %s", labels.FromMap(s.Labels))
		for _, p := range s.Samples {
			v, _ := p.Value.MarshalJSON()
			d.p.line("    %s %s", p.Time, strings.Trim(string(v), `"`))
		}
		for _, h := range s.Histograms {
			d.p.line("    %s %s", h.Time, h.Text)
		}
	}
}

// stateLine is what is remembered of a series, in JSON.
type stateLine struct {
	Type       string            `json:"type"` // series
	Key        string            `json:"key"`
	Tenant     string            `json:"tenant"`
	Labels     map[string]string `json:"labels"`
	Kind       string            `json:"kind"` // counter, native, untouched
	Source     string            `json:"source"`
	LastSeen   string            `json:"lastSeen"` // journal time
	Time       string            `json:"time,omitempty"`
	Raw        *api.Float        `json:"raw,omitempty"`
	Out        *api.Float        `json:"out,omitempty"`
	Offset     *api.Float        `json:"offset,omitempty"`
	Correction map[string]int    `json:"corrections,omitempty"`
}

func (d *dumper) seriesLine(in sequence.SeriesInfo) {
	l := stateLine{Type: "series", Key: sequence.FormatKey(in.Key), Tenant: in.Tenant, Labels: in.Labels.Map(), Kind: "untouched",
		Source: in.Source, LastSeen: stamp(in.LastSeenS * 1000), Correction: in.Counts}
	switch {
	case in.Native:
		l.Kind = "native"
	case in.Counter, in.Known: // the metadata that said so may not have come again
		l.Kind = "counter"
	}
	if in.Known {
		raw, out, offset := api.Float(in.Raw), api.Float(in.Out), api.Float(in.Offset)
		l.Time, l.Raw, l.Out, l.Offset = stamp(in.T), &raw, &out, &offset
	}
	if d.JSON {
		d.p.object(l)
		return
	}
	text := fmt.Sprintf("series %s tenant=%q %s %s (%s) seen %s", l.Key, l.Tenant, in.Labels, l.Kind, l.Source, l.LastSeen)
	if in.Known {
		text += fmt.Sprintf(": %s raw %v, forwarded %v, offset %v", l.Time, in.Raw, in.Out, in.Offset)
	}
	if len(in.Counts) > 0 {
		text += fmt.Sprintf(" %v", in.Counts)
	}
	d.p.line("%s", text)
}
