package sequence

import (
	"testing"
	"testing/synctest"
	"time"
)

// Rule: while the machine's clock tells the time the journal's is the same. When it is put back the journal's neither falls nor stands
// still, however often something is written, and takes it up again once it has caught up.
func TestJournalTimeGoesOnWhenTheClockIsPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journalTime
		var wall, last int64 = 1_790_000_000_000, 0
		write := func() (ms int64) {
			least := j.least(time.Now())
			ms = max(wall, least, last) // the last as the journal does
			j.note(ms, least, time.Now())
			last = ms
			return ms
		}
		pass := func(d time.Duration) {
			time.Sleep(d)
			wall += d.Milliseconds()
		}
		for range 10_000 {
			pass(time.Millisecond)
			if got := write(); got != wall {
				t.Fatalf("it is %d at %d", got, wall)
			}
		}
		const back = 60_000
		before := wall
		wall -= back
		for range back {
			pass(time.Millisecond)
			write()
		}
		if went := last - before; went != back/2 {
			t.Errorf("in %d ms it went on by %d", back, went)
		}
		for range back + 1 {
			pass(time.Millisecond)
			write()
		}
		if last != wall {
			t.Errorf("it is %d, %d ms after the clock has caught up", last, wall-last)
		}
	})
}
