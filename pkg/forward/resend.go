package forward

import (
	"context"
	"fmt"

	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// Resent is what became of a refused batch that was sent once more.
type Resent struct {
	Accepted bool
	Refused  bool   // again and for good; neither: the upstream could not be asked, or would not answer for good
	Status   int    // HTTP, 0 without an answer
	Answer   string // what the upstream said, or why there is no answer
}

// Resend makes one attempt to send a refused batch again, the very bytes, by the configuration of the upstream in force now; only a
// batch of the other version of remote write is written anew, with the same samples. write_relabel_configs were applied when it was
// refused and are not again. It is neither counted in the Mark nor among what is forwarded: the batch was settled when it was refused.
//
// It goes out beside what is live and later than its successors, so an upstream that keeps order per series may refuse it for that.
func (f *Forwarder) Resend(ctx context.Context, b store.Rejected) (Resent, error) {
	if b.Body == nil {
		return Resent{}, fmt.Errorf("batch %d was too large for its body to be kept", b.Seq)
	}
	var batch rewrite.Batch
	if err := batch.Decode(rewrite.Version(b.Version), b.Tenant, b.Body, rewrite.Limits{}); err != nil {
		return Resent{}, fmt.Errorf("batch %d cannot be decoded: %w", b.Seq, err)
	}
	up := f.upstream.Load()
	body, counts, err := batch.Encode(nil, up.version, nil)
	if err != nil {
		return Resent{}, fmt.Errorf("batch %d cannot be written as remote write %d: %w", b.Seq, up.version, err)
	}
	ans := up.client.send(ctx, b.Tenant, body, counts, 0)
	if ctx.Err() != nil && ans.verdict != taken {
		return Resent{}, ctx.Err()
	}
	r := Resent{Accepted: ans.verdict == taken, Refused: ans.verdict == refused, Status: ans.status, Answer: ans.body}
	if ans.note != "" {
		r.Answer = ans.note
	}
	if !r.Accepted && !r.Refused {
		r.Answer = ans.err.Error()
	}
	return r, nil
}
