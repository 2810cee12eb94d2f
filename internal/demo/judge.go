package demo

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"pawl/api"
)

// outcome is what the run found.
type outcome struct {
	rows        []row
	corrections []api.Correction // newest first
	took        time.Duration
}

// row is one story's line of the table.
type row struct {
	story          story
	raw, corrected float64 // increase() over the whole story
	problem        string  // why corrected is out of its bound; "" if it is within
}

// err is ErrOutOfBounds, wrapped with every story that missed its bound.
func (o *outcome) err() error {
	var missed string
	for _, r := range o.rows {
		if r.problem != "" {
			missed += fmt.Sprintf("; %s: %s", r.story.title, r.problem)
		}
	}
	if missed == "" {
		return nil
	}
	return fmt.Errorf("%w%s", ErrOutOfBounds, missed)
}

// of returns the corrections of one story, oldest first.
func (o *outcome) of(st story) []api.Correction {
	var out []api.Correction
	for _, c := range slices.Backward(o.corrections) {
		for _, se := range st.series {
			if c.Labels[model.MetricNameLabel] == se.name() {
				out = append(out, c)
			}
		}
	}
	return out
}

// judge asks PromQL about every story on both paths.
func judge(ctx context.Context, up *upstream, stories []story) (*outcome, error) {
	out := &outcome{}
	for _, st := range stories {
		r := row{story: st}
		_, end := st.span()
		var err error
		if r.raw, err = up.ask(ctx, st.expr(pathRaw), end); err != nil {
			return nil, fmt.Errorf("ask PromQL about %q: %w", st.title, err)
		}
		if r.corrected, err = up.ask(ctx, st.expr(pathCorrected), end); err != nil {
			return nil, fmt.Errorf("ask PromQL about %q: %w", st.title, err)
		}
		if r.problem, err = up.problem(ctx, st, r.corrected); err != nil {
			return nil, err
		}
		out.rows = append(out.rows, r)
	}
	return out, nil
}

// extrapolation is the share by which increase() may exceed what was counted:
// the window is one millisecond longer than the samples in it.
const extrapolation = 1e-5

// misses says how corrected breaks the story's stated bound, or "".
func (st story) misses(corrected float64) string {
	slack := extrapolation * math.Max(1, math.Abs(st.truth))
	switch {
	case math.IsNaN(corrected):
		return "corrected is not a number"
	case st.query != nil && corrected > 1:
		return fmt.Sprintf("%s exceeds 1", number(corrected))
	case corrected < st.truth-st.below-slack:
		return fmt.Sprintf("%s is %s too low", number(corrected), number(st.truth-st.below-corrected))
	case corrected > st.truth+st.above+slack:
		return fmt.Sprintf("%s is %s too high", number(corrected), number(corrected-st.truth-st.above))
	}
	return ""
}

// problem says what is wrong with what came out of the relay, or "": the
// increase out of its bound, a sample missing, a step downwards, a bit changed
// in a series that must not be touched.
func (u *upstream) problem(ctx context.Context, st story, corrected float64) (string, error) {
	if p := st.misses(corrected); p != "" {
		return p, nil
	}
	start, end := st.span()
	for i, se := range st.series {
		got, err := u.samples(ctx, start, end, se.matchers(pathCorrected)...)
		if err != nil {
			return "", err
		}
		compare := steps
		if i != st.asked && !st.together || st.untouched {
			compare = differences
		}
		if p := compare(se.samples, got); p != "" {
			return se.name() + ": " + p, nil
		}
	}
	return "", nil
}

// steps says where got, the corrected samples of sent, goes down or leaves one out, or "".
func steps(sent, got []sample) string {
	if len(got) != len(sent) {
		return fmt.Sprintf("%d samples sent, %d arrived", len(sent), len(got))
	}
	for k := 1; k < len(got); k++ {
		if got[k].v < got[k-1].v {
			return fmt.Sprintf("corrected falls from %v to %v", got[k-1].v, got[k].v)
		}
	}
	return ""
}

// differences says where got is not sent, bit for bit, or "".
func differences(sent, got []sample) string {
	if len(got) != len(sent) {
		return fmt.Sprintf("%d samples sent, %d arrived", len(sent), len(got))
	}
	for k, want := range sent {
		if got[k].t != want.t || math.Float64bits(got[k].v) != math.Float64bits(want.v) {
			return fmt.Sprintf("sent %v at %d, arrived %v at %d", want.v, want.t, got[k].v, got[k].t)
		}
	}
	return ""
}
