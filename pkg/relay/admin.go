package relay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"pawl/api"
	"pawl/pkg/sequence"
)

// AdminHandler serves the admin listener.
func (r *Relay) AdminHandler() http.Handler {
	return api.New(admin{r}, api.Options{Logger: r.opts.Logger, Gatherer: r.opts.Registry, Version: r.opts.Version})
}

// admin answers what the admin API asks: it asks the parts and puts their
// answers into the API's terms.
type admin struct{ r *Relay }

func (a admin) Status(ctx context.Context) (api.Status, error) {
	r := a.r
	p, err := r.sequence.Position(ctx)
	if err != nil {
		return api.Status{}, passing(err)
	}
	h, j := r.forward.Health(), r.disk.journal
	s := api.Status{
		Version: r.opts.Version, StartTime: r.started, UptimeSeconds: time.Since(r.started).Seconds(),
		Mode: r.current().Correct.Mode, Ready: true, Series: p.Series,
		Journal:    api.JournalStatus{First: j.First(), End: j.End(), Applied: p.Applied, Delivered: r.mark.Low(), Bytes: j.Bytes()},
		Checkpoint: api.CheckpointStatus{Version: p.Good.Version, Seq: p.Good.Seq, Keys: p.Good.Keys},
		Upstream: api.UpstreamStatus{
			URL: h.URL, Healthy: h.Healthy, LastError: h.LastError, LastSuccess: h.LastSuccess, InFlight: h.InFlight, HeldTenants: h.HeldTenants,
		},
	}
	if err := r.pressure(); err != nil {
		s.Ready, s.NotReady = false, err.Error()
	}
	for _, t := range h.Held {
		s.Upstream.Held = append(s.Upstream.Held, api.HeldTenant{Tenant: t.Tenant, Since: t.Since, Status: t.Status, LastError: t.LastError, Batches: t.Batches})
	}
	if p.Good.Version > 0 {
		s.Checkpoint.Time = p.GoodAt
	}
	s.Backlog.Samples, s.Backlog.Bytes, s.Backlog.Seconds = r.backlog()
	return s, nil
}

func (a admin) Series(ctx context.Context, q api.SeriesQuery) (found []api.Series, next string, err error) {
	var from *uint32
	if q.After != "" {
		place, err := strconv.ParseUint(q.After, 10, 32)
		if err != nil {
			return nil, "", api.BadData(fmt.Errorf("after: %q is not a cursor of this relay", q.After))
		}
		first := uint32(place)
		from = &first
	}
	match := func(tenant string, ls labels.Labels) bool {
		return (q.Tenant == nil || *q.Tenant == tenant) && matchesAny(q.Matchers, ls)
	}
	err = a.r.sequence.Series(ctx, match, from, func(s sequence.SeriesInfo) bool {
		if len(found) == q.Limit {
			next = strconv.FormatUint(uint64(s.Place), 10)
			return false
		}
		found = append(found, seriesOf(s))
		return true
	})
	return found, next, passing(err)
}

func seriesOf(s sequence.SeriesInfo) api.Series {
	typ := "untouched" // gauges, and what nobody says anything about
	switch {
	case s.Native:
		typ = "native_histogram"
	case s.Counter:
		typ = "counter"
	}
	out := api.Series{Labels: s.Labels.Map(), Tenant: s.Tenant, Type: typ, TypeSource: s.Source, Corrections: s.Counts, Interleaving: s.Interleaved}
	if s.Known {
		out.LastTimestamp = time.UnixMilli(s.T).UTC()
		out.LastRaw, out.LastCorrected, out.Offset = api.Float(s.Raw), api.Float(s.Out), api.Float(s.Offset)
	}
	return out
}

func (a admin) Corrections(ctx context.Context, q api.CorrectionQuery) (found []api.Correction, next string, err error) {
	var below *sequence.Place
	if q.After != "" {
		p, err := parsePlace(q.After)
		if err != nil {
			return nil, "", api.BadData(err)
		}
		below = &p
	}
	var last sequence.Place
	err = a.r.sequence.Corrections(ctx, below, func(e sequence.Entry) bool {
		if ctx.Err() != nil {
			return false
		}
		if !selects(q, e) {
			return true
		}
		if len(found) == q.Limit {
			next = formatPlace(last)
			return false
		}
		last = e.Place
		found = append(found, correctionOf(e))
		return true
	})
	return found, next, passing(errors.Join(err, ctx.Err()))
}

func correctionOf(e sequence.Entry) api.Correction {
	c := api.Correction{
		Labels: e.Labels.Map(), Tenant: e.Tenant, Time: time.UnixMilli(e.T).UTC(), PreviousTime: time.UnixMilli(e.PrevT).UTC(),
		Kind: e.Kind, Previous: api.Float(e.Prev), Raw: api.Float(e.Raw), Corrected: api.Float(e.Out),
		Amount: api.Float(e.Amount), FalseIncrease: api.Float(e.FalseIncrease), Pending: e.Pending, Seq: formatPlace(e.Place),
	}
	if e.Settles != 0 {
		t := time.UnixMilli(e.Settles).UTC()
		c.Settles = &t
	}
	for _, ev := range e.Evidence {
		c.Evidence = append(c.Evidence, api.Evidence{Test: ev.Test, LogOdds: api.Float(ev.LogOdds), Text: ev.Text})
	}
	return c
}

func (a admin) Summary(ctx context.Context, q api.CorrectionQuery, by []string) ([]api.SummaryRow, error) {
	rows := map[string]*api.SummaryRow{}
	var order []*api.SummaryRow
	err := a.r.sequence.Corrections(ctx, nil, func(e sequence.Entry) bool {
		if ctx.Err() != nil {
			return false
		}
		if !selects(q, e) {
			return true
		}
		values := make([]string, len(by))
		for i, name := range by {
			switch name {
			case "kind":
				values[i] = e.Kind
			case "tenant":
				values[i] = e.Tenant
			default:
				values[i] = e.Labels.Get(name)
			}
		}
		group := strings.Join(values, "\xff") // no label value holds it: they are UTF-8
		row := rows[group]
		if row == nil {
			row = &api.SummaryRow{By: map[string]string{}}
			for i, name := range by {
				row.By[name] = values[i]
			}
			rows[group] = row
			order = append(order, row)
		}
		row.Count++
		row.Amount += api.Float(e.Amount)
		row.FalseIncrease += api.Float(e.FalseIncrease)
		return true
	})
	out := make([]api.SummaryRow, 0, len(order))
	for _, row := range order {
		out = append(out, *row)
	}
	return out, passing(errors.Join(err, ctx.Err()))
}

// selects tells whether a query wants an entry.
func selects(q api.CorrectionQuery, e sequence.Entry) bool {
	t := time.UnixMilli(e.T)
	if !q.Start.IsZero() && t.Before(q.Start) || !q.End.IsZero() && t.After(q.End) {
		return false
	}
	if len(q.Kinds) > 0 {
		wanted := false
		for _, k := range q.Kinds {
			wanted = wanted || k == e.Kind
		}
		if !wanted {
			return false
		}
	}
	return matchesAny(q.Matchers, e.Labels)
}

// matchesAny tells whether one of the sets accepts the labels; no set accepts all.
func matchesAny(sets [][]*labels.Matcher, ls labels.Labels) bool {
	for _, set := range sets {
		if sequence.Matches(set, ls) {
			return true
		}
	}
	return len(sets) == 0
}

func (a admin) Rejected(_ context.Context, after string, limit int) ([]api.Rejected, string, error) {
	return a.r.rejected.list(after, limit)
}

func (a admin) RejectedBatch(_ context.Context, id string, limit int) (api.RejectedBatch, error) {
	return a.r.rejected.read(id, limit)
}

func (a admin) Resend(ctx context.Context, q api.RejectedQuery) (api.ResendReport, error) {
	return a.r.rejected.resend(ctx, q)
}

func (a admin) Drop(_ context.Context, q api.RejectedQuery) (api.Dropped, error) {
	return a.r.rejected.drop(q)
}

func (a admin) Forget(ctx context.Context, matchers [][]*labels.Matcher) (int, error) {
	n, err := a.r.sequence.Forget(ctx, func(_ string, ls labels.Labels) bool { return matchesAny(matchers, ls) })
	return n, passing(err)
}

func (a admin) Config() string { return a.r.current().String() }

func (a admin) Reload() error {
	if a.r.opts.Reload == nil {
		return errors.New("this relay was started without a configuration to read again")
	}
	return a.r.opts.Reload()
}

// passing marks what is over when the relay has started, or stopped.
func passing(err error) error {
	if errors.Is(err, sequence.ErrStopping) {
		return api.Unavailable(err)
	}
	return err
}

func formatPlace(p sequence.Place) string { return fmt.Sprintf("%d.%d", p.Seq, p.Index) }

func parsePlace(s string) (p sequence.Place, err error) {
	seq, index, _ := strings.Cut(s, ".")
	if p.Seq, err = strconv.ParseUint(seq, 10, 64); err == nil {
		var i uint64
		i, err = strconv.ParseUint(index, 10, 32)
		p.Index = uint32(i)
	}
	if err != nil {
		return p, fmt.Errorf("after: %q is no cursor that a list of corrections gave out", s)
	}
	return p, nil
}
