package correct_test

import (
	"bytes"
	"testing"

	"pawl/pkg/correct"
)

// Rule: whatever state a histogram comes to can be read again. Here the _count is three timestamps ahead when the first bucket comes, the time to
// wait is over twice, and a second bucket comes: the first one's first sample waits for its turn beside a late second one.
func TestAPartThatWentPastItsQueuedSampleIsReadAgain(t *testing.T) {
	h := &correct.Histogram{}
	h.Expect(false)
	low, high, count := h.Part(correct.RoleBucket, 0), h.Part(correct.RoleBucket, 1), h.Part(correct.RoleCount, 0)
	give := func(part int, t int64, v float64) {
		if s := (correct.Sample{T: t, V: v}); !h.Healthy(part, s) {
			h.Offer(part, correct.Policy{}, s, 1)
		}
	}
	give(count, 15_000, 10)
	give(count, 30_000, 20)
	give(count, 45_000, 30)
	give(low, 15_000, 10)
	h.Decide(correct.Policy{})
	h.Decide(correct.Policy{})
	give(high, 15_000, 1)
	give(low, 30_000, 20)
	record := h.Append(nil)
	again, err := correct.DecodeHistogram(record)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.Append(nil), record) {
		t.Error("it is another one")
	}
	for h.Waiting() {
		h.Decide(correct.Policy{})
		again.Decide(correct.Policy{})
		if !bytes.Equal(again.Append(nil), h.Append(nil)) {
			t.Error("it decides otherwise")
		}
	}
}
