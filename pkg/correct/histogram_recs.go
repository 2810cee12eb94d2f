package correct

import "math"

// histRec is an epoch of a histogram, from the judgement of timestamp t on. For
// most parts it begins with their sample at t; for those that had gone out or
// were missing, with the next one.
type histRec struct {
	t, prev int64 // ms; prev is the timestamp before t
	start   int64 // start timestamp that goes out, if folded
	folded  bool
	vals    []histVal // by part
}

type histVal struct {
	off float64 // of the samples after at
	out float64 // what went out at at; their floor
	at  int64   // ms, of the part's last sample when t had been judged; noTime if it had none
}

// maxRecs bounds how far back late and repeated samples get their old bits: at
// the worst, a histogram that dips at every timestamp, 16 timestamps.
const maxRecs = 16

// rec is the record of timestamp t, nil if there is none.
func (cs *histCase) rec(t int64) *histRec {
	for k := len(cs.recs) - 1; k >= 0; k-- {
		if cs.recs[k].t == t {
			return &cs.recs[k]
		}
	}
	return nil
}

// record opens the epoch of the timestamp just judged. The oldest one's memory is used again.
func (h *Histogram) record(t, prev int64) {
	cs := h.cs
	var vals []histVal
	if len(cs.recs) == maxRecs {
		vals = cs.recs[0].vals[:0]
		copy(cs.recs, cs.recs[1:])
		cs.recs = cs.recs[:maxRecs-1]
	}
	for i := range cs.parts {
		at := int64(noTime)
		if h.parts[i].c.Seen() {
			at = h.parts[i].c.T
		}
		vals = append(vals, histVal{off: cs.parts[i].off, out: cs.parts[i].out, at: at})
	}
	cs.recs = append(cs.recs, histRec{t: t, prev: prev, folded: cs.folded, start: cs.history.startST, vals: vals})
}

// at is what goes out for an old sample of part i, and its start timestamp.
// free: there is no floor, as for a sum of negative observations.
func (cs *histCase) at(i int, s Sample, free bool) (float64, int64) {
	limit := math.Inf(1)
	for k := len(cs.recs) - 1; k >= 0; k-- {
		r := &cs.recs[k]
		if i >= len(r.vals) {
			continue // the part was not known yet
		}
		x := &r.vals[i]
		switch {
		case s.T == x.at:
			if x.at < r.t { // it went out before this judgement
				if k == 0 {
					return x.out, s.ST
				}
				r = &cs.recs[k-1]
			}
			return x.out, r.startOf(s.ST)
		case s.T > x.at:
			v := s.V
			if x.off != 0 {
				v += x.off
			}
			if v < x.out && !free {
				v = x.out
			}
			return min(v, limit), r.startOf(s.ST)
		case s.T > r.prev && !free:
			// Late, and from the very interval that was judged: no more than went out at its end.
			limit = min(limit, x.out)
		}
	}
	return min(s.V, limit), s.ST
}

func (r *histRec) startOf(st int64) int64 {
	if r.folded && st != 0 {
		return r.start
	}
	return st
}
