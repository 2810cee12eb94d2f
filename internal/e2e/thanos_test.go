//go:build e2e && thanos

package e2e

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"pawl/internal/port"
)

// tenant is whose data the story is, in Thanos' own header.
const tenant = "team-a"

// thanosReceive is a Receive with a Query beside it, for Receive has no query API.
type thanosReceive struct {
	writeURL string
	queryURL string
}

func startThanos(t *testing.T) *thanosReceive {
	t.Helper()
	dir := t.TempDir()
	grpc, http, write := port.ForTest(t), port.ForTest(t), port.ForTest(t)
	receive := startProcess(t, filepath.Join(dir, "thanos-receive.log"), program(t, "thanos"), "receive",
		`--label=replica="a"`,
		"--tsdb.path="+filepath.Join(dir, "tsdb"),
		"--grpc-address="+grpc, "--http-address="+http, "--remote-write.address="+write,
		fmt.Sprintf(`--receive.hashrings=[{"endpoints":[%q]}]`, grpc),
		"--receive.local-endpoint="+grpc, "--receive.capnproto-address="+port.ForTest(t))
	receive.waitReady("http://"+http+"/-/ready", time.Minute)

	ask, askGRPC := port.ForTest(t), port.ForTest(t)
	query := startProcess(t, filepath.Join(dir, "thanos-query.log"), program(t, "thanos"), "query",
		"--http-address="+ask, "--grpc-address="+askGRPC, "--endpoint="+grpc)
	query.waitReady("http://"+ask+"/-/ready", time.Minute)
	return &thanosReceive{"http://" + write + "/api/v1/receive", "http://" + ask}
}

// The same story with a Thanos Receive as upstream, for one tenant in Thanos' own header,
// with the relay killed once in the middle.
func TestBrokenCounterComesOutRightInThanos(t *testing.T) {
	t.Parallel()
	for _, s := range []sender{{bin: "prometheus", message: messageV1}, {bin: "prometheus", message: messageV2}} {
		t.Run(version(s.message), func(t *testing.T) {
			t.Parallel()
			tg := startTarget(t, story())
			thanos := startThanos(t)
			// Thanos takes 1.0 only (an answer of 200 to 2.0 stores nothing), so 1.0 goes out.
			r := startRelay(t, relayOptions{upstream: thanos.writeURL, message: messageV1, receive: "  tenant_header: THANOS-TENANT\n"})
			s.headers = map[string]string{"THANOS-TENANT": tenant}
			from := s.start(t, tg, r.url+"/api/v1/receive")
			tg.waitShown(t, 55) // the loss has just been seen
			r.kill()
			r.start(t)
			<-tg.ended
			judgeThanos(t, r, from, thanos)
			r.stop(t)
		})
	}
}

func judgeThanos(t *testing.T, r *relay, from *prometheus, thanos *thanosReceive) {
	t.Helper()
	all := from.read(t)
	at := all.last()
	// By the query API on both sides: it shows no stale markers, the one thing not compared here.
	const everything = `{__name__=~".+"}`
	sent := rangeOf(t, from.url, everything, at)
	got := waitArrived(t, func() data { return thanos.samples(t, everything, at) }, sent)

	want := data{}
	for key, points := range sent {
		want[key] = points
	}
	want[seriesKey(t, sent, faultyName)] = want[seriesKey(t, sent, truthName)]
	wantSame(t, got, want)

	if tooMuch := scalar(t, thanos.queryURL, excessQuery, at); tooMuch != 0 {
		t.Errorf("increase() in Thanos is %v more than the truth", tooMuch)
	}
	if tooMuch := scalar(t, from.url, excessQuery, at); tooMuch < 70_000 {
		t.Errorf("increase() at the sender is only %v more than the truth, the story is harmless", tooMuch)
	}
	if kinds := r.kinds(t, faultyName); kinds["loss"] != 1 || kinds["reset"] != 1 {
		t.Errorf("the relay's log tells of %v, want one loss and one reset", kinds)
	}
}

// samples gives what Thanos holds, all tenants of it, without the labels that it adds of
// its own. A series of another tenant than the header's fails the test.
func (th *thanosReceive) samples(t *testing.T, selector string, at int64) data {
	t.Helper()
	got := data{}
	for _, r := range ask(t, th.queryURL, selector+"[1h]", at) {
		if id := r.Metric.Get("tenant_id"); id != tenant {
			t.Errorf("%s is of tenant %q", r.Metric, id)
		}
		key := labels.NewBuilder(r.Metric).Del("tenant_id", "replica").Labels().String()
		got[key] = append(got[key], r.points()...)
	}
	return got
}

// The harness itself: with no relay between, Thanos holds what was sent and is as wrong.
func TestWithoutRelayTheFaultyCounterIsWrongInThanos(t *testing.T) {
	t.Parallel()
	tg := startTarget(t, story())
	thanos := startThanos(t)
	s := sender{bin: "prometheus", message: messageV1, headers: map[string]string{"THANOS-TENANT": tenant}}
	from := s.start(t, tg, thanos.writeURL)
	<-tg.ended
	at := from.read(t).last()
	const everything = `{__name__=~".+"}`
	sent := rangeOf(t, from.url, everything, at)
	wantSame(t, waitArrived(t, func() data { return thanos.samples(t, everything, at) }, sent), sent)
	if tooMuch := scalar(t, thanos.queryURL, excessQuery, at); tooMuch < 70_000 {
		t.Errorf("Thanos shows only %v too much", tooMuch)
	}
}
