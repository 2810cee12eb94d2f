package demo

import (
	"context"
	"fmt"
	"io"
)

// serve says where everything is and waits until ctx is done.
func serve(ctx context.Context, w io.Writer, up *upstream, rel *relayProcess, o *outcome) error {
	_, err := fmt.Fprintf(w, `
Everything stays up until you press Ctrl-C.

  embedded Prometheus, a data source for Grafana   %[1]s
  relay, remote_write to it                        %[2]s/api/v1/write
  relay, admin API                                 %[3]s/api/v1/status

What PromQL shows of the kernel panic, and of the recycled workers, raw and corrected:

%[4]s
%[5]s

What the relay says of it:

curl -s '%[3]s/api/v1/corrections?limit=5'
curl -s '%[3]s/api/v1/corrections/summary?by=kind'
curl -s '%[3]s/api/v1/series?limit=5'
`, up.url, rel.writeURL, rel.adminURL, atTheEnd(up.url, o.rows[0].story), overTime(up.url, o.rows[1].story))
	if err != nil {
		return fmt.Errorf("print the addresses: %w", err)
	}
	select {
	case <-ctx.Done():
	case <-rel.done: // stopping it says why
	}
	return nil
}

// atTheEnd is a command that asks for the increase over the whole story, on both paths.
func atTheEnd(address string, st story) string {
	start, end := st.span()
	return fmt.Sprintf(`curl -sG %s/api/v1/query -d time=%s \
  --data-urlencode 'query=sum by (%s) (increase(%s[%dms]))'`,
		address, unix(end), pathLabel, st.series[st.asked].name(), end-start+1)
}

// overTime is a command that asks for the story's rate as a graph would, on both paths.
func overTime(address string, st story) string {
	start, end := st.span()
	return fmt.Sprintf(`curl -sG %s/api/v1/query_range -d start=%s -d end=%s -d step=300 \
  --data-urlencode 'query=sum by (%s) (rate(%s[5m]))'`,
		address, unix(start), unix(end), pathLabel, st.series[st.asked].name())
}

// unix writes ms since the epoch as the API takes them, in seconds.
func unix(ms int64) string { return fmt.Sprintf("%d.%03d", ms/1000, ms%1000) }
