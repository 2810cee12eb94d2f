package api

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// during says what was being done when something failed. What is the request's own fault, or passes, says enough itself.
func during(what string, err error) error {
	if kindOf(err) != internal {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (s *server) status(r *http.Request) (any, error) {
	st, err := s.src.Status(r.Context())
	if err != nil {
		return nil, during("read status", err)
	}
	return st, nil
}

func (s *server) series(r *http.Request) (any, error) {
	var q SeriesQuery
	var err error
	if q.Matchers, err = matchers(r); err != nil {
		return nil, err
	}
	if r.Form.Has("tenant") {
		tenant := r.Form.Get("tenant")
		q.Tenant = &tenant
	}
	if q.After, q.Limit, err = window(r); err != nil {
		return nil, err
	}
	found, next, err := s.src.Series(r.Context(), q)
	if err != nil {
		return nil, during("list series", err)
	}
	for i := range found {
		found[i].Labels = notNil(found[i].Labels)
		found[i].Corrections = notNil(found[i].Corrections)
	}
	return page[Series]{Items: listed(found), Next: next}, nil
}

func (s *server) corrections(r *http.Request) (any, error) {
	q, err := correctionQuery(r)
	if err != nil {
		return nil, err
	}
	if q.After, q.Limit, err = window(r); err != nil {
		return nil, err
	}
	found, next, err := s.src.Corrections(r.Context(), q)
	if err != nil {
		return nil, during("list corrections", err)
	}
	for i := range found {
		found[i].Labels = notNil(found[i].Labels)
		found[i].Evidence = listed(found[i].Evidence)
	}
	return page[Correction]{Items: listed(found), Next: next}, nil
}

func (s *server) summary(r *http.Request) (any, error) {
	q, err := correctionQuery(r)
	if err != nil {
		return nil, err
	}
	names, err := by(r)
	if err != nil {
		return nil, err
	}
	most, err := limit(r)
	if err != nil {
		return nil, err
	}
	rows, err := s.src.Summary(r.Context(), q, names)
	if err != nil {
		return nil, during("sum up corrections", err)
	}
	slices.SortFunc(rows, func(a, b SummaryRow) int { return larger(a, b, names) })
	return summary{By: names, Groups: len(rows), Rows: listed(rows[:min(most, len(rows))])}, nil
}

// larger puts first what would have misled most: by the false increase, then the
// count, then by name, so that the order is always the same.
func larger(a, b SummaryRow, names []string) int {
	if c := cmp.Compare(math.Abs(float64(b.FalseIncrease)), math.Abs(float64(a.FalseIncrease))); c != 0 {
		return c
	}
	if c := cmp.Compare(b.Count, a.Count); c != 0 {
		return c
	}
	for _, n := range names {
		if c := strings.Compare(a.By[n], b.By[n]); c != 0 {
			return c
		}
	}
	return 0
}

type forgotten struct {
	Forgotten int `json:"forgotten"` // series
}

func (s *server) forget(r *http.Request) (any, error) {
	sets, err := matchers(r)
	if err != nil {
		return nil, err
	}
	if len(sets) == 0 {
		return nil, BadData(errors.New(`match[] is missing: name the series to forget, such as match[]={job="shop"}`))
	}
	for i, set := range sets {
		if !selective(set) {
			return nil, bad(`match[]: %q accepts every series; to forget all of them write {__name__=~".+"}`, r.Form["match[]"][i])
		}
	}
	n, err := s.src.Forget(r.Context(), sets)
	if err != nil {
		return nil, during("forget series", err)
	}
	return forgotten{n}, nil
}

// selective reports whether some matcher does not accept a missing label: Prometheus' own rule for a selector.
func selective(set []*labels.Matcher) bool {
	return slices.ContainsFunc(set, func(m *labels.Matcher) bool { return !m.Matches("") })
}

type configuration struct {
	YAML string `json:"yaml"`
}

func (s *server) config(*http.Request) (any, error) { return configuration{s.src.Config()}, nil }

// listed is never null in JSON.
func listed[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

func notNil[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}
