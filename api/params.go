package api

import (
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"pawl/pkg/correct"
)

const (
	defaultLimit = 100
	maxLimit     = 1000
	maxBodyBytes = 64 << 10 // of a POSTed form; selectors are short
	maxCursor    = 1024     // bytes
	maxSelectors = 100
	maxBy        = 10
)

func bad(format string, args ...any) error { return BadData(fmt.Errorf(format, args...)) }

func tooLarge(err error) bool {
	var size *http.MaxBytesError
	return errors.As(err, &size)
}

// readParams reads the query, and the form of a POST, and refuses what is not known:
// a misspelt filter would otherwise look like one that matches everything.
func readParams(w http.ResponseWriter, r *http.Request, known []string) error {
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
		return bad("the query cannot be read: %w", err)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
	if r.Method == http.MethodPost && r.ContentLength != 0 {
		if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t != "application/x-www-form-urlencoded" {
			return bad("a body must be of type application/x-www-form-urlencoded, with the same parameters as the query")
		}
	}
	if err := r.ParseForm(); err != nil {
		return bad("the form cannot be read: %w", err)
	}
	names := make([]string, 0, len(r.Form))
	for name := range r.Form {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		switch {
		case len(known) == 0:
			return bad("unknown query parameter %q: none is known here", name)
		case !slices.Contains(known, name):
			return bad("unknown query parameter %q; known here: %s", name, strings.Join(known, ", "))
		case len(r.Form[name]) > 1 && !slices.Contains([]string{"match[]", "kind", "by", "id"}, name):
			return bad("query parameter %q is given %d times", name, len(r.Form[name]))
		}
	}
	return nil
}

// matchers reads every match[].
func matchers(r *http.Request) ([][]*labels.Matcher, error) {
	given := r.Form["match[]"]
	if len(given) > maxSelectors {
		return nil, bad("%d times match[]; at most %d are allowed", len(given), maxSelectors)
	}
	p := parser.NewParser(parser.Options{})
	var sets [][]*labels.Matcher
	for _, s := range given {
		ms, err := p.ParseMetricSelector(s)
		if err != nil {
			return nil, bad("match[]: %q is not a PromQL selector: %w", s, err)
		}
		sets = append(sets, ms)
	}
	return sets, nil
}

func limit(r *http.Request) (int, error) {
	s := r.Form.Get("limit")
	if s == "" {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxLimit {
		return 0, bad("limit: %q is not a whole number from 1 to %d", s, maxLimit)
	}
	return n, nil
}

func after(r *http.Request) (string, error) {
	s := r.Form.Get("after")
	if len(s) > maxCursor {
		return "", bad("after: %d bytes; a cursor is what an answer gave as next, and shorter", len(s))
	}
	return s, nil
}

// window is where a page of a list begins and how long it is.
func window(r *http.Request) (cursor string, most int, err error) {
	if most, err = limit(r); err != nil {
		return "", 0, err
	}
	if cursor, err = after(r); err != nil {
		return "", 0, err
	}
	return cursor, most, nil
}

// kinds reads every kind; several may also stand in one, with commas between.
func kinds(r *http.Request) ([]string, error) {
	var known []string
	for _, k := range correct.Kinds() {
		known = append(known, k.String())
	}
	given := words(r.Form["kind"])
	for _, k := range given {
		if !slices.Contains(known, k) {
			return nil, bad("kind: %q is not one of: %s", k, strings.Join(known, ", "))
		}
	}
	return given, nil
}

// by reads what to group by; kind when not given.
func by(r *http.Request) ([]string, error) {
	given := words(r.Form["by"])
	switch {
	case len(given) == 0:
		return []string{"kind"}, nil
	case len(given) > maxBy:
		return nil, bad("by: %d names; at most %d are allowed", len(given), maxBy)
	}
	return given, nil
}

// words splits at commas, and leaves out what is empty or repeated.
func words(given []string) []string {
	var all []string
	for _, s := range given {
		for w := range strings.SplitSeq(s, ",") {
			if w = strings.TrimSpace(w); w != "" && !slices.Contains(all, w) {
				all = append(all, w)
			}
		}
	}
	return all
}

// timeParam reads RFC 3339 or seconds since 1970 with decimals, as Prometheus does; zero when not given.
func timeParam(r *http.Request, name string) (time.Time, error) {
	s := r.Form.Get(name)
	if s == "" {
		return time.Time{}, nil
	}
	if sec, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(sec) < maxSeconds {
		return time.UnixMilli(int64(math.Round(sec * 1000))).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, bad("%s: %q is neither a time such as 2026-01-02T15:04:05Z nor seconds since 1970", name, s)
	}
	return t.UTC(), nil
}

const maxSeconds = 253402300800 // the year 10000: RFC 3339 cannot write later times

func correctionQuery(r *http.Request) (q CorrectionQuery, err error) {
	if q.Matchers, err = matchers(r); err != nil {
		return q, err
	}
	if q.Kinds, err = kinds(r); err != nil {
		return q, err
	}
	if q.Start, err = timeParam(r, "start"); err != nil {
		return q, err
	}
	if q.End, err = timeParam(r, "end"); err != nil {
		return q, err
	}
	if !q.Start.IsZero() && !q.End.IsZero() && q.End.Before(q.Start) {
		return q, bad("end: %s is before start (%s)", q.End.Format(time.RFC3339Nano), q.Start.Format(time.RFC3339Nano))
	}
	return q, nil
}
