package relay

import (
	"testing"
	"time"

	"pawl/pkg/store"
)

// Rule: join_wait is over after join_wait, also when the machine's clock was an hour ahead before the relay was started again.
func TestJoinWaitIsOverThoughTheClockWasSteppedBack(t *testing.T) {
	dir := t.TempDir()
	j, err := store.OpenJournal(dir+"/journal", store.JournalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Append([]store.Record{{Time: time.Now().Add(time.Hour).UnixMilli(), Kind: store.KindTick}}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	up := newRecorder(t)
	r := start(t, dir, up.URL, "correct: {join_wait: 50ms}")
	fs := recycled()
	for k, f := range fs[:20] {
		r.pushParts(t0+int64(k)*15_000, false, f...)
	}
	r.pushParts(t0+20*15_000, false, fs[20][0])
	r.eventually("sent without its siblings", func() bool { return len(up.of(" latency_bucket 1000")) == 21 })
}
