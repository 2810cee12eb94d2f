//go:build e2e

package e2e

import "testing"

// excessQuery asks by how much increase() of the faulty counter exceeds the truth.
const excessQuery = "sum(increase(" + faultyName + "[1h])) - sum(increase(" + truthName + "[1h]))"

// The harness itself: with no relay between them, sender and receiver hold the same, and
// the faulty counter is wrong at both by tens of thousands. Were this not so, the tests
// with the relay would prove nothing.
func TestWithoutRelayTheFaultyCounterIsWrongAtBothEnds(t *testing.T) {
	t.Parallel()
	for _, s := range []sender{{bin: "prometheus", message: messageV1}, {bin: "prometheus", message: messageV2}, {bin: "prometheus-debian"}} {
		t.Run(s.bin+" "+s.message, func(t *testing.T) {
			t.Parallel()
			tg := startTarget(t, story())
			receiver := startReceiver(t)
			from := s.start(t, tg, receiver.url+"/api/v1/write")
			<-tg.ended
			sent := from.read(t)
			got := waitArrived(t, func() data { return receiver.read(t) }, sent)
			wantSame(t, got, sent)
			for _, p := range []*prometheus{from, receiver} {
				if tooMuch := scalar(t, p.url, excessQuery, sent.last()); tooMuch < 70_000 {
					t.Errorf("%s shows only %v too much", p.name, tooMuch)
				}
			}
		})
	}
}
