package correct

// With resets: mark a full reset goes out as it is, with a 0 before it: readers
// see it whether the raw values show it or not, and no offset is left.
//
//   - The 0 goes out 1 ms after the sample before, so that all that was counted since the
//     restart is spread over the whole interval. Where something else went out since (a stale marker, a value
//     that no counter has), it goes out 1 ms before the sample instead, or it would be out of order.
//   - Two samples 1 ms apart have no room for it. Then the reset goes out without where what
//     goes out falls anyhow, and is folded where it does not.
//   - A 0 cannot be taken back: a fold that turns out a glitch is revoked, a marked reset is not.
//   - A reset while what goes out is held above raw (a dip that has not come back yet) is folded: what
//     grows next makes up for that first.
//   - A reset that was in doubt and is decided only after it has grown on is folded: that growth has been counted.
//   - A classic histogram is marked as a whole or folded as a whole: it is folded when a part
//     had gone out before the reset was seen, or is missing. A native one needs no 0: its hint says it.

// zeroMark is a 0 that goes out before a sample.
type zeroMark struct {
	at  int64 // ms
	set bool
}

// zeroBetween is where a 0 goes between the sample at prevT and the one at t
// (ms); flags are the counter's before it moved on to that. ok is false when there is no room.
func zeroBetween(prevT, t int64, flags uint8) (at int64, ok bool) {
	if t-prevT < 2 {
		return 0, false
	}
	if flags&(flagAway|flagOdd) != 0 {
		return t - 1, true
	}
	return prevT + 1, true
}

// mark lets a full reset out with a 0 before it; held is what went out last.
// It reports false when that cannot be shown, and has then done nothing.
func (e *enactor) mark(held float64) bool {
	s := &e.step
	if e.cs.now().from == s.t {
		return false // a drop before was decided at this sample, and what that adds has not gone out yet
	}
	if held > s.prev+e.cs.now().offset {
		return false // what is held above raw is still to be made up for
	}
	switch at, ok := zeroBetween(s.prevT, s.t, e.c.flags); {
	case held == 0: // there is one
	case ok:
		e.zero = zeroMark{at, true}
	case s.raw >= held:
		return false
	}
	e.beginFree()
	return true
}

// mark lets a full reset of the whole out as it is, each part with a 0 before
// it. It reports false when that cannot be shown, and has then done nothing.
func (e *histJudge) mark() bool {
	if e.shifted() {
		return false // a drop before was decided at this timestamp, and what that adds has not gone out yet
	}
	zeros := make([]zeroMark, len(e.f.seats))
	for i := range e.f.seats {
		s, p, out := &e.f.seats[i], &e.h.parts[i], e.cs.parts[i].out
		if !p.c.Seen() || out <= 0 && p.c.kin.role != RoleSum || p.c.T < e.f.prevT && !s.has {
			continue // there is nothing to mark, or it is not there any more
		}
		if !s.has || s.gone {
			return false
		}
		if e.overdue(i) {
			return false // what is held above raw is still to be made up for
		}
		at, ok := zeroBetween(s.prevT, s.held.T, p.c.flags)
		if !ok {
			return false
		}
		zeros[i] = zeroMark{at, out > 0} // a sum below 0 would rise to it
	}
	e.free, e.zeros, e.cs.folded = true, zeros, false
	return true
}
