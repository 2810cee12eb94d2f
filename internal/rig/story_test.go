//go:build rig

package rig

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// envStory is a file for the recording of one crash.
const envStory = "PAWL_RIG_STORY"

// One crash told by the relay's own log lines and metrics: under load, with an
// upstream that takes one request in three and loses its answers, the relay is
// killed and started again, and in the end nothing is missing.
func TestOneCrashToldByItself(t *testing.T) {
	r := newRun(t, seedOf(t), runOptions{relay: relayOptions{checkpoint: time.Second, segment: -1, message: messageV1}})
	var s strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	r.start()
	r.loadFor(time.Second)
	r.upstream.act(func(n int64, _ []arrival) deed {
		if n%3 == 0 {
			return deed{lose: true} // it has the samples, and the relay is not told
		}
		return deed{status: 503}
	})
	r.load()
	time.Sleep(2500 * time.Millisecond)
	requests, _, _, _ := r.sent()
	first, _ := r.upstream.arrived()
	say("# the sender's ledger: %d requests acknowledged so far; the upstream has %d samples", requests, first)
	say("$ curl -s localhost:9202/metrics | grep …")
	s.WriteString(r.tell("pawl_received_total", "pawl_forwarded_total", "pawl_forward_retries_total", "pawl_backlog_samples"))
	say("$ kill -9 %d; relay --config.file=relay.yml", r.relay.cmd.Process.Pid)
	at := len(r.relay.log())
	r.relay.kill()
	r.upstream.act(take)
	_, againBefore := r.upstream.arrived()
	r.start()
	ready := time.Since(r.relay.born)
	r.quiet()
	r.drained(time.Minute)
	s.WriteString(shorten(r.relay.log()[at:]))
	say("# ready after %d ms; once the backlog is settled:", ready.Milliseconds())
	s.WriteString(r.tell("pawl_received_total", "pawl_forwarded_total", "pawl_journal_read_back_total", "pawl_backlog_samples"))
	_, again := r.upstream.arrived()
	r.finish()
	requests, samples, retries, _ := r.sent()
	say("# the check: %d requests of %d samples acknowledged (%d sent again by the sender); %d samples came to the upstream twice, the same bits each;", requests, samples, retries, again-againBefore)
	if !t.Failed() {
		say("# missing: 0, never sent: 0, other bits: 0, out of order: 0, not the true value: 0, not in balance: 0")
	}
	if path := os.Getenv(envStory); path != "" {
		if err := os.WriteFile(path, []byte(s.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("\n%s", s.String())
}

// tell gives the metrics of these names that count something.
func (r *run) tell(names ...string) string {
	m, err := r.relay.metrics()
	if err != nil {
		r.t.Fatal(err)
	}
	var lines []string
	for _, want := range names {
		for _, suffix := range []string{"", `{type="sample"}`, `{type="histogram"}`, `{outcome="delivered",type="sample"}`, `{outcome="delivered",type="histogram"}`} {
			if v, ok := m[want+suffix]; ok {
				lines = append(lines, fmt.Sprintf("%s%s %v\n", want, suffix, v))
			}
		}
	}
	return strings.Join(lines, "")
}

var unneeded = regexp.MustCompile(`(?m)^(.*(TLS is|Listening on|build=).*|== .*)\n| source=\S+|time=[0-9-]+T`)

// shorten leaves out of log lines where in the code they come from, and what every start says.
func shorten(log string) string { return unneeded.ReplaceAllString(log, "") }
