//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"
)

// path is one way from sender to upstream.
type path struct {
	sender   sender
	upstream string // protobuf_message of the relay's remote_write
}

func (p path) String() string {
	return fmt.Sprintf("%s_%s_to_%s", p.sender.bin, version(p.sender.message), version(p.upstream))
}

func version(message string) string {
	if message == messageV2 {
		return "2.0"
	}
	return "1.0"
}

// What each sender writes goes on in the version that the upstream takes, so that every version
// is received, sent, and made from the other.
var paths = []path{
	{sender{bin: "prometheus", message: messageV1}, messageV1},
	{sender{bin: "prometheus", message: messageV2}, messageV2},
	{sender{bin: "prometheus-debian"}, messageV1},
	{sender{bin: "prometheus", message: messageV2}, messageV1},
	{sender{bin: "prometheus", message: messageV1}, messageV2},
}

// A counter that lost an increment and was restarted later is right behind the relay, and
// everything healthy is there as it was sent.
func TestBrokenCounterComesOutRight(t *testing.T) {
	t.Parallel()
	for _, p := range paths {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			tg := startTarget(t, story())
			receiver := startReceiver(t)
			r := startRelay(t, relayOptions{upstream: receiver.url + "/api/v1/write", message: p.upstream})
			from := p.sender.start(t, tg, r.url+"/api/v1/write")
			<-tg.ended
			judgeStory(t, r, from, receiver)
			judgeAccounts(t, r, from)
			if refused := r.refused(t); len(refused) > 0 {
				t.Errorf("the upstream refused batches: %q", refused)
			}
			r.stop(t)
		})
	}
}

// Killed with -9 again and again in the middle of it, the relay gives the same result. The
// upstream is slow, so that there always is something acknowledged that it does not have yet.
func TestKilledRelayGivesTheSameResult(t *testing.T) {
	t.Parallel()
	script := story()
	// Scenes at which the relay is killed, twenty: while the pace is learned, while the node is
	// away, as the loss is seen, in the run after it, at the restart, near the end.
	kills := []int{8, 12, 18, 24, 30, 36, 42, 46, 50, 55, 62, 70, 76, 80, 88, 96, 103, 107, 116, 125}
	for _, p := range []path{paths[0], paths[1]} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			tg := startTarget(t, script)
			receiver := startReceiver(t)
			r := startRelay(t, relayOptions{upstream: slowProxy(t, receiver), message: p.upstream})
			from := p.sender.start(t, tg, r.url+"/api/v1/write")
			for i, scene := range kills {
				tg.waitShown(t, scene)
				r.kill()
				if i%2 == 1 { // away for a while: the sender has to keep several scrapes
					time.Sleep(3 * scrapeInterval)
				}
				r.start(t)
			}
			<-tg.ended
			judgeStory(t, r, from, receiver)
			// Sent again after a kill is what was under way, and what was delivered since that was
			// last noted: a second's worth at most, not everything since the last checkpoint.
			if n := len(r.refused(t)); n > 8*len(kills) {
				t.Errorf("the upstream refused %d batches, which it had already", n)
			}
			r.stop(t)
		})
	}
}

// judgeStory compares what sender and receiver hold once the story has been told.
func judgeStory(t *testing.T, r *relay, from, receiver *prometheus) {
	t.Helper()
	sent := from.read(t)
	got := waitArrived(t, func() data { return receiver.read(t) }, sent)

	// Everything but the faulty counter: the same samples, bit for bit. The faulty one: the
	// truth's, bit for bit.
	faulty := seriesKey(t, sent, faultyName)
	truth := seriesKey(t, sent, truthName)
	want := data{}
	for key, points := range sent {
		want[key] = points
	}
	want[faulty] = want[truth]
	wantSame(t, got, want)

	// The sum of all steps is the truth's, and nothing ever falls.
	trueIncrease, falls := increaseOf(sent[truth])
	if falls != 0 || trueIncrease < 70 {
		t.Fatalf("the truth itself is wrong: increase %v, %d falls", trueIncrease, falls)
	}
	if increase, falls := increaseOf(got[faulty]); increase != trueIncrease || falls != 0 {
		t.Errorf("the relay's counter grew by %v with %d falls, want %v and none", increase, falls, trueIncrease)
	}
	if _, falls := increaseOf(sent[faulty]); falls != 2 {
		t.Errorf("the sender's counter fell %d times, the story tells of 2", falls)
	}

	// PromQL says so too: asked over the same timestamps its extrapolation is the same for
	// both counters, so their increases are equal to the last bit.
	at := sent.last()
	if tooMuch := scalar(t, receiver.url, excessQuery, at); tooMuch != 0 {
		t.Errorf("increase() behind the relay is %v more than the truth", tooMuch)
	}
	if tooMuch := scalar(t, from.url, excessQuery, at); tooMuch < 70_000 {
		t.Errorf("increase() at the sender is only %v more than the truth, the story is harmless", tooMuch)
	}

	kinds := r.kinds(t, faultyName)
	if kinds["loss"] != 1 || kinds["reset"] != 1 {
		t.Errorf("the relay's log tells of %v, want one loss and one reset", kinds)
	}
	if others := r.kinds(t, `{__name__!="`+faultyName+`"}`); len(others) > 0 {
		t.Errorf("the relay's log tells of corrections elsewhere: %v", others)
	}
}

// judgeAccounts compares the relay's own figures once the sender is gone and nothing waits any
// more: what was received has been delivered, or is counted as left out.
func judgeAccounts(t *testing.T, r *relay, from *prometheus) {
	t.Helper()
	from.kill()
	for deadline := time.Now().Add(15 * time.Second); r.metric(t, "pawl_backlog_samples") > 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the sender is gone and the relay still has a backlog")
		}
	}
	for _, kind := range []struct{ label, leftOut string }{
		{`type="sample"`, "pawl_duplicate_samples_total"},
		{`type="histogram"`, ""},
		{`type="exemplar"`, "pawl_forward_exemplars_dropped_total"},
	} {
		received := r.metric(t, "pawl_received_total", kind.label)
		settled := r.metric(t, "pawl_forwarded_total", kind.label) // delivered and rejected
		if kind.leftOut != "" {
			settled += r.metric(t, kind.leftOut)
		}
		if received != settled {
			t.Errorf("%s: %v received, %v delivered, rejected or left out", kind.label, received, settled)
		}
	}
}

// seriesKey gives the key of the one series of that name.
func seriesKey(t *testing.T, d data, name string) string {
	t.Helper()
	var found []string
	for key := range d {
		if nameOf(key) == name {
			found = append(found, key)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d series are named %s, want 1", len(found), name)
	}
	return found[0]
}
