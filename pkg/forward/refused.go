package forward

import (
	"context"
	"fmt"
	"time"

	"pawl/internal/killpoint"
	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// maxHalves bounds how many further requests one refused batch may cost: an
// upstream that refuses everything must not be asked a thousand times. It
// finds one guilty series among 2,000 in 22 requests, and several.
const maxHalves = 64

// findGuilty sends a refused batch again in halves, and those that are
// refused in halves again, so that only the series that the upstream does not
// want end up in the rejected store. One poison series must not cost the rest
// of its batch: some receivers store nothing of a request with one bad sample
// (Prometheus, remote write 1.0). A half is settled with all its halves before the next one is sent, for a series may
// stand in both, as in a batch of samples that were held. Not settled when ctx ended, another
// configuration came first, or the batch gave up its place: then the whole of it
// is sent again, and what the upstream has of it already it takes as a repetition.
func (f *Forwarder) findGuilty(ctx context.Context, p *part, up *upstream, body []byte, kept rewrite.Counts, ans answer) (c course, err error) {
	type piece struct {
		body    []byte
		kept    rewrite.Counts
		ans     answer
		refused bool // else it was not sent yet
	}
	budget := maxHalves
	if p.Replay {
		budget = 0 // most likely all of it is there already
	}
	todo := []piece{{body, kept, ans, true}} // the next one last
	for len(todo) > 0 {
		g := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !g.refused {
			if g.ans, c = f.sendUntilSettled(ctx, p, up, g.body, g.kept); c != settled {
				return c, nil
			}
			if g.ans.verdict != refused {
				f.metrics.delivered(g.kept)
				f.metrics.arrived(p.Time)
				continue
			}
		}
		if budget >= 2 {
			first, second, counts, ok, err := rewrite.Split(up.version, g.body)
			if err != nil {
				panic(fmt.Sprintf("BUG: batch %d was encoded and cannot be split: %v", p.Seq, err))
			}
			if ok {
				budget -= 2
				todo = append(todo, piece{body: second, kept: counts[1]}, piece{body: first, kept: counts[0]})
				continue
			}
		}
		if err := f.reject(p.Item, p.lane.tenant, g.body, up.version, g.kept, g.ans); err != nil {
			return ended, err
		}
	}
	return settled, nil
}

// reject puts what the upstream refused for good into the rejected store; it
// is durable there before it counts as settled.
func (f *Forwarder) reject(it Item, tenant string, body []byte, v rewrite.Version, kept rewrite.Counts, ans answer) error {
	say, what := f.log.Error, "upstream refused samples for good; they are kept in the rejected store (GET /api/v1/rejected)"
	if it.Replay {
		say, what = f.log.Warn, what+"; they may have been delivered before the last stop, and be refused as a repetition"
	}
	if more, ok := f.refusals.may(); ok {
		say(what, "batch", it.Seq, "status", ans.status, "samples", kept.Samples+kept.Histograms, "answer", ans.err, "batches_not_logged", more)
	}
	killpoint.At(killpoint.RejectWrite)
	err := f.rejected.Add(store.Rejected{
		Time: time.Now().UnixMilli(), Tenant: tenant, Version: uint8(v), Status: ans.status,
		Answer: ans.body, Samples: uint32(kept.Samples + kept.Histograms), Body: body,
	})
	if err != nil {
		return fmt.Errorf("keep the refused batch %d: %w", it.Seq, err)
	}
	killpoint.At(killpoint.RejectSettle)
	f.metrics.rejected(kept)
	return nil
}
