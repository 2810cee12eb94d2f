package sequence

import "time"

// journalTime keeps the journal's time going when the machine's clock is put back. It never falls, so it would stand still until the
// clock has caught up, and what waits in it would wait so much longer: it goes on at half the pace, as the monotonic clock tells.
type journalTime struct {
	then int64     // ms: what the machine's clock said when it last was ahead
	at   time.Time // when that was; zero: nothing was written yet
}

// least is the earliest time that a record written now may have, in ms.
func (j *journalTime) least(now time.Time) int64 {
	if j.at.IsZero() {
		return 0
	}
	return j.then + now.Sub(j.at).Milliseconds()/2
}

// note takes down the time of a record that was written at a moment when it could have had the least.
func (j *journalTime) note(ms, least int64, now time.Time) {
	if j.at.IsZero() || ms > least {
		j.then, j.at = ms, now
	}
}
