package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"pawl/pkg/rewrite"
	"pawl/pkg/sequence"
	"pawl/pkg/store"
)

// Parts are what a dump can print, in the order in which it does.
func Parts() []string { return []string{"head", "journal", "state", "corrections", "rejected", "held"} }

// DumpOptions are what Dump needs to know.
type DumpOptions struct {
	Path    string // --storage.path of the relay
	Scratch string // where the database is copied to, to be opened; "" for the system's own place
	Out     io.Writer
	Errors  io.Writer         // damage
	JSON    bool              // the lines are JSON objects
	Parts   []string          // of Parts(); empty: all
	From    uint64            // journal records from here on, and corrections that they caused
	To      uint64            // up to here; 0: to the end
	Match   []*labels.Matcher // only what is about these series; empty: everything
	Samples bool              // every sample of a record, with its labels
}

// Dump prints what is in a storage path, a line for every thing. What is
// damaged is named on Errors, and what is whole behind it is printed too;
// ErrDamaged then.
func Dump(o DumpOptions) error {
	if o.To != 0 && o.From > o.To {
		return UsageError{fmt.Errorf("--from=%d is behind --to=%d; no record is in between", o.From, o.To)}
	}
	in, err := open(o.Path)
	if err != nil {
		return err
	}
	defer in.Close()
	d := &dumper{DumpOptions: o, in: in, p: &printer{w: o.Out, json: o.JSON}, complain: &printer{w: o.Errors}}
	for _, step := range []struct {
		part string
		do   func() error
	}{{"head", d.heads}, {"journal", d.journal}, {"state", d.state}, {"rejected", d.rejected}, {"held", d.held}} {
		if !d.wants(step.part) && !(step.part == "state" && d.wants("corrections")) {
			continue
		}
		if err := step.do(); err != nil {
			return errors.Join(err, d.p.flush(), d.complain.flush())
		}
	}
	err = errors.Join(d.p.flush(), d.complain.flush())
	if err == nil && d.damaged {
		err = ErrDamaged
	}
	return err
}

type dumper struct {
	DumpOptions
	in       *store.Offline
	p        *printer
	complain *printer // damage
	batch    rewrite.Batch
	damaged  bool
}

func (d *dumper) wants(part string) bool { return len(d.Parts) == 0 || slices.Contains(d.Parts, part) }

func (d *dumper) found(findings []store.Finding) {
	for _, f := range findings {
		if f.Level == store.Damaged { // the rest is what verify is for
			d.complain.finding(f)
			d.damaged = true
		}
	}
}

func (d *dumper) matches(ls labels.Labels) bool { return sequence.Matches(d.Match, ls) }

func (d *dumper) inRange(seq uint64) bool { return seq >= d.From && (d.To == 0 || seq <= d.To) }

// stamp is a time in ms as it is printed.
func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

// headLine is a head in JSON.
type headLine struct {
	Type    string `json:"type"` // head
	Part    string `json:"part"`
	First   uint64 `json:"first,omitempty"`
	End     uint64 `json:"end,omitempty"`
	Segment uint64 `json:"segment,omitempty"`
	Offset  int64  `json:"offset,omitempty"`
	Version uint64 `json:"version,omitempty"`
	Seq     uint64 `json:"seq,omitempty"`
	Keys    uint64 `json:"keys,omitempty"`
}

func (d *dumper) heads() error {
	for _, part := range []string{"journal", "rejected"} {
		h, ok, err := d.in.Head(part)
		if err != nil {
			return err
		}
		switch {
		case !ok:
			continue
		case d.JSON:
			d.p.object(headLine{Type: "head", Part: part, First: h.First, End: h.End, Segment: h.Segment, Offset: h.Offset})
		default:
			d.p.line("head %s: records %d to before %d are acknowledged; the next goes to byte %d of the segment that begins with %d", part, h.First, h.End, h.Offset, h.Segment)
		}
	}
	c, ok, err := d.in.StateHead()
	switch {
	case err != nil || !ok:
		return err
	case d.JSON:
		d.p.object(headLine{Type: "head", Part: "state", Version: c.Version, Seq: c.Seq, Keys: c.Keys})
	default:
		d.p.line("head state: checkpoint %d with %d keys, up to journal record %d", c.Version, c.Keys, c.Seq)
	}
	return nil
}

func (d *dumper) state() error {
	st, found, err := d.in.State(d.Scratch)
	d.found(found)
	if err != nil || st == nil {
		return err
	}
	err = withSequencer(st, func(s *sequence.Sequencer) error {
		if d.wants("state") {
			if err := d.series(s); err != nil {
				return err
			}
		}
		if d.wants("corrections") {
			return d.corrections(s)
		}
		return nil
	})
	var senseless senselessError
	if errors.As(err, &senseless) {
		v := verifier{p: d.complain}
		v.senseless("state", st.Of(), "the series state", err)
		d.damaged, err = true, nil
	}
	return errors.Join(err, st.Close())
}

func (d *dumper) series(s *sequence.Sequencer) error {
	ctx := context.Background()
	rules, err := s.Rules(ctx)
	if err != nil {
		return err
	}
	if d.JSON {
		d.p.object(struct {
			Type string `json:"type"` // rules
			YAML string `json:"yaml"`
		}{"rules", rules})
	} else {
		d.p.line("rules %q", rules)
	}
	match := func(_ string, ls labels.Labels) bool { return d.matches(ls) }
	return s.Series(ctx, match, nil, func(in sequence.SeriesInfo) bool {
		d.seriesLine(in)
		return d.p.err == nil
	})
}

// corrections prints the log oldest first, as it happened.
func (d *dumper) corrections(s *sequence.Sequencer) error {
	var all []sequence.Entry // at most some hundred megabytes, and they come newest first
	err := s.Corrections(context.Background(), nil, func(e sequence.Entry) bool {
		if d.inRange(e.Place.Seq) && d.matches(e.Labels) {
			all = append(all, e)
		}
		return true
	})
	slices.Reverse(all)
	for _, e := range all {
		if d.JSON {
			d.p.object(struct {
				Type string `json:"type"` // correction
				Seq  string `json:"seq"`  // the journal record that caused it, and its number within
				sequence.Entry
			}{"correction", fmt.Sprintf("%d.%d", e.Place.Seq, e.Place.Index), e})
			continue
		}
		d.p.line("correction %d.%d %s tenant=%q %s %s: previous %v, raw %v, forwarded %v, amount %v, false increase %v, pending %v",
			e.Place.Seq, e.Place.Index, stamp(e.T), e.Tenant, e.Kind, e.Labels, e.Prev, e.Raw, e.Out, e.Amount, e.FalseIncrease, e.Pending)
		for _, ev := range e.Evidence {
			d.p.line("  %s %+.2f: %s", ev.Test, ev.LogOdds, ev.Text)
		}
	}
	return err
}
