package demo

import (
	"context"
	"fmt"
	"io"
	"net/url"
)

// serve says where everything is and waits until ctx is done.
func serve(ctx context.Context, w io.Writer, up *upstream, rel *relayProcess, o *outcome) error {
	st := o.rows[0].story
	_, end := st.span()
	ask := func(path string) string {
		v := url.Values{"query": {st.expr(path)}, "time": {unix(end)}}
		return fmt.Sprintf("curl -s '%s/api/v1/query?%s'", up.url, v.Encode())
	}
	_, err := fmt.Fprintf(w, `
Everything stays up until you press Ctrl-C.

  embedded Prometheus, a data source for Grafana   %s
  relay, remote_write to it                        %s/api/v1/write
  relay, admin API                                 %s/api/v1/status

What PromQL shows of the kernel panic, raw and corrected, and what the relay says of it:

%s

%s

curl -s '%s/api/v1/corrections?limit=5'
curl -s '%s/api/v1/corrections/summary?by=kind'

For a graph, ask for both paths side by side:

rate(pool_requests_total[5m])                  # {path="raw"} and {path="corrected"}
`, up.url, rel.writeURL, rel.adminURL, ask(pathRaw), ask(pathCorrected), rel.adminURL, rel.adminURL)
	if err != nil {
		return fmt.Errorf("print the addresses: %w", err)
	}
	select {
	case <-ctx.Done():
	case <-rel.done: // stopping it says why
	}
	return nil
}

// unix writes ms since the epoch as the API takes them, in seconds.
func unix(ms int64) string { return fmt.Sprintf("%d.%03d", ms/1000, ms%1000) }
