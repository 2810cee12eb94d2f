package correct

import "errors"

// rows writes what has gone out ahead, see Histogram.Append.
func (w *writer) rows(h *Histogram) {
	a := h.ahead
	w.int(a.judged)
	*w = append(*w, byte(a.rows))
	for k := range int(a.rows) {
		w.int(a.t[a.at(k)])
		row, bits := a.row(k), len(*w)
		*w = append(*w, make([]byte, (len(h.parts)+7)/8)...)
		for i := range h.parts {
			if v := row[a.seats[i].rank]; v == v {
				(*w)[bits+i/8] |= 1 << (i % 8)
				w.float(v)
			}
		}
	}
}

// rows reads them.
func (r *reader) rows(h *Histogram) error {
	a := h.in.lend()
	h.ahead = a
	a.seat(h)
	judged := r.int()
	last := judged
	for range r.byte() {
		t, bits := r.int(), r.take((len(h.parts)+7)/8)
		if r.short {
			return errShort
		}
		if t <= last || a.rows == aheadRows {
			return errors.New("state record has rows out of order, or too many")
		}
		last = t
		a.push(h.in, t)
		for i := range h.parts {
			if bits[i/8]&(1<<(i%8)) == 0 {
				continue
			}
			v, p := r.float(), &h.parts[i]
			if !h.countable(p, v) || !p.c.Seen() || p.c.T > judged {
				return errors.New("state record has a row with a value that its part cannot have")
			}
			a.put(i, int(a.rows)-1, v)
		}
	}
	a.judged = judged
	h.aheadBase()
	if a.rows == 0 || !h.orderly() {
		return errors.New("state record has rows that are not in order")
	}
	return nil
}
