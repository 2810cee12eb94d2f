package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"
	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/model/labels"

	"pawl/api"
)

// adminClient asks the admin API of a running relay.
type adminClient struct {
	url, httpConfig string
	asJSON          bool
	out             io.Writer
}

func rejectedCommands(app *kingpin.Application, stdout io.Writer) []command {
	cmd := app.Command("rejected", "What the upstream refused for good: list it, read it, send it again, drop it. Asks a running relay.")
	c := &adminClient{out: stdout}
	cmd.Flag("admin.url", "The admin listener of the relay.").Default("http://127.0.0.1:9202").StringVar(&c.url)
	cmd.Flag("http.config.file", "TLS and authentication for it (Prometheus' HTTP client format).").StringVar(&c.httpConfig)
	cmd.Flag("json", "Print one JSON object a line.").BoolVar(&c.asJSON)

	list := cmd.Command("list", "List rejected batches, newest first.")
	most := list.Flag("limit", "At most so many; 0 for all.").Default("100").Int()
	show := cmd.Command("show", "Print one batch with every sample in it.")
	id := show.Arg("id", "The batch.").Required().String()
	resend := cmd.Command("resend", "Send batches to the upstream once more; what it takes is not kept any more.")
	resendIDs, resendAll := batchArgs(resend)
	drop := cmd.Command("drop", "Let batches go, for ever.")
	dropIDs, dropAll := batchArgs(drop)
	return []command{
		{list.FullCommand(), func(*slog.Logger) error { return c.run(func(ctx context.Context) error { return c.list(ctx, *most) }) }},
		{show.FullCommand(), func(*slog.Logger) error { return c.run(func(ctx context.Context) error { return c.show(ctx, *id) }) }},
		{resend.FullCommand(), func(*slog.Logger) error {
			return c.run(func(ctx context.Context) error { return c.resend(ctx, *resendIDs, *resendAll) })
		}},
		{drop.FullCommand(), func(*slog.Logger) error {
			return c.run(func(ctx context.Context) error { return c.drop(ctx, *dropIDs, *dropAll) })
		}},
	}
}

func batchArgs(cmd *kingpin.CmdClause) (ids *[]string, all *bool) {
	all = cmd.Flag("all", "Every batch.").Bool()
	return cmd.Arg("id", "The batches, as list prints them.").Strings(), all
}

// run ends at the first signal.
func (c *adminClient) run(do func(context.Context) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return do(ctx)
}

// ask reads the data of one answer of the admin API.
func (c *adminClient) ask(ctx context.Context, method, path string, query url.Values, into any) error {
	cfg := &promconfig.HTTPClientConfig{}
	if c.httpConfig != "" {
		var err error
		if cfg, _, err = promconfig.LoadHTTPConfigFile(c.httpConfig); err != nil {
			return usageError{fmt.Errorf("--http.config.file: %w", err)}
		}
	}
	client, err := promconfig.NewClientFromConfig(*cfg, "relay")
	if err != nil {
		return usageError{fmt.Errorf("--http.config.file: %w", err)}
	}
	defer client.CloseIdleConnections()
	target := strings.TrimRight(c.url, "/") + path + "?" + query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		return usageError{fmt.Errorf("--admin.url: %w", err)}
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask the relay (is it running, and is --admin.url its admin listener?): %w", err)
	}
	defer resp.Body.Close()
	var envelope struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(resp.Body).Decode(&envelope); err != nil {
		return fmt.Errorf("%s answered %s, and not as an admin listener does: %w", c.url, resp.Status, err)
	}
	if envelope.Status != "success" {
		err := fmt.Errorf("the relay answered %s: %s", resp.Status, envelope.Error)
		if resp.StatusCode == http.StatusBadRequest {
			return usageError{err}
		}
		return err
	}
	return json.Unmarshal(envelope.Data, into)
}

// pageLimit is how many batches one request is about.
const pageLimit = "100"

func (c *adminClient) list(ctx context.Context, most int) error {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	if !c.asJSON {
		fmt.Fprintln(w, "ID\tTIME\tTENANT\tSTATUS\tSAMPLES\tBYTES\tANSWER")
	}
	for n, after := 0, ""; ; {
		var page struct {
			Items []api.Rejected
			Next  string
		}
		if err := c.ask(ctx, http.MethodGet, "/api/v1/rejected", url.Values{"limit": {pageLimit}, "after": {after}}, &page); err != nil {
			return err
		}
		for _, b := range page.Items {
			if most > 0 && n == most {
				return w.Flush()
			}
			n++
			if c.asJSON {
				if err := c.json(b); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(w, "%s\t%s\t%q\t%d\t%d\t%d\t%.120q\n", b.ID, b.Time.Format(time.RFC3339), b.Tenant, b.Status, b.Samples, b.Bytes, b.Answer)
		}
		if after = page.Next; after == "" {
			return w.Flush()
		}
	}
}

func (c *adminClient) show(ctx context.Context, id string) error {
	var b api.RejectedBatch
	if err := c.ask(ctx, http.MethodGet, "/api/v1/rejected/"+url.PathEscape(id), url.Values{"limit": {"1000"}}, &b); err != nil {
		return err
	}
	if c.asJSON {
		return c.json(b)
	}
	fmt.Fprintf(c.out, "batch %s of tenant %q, remote write %s, refused at %s with %d: %q\n", b.ID, b.Tenant, b.RemoteWrite, b.Time.Format(time.RFC3339), b.Status, b.Answer)
	for _, s := range b.Series {
		fmt.Fprintln(c.out, labels.FromMap(s.Labels))
		for _, p := range s.Samples {
			v, _ := p.Value.MarshalJSON()
			fmt.Fprintf(c.out, "  %s %s\n", p.Time.Format(timeFormat), strings.Trim(string(v), `"`))
		}
		for _, h := range s.Histograms {
			fmt.Fprintf(c.out, "  %s %s\n", h.Time.Format(timeFormat), h.Text)
		}
	}
	if more := b.SeriesCount - len(b.Series); more > 0 {
		fmt.Fprintf(c.out, "and %d more series\n", more)
	}
	return nil
}

const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// errNotAll ends a resend that left something behind, as printed.
var errNotAll = errors.New("not every batch was accepted; what was not is still kept")

func (c *adminClient) resend(ctx context.Context, ids []string, all bool) error {
	query, err := selection(ids, all)
	if err != nil {
		return err
	}
	query.Set("limit", pageLimit)
	left := false
	for {
		var report api.ResendReport
		if err := c.ask(ctx, http.MethodPost, "/api/v1/rejected/resend", query, &report); err != nil {
			return err
		}
		for _, r := range report.Items {
			left = left || r.Outcome != api.Accepted
			if c.asJSON {
				if err := c.json(r); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(c.out, "batch %s, %d samples: %s (%d) %.300q\n", r.ID, r.Samples, r.Outcome, r.Status, r.Answer)
		}
		if report.Stopped != "" {
			return fmt.Errorf("stopped, the rest was not tried: %s", report.Stopped)
		}
		if report.Next == "" {
			break
		}
		query.Set("after", report.Next)
	}
	if left {
		return errNotAll
	}
	return nil
}

func (c *adminClient) drop(ctx context.Context, ids []string, all bool) error {
	query, err := selection(ids, all)
	if err != nil {
		return err
	}
	var d api.Dropped
	if err := c.ask(ctx, http.MethodPost, "/api/v1/rejected/drop", query, &d); err != nil {
		return err
	}
	if c.asJSON {
		if err := c.json(d); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(c.out, "dropped %d batches with %d samples\n", d.Batches, d.Samples)
	}
	slices.Sort(ids)
	if gone := len(slices.Compact(ids)) - d.Batches; gone > 0 {
		return fmt.Errorf("%d of those batches were not kept (any more); relay rejected list prints what is", gone)
	}
	return nil
}

// selection never means all by forgetting to say which.
func selection(ids []string, all bool) (url.Values, error) {
	switch {
	case all && len(ids) > 0:
		return nil, usageError{errors.New("give ids or --all, not both")}
	case all:
		return url.Values{"all": {"true"}}, nil
	case len(ids) == 0:
		return nil, usageError{errors.New("which batches? give their ids (relay rejected list prints them), or --all")}
	}
	return url.Values{"id": ids}, nil
}

func (c *adminClient) json(v any) error {
	e := json.NewEncoder(c.out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
