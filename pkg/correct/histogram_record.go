package correct

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sort"
)

// The state record of a histogram, little endian:
//
//	version 9, flags (there is a histCase, there are rows); how many timestamps until its parts are known (byte, 0: they are); count of parts (uint16) and them:
//	  role, flags, le, older (float64), olderMS (uint32), Raw, before (float64), and the
//	  record of the Counter without these two, with its length (uint16) in front
//	histCase: counts of what it did before (resets, losses, returns float32, seen uint32, startST, and the last full reset's t int64),
//	  judged, acted, owed, flags (watch, folded, fold, word), holds, the words; per part off, tgt, out,
//	  and its epochs (at, out, off, flags); debts, the fold, the queue: per sample its part, flags (pass,
//	  gone, anew), tag, T, V, ST, and, if it has gone, what went out
//
//	rows of what has gone out ahead: judged, their number (byte), of each its t, a bit for every part
//	  that has come for it, the first part's the lowest of the first byte, and their values
//
// Links along le and what follows from the queue are built again.
const histVersion = 9

const (
	// maxQueue bounds what a record may say is queued.
	maxQueue = 1 << 20
	// histPartBytes is the least that a part takes, so that no length makes a reader allocate more than it was given.
	histPartBytes = 2 + 3*8 + 4 + 8 + 2 + counterBytes
)

func (w *writer) uint16(x int) { *w = binary.LittleEndian.AppendUint16(*w, uint16(x)) }

// Append adds the state record of h to b, what is held included.
func (h *Histogram) Append(b []byte) []byte {
	w := writer(append(b, histVersion))
	w.flags(h.cs != nil, h.running())
	w = append(w, h.young)
	w.uint16(len(h.parts))
	for i := range h.parts {
		p := &h.parts[i]
		w = append(w, byte(p.c.kin.role), p.c.kin.flags)
		le := 0.0
		if p.c.kin.role == RoleBucket {
			le = h.le(p)
		}
		w.float(le)
		w.float(p.older)
		w.uint32(p.olderMS)
		w.float(p.c.Raw)
		w.float(p.c.before)
		c := p.c
		c.Raw, c.before = 0, 0 // a _sum's may be negative, which is none of a Counter's
		at := len(w)
		w.uint16(0)
		w = c.Append(w, nil)
		binary.LittleEndian.PutUint16(w[at:], uint16(len(w)-at-2))
	}
	if h.cs != nil {
		w.histCase(h.cs)
	}
	if h.running() {
		w.rows(h)
	}
	return w
}

func (w *writer) histCase(cs *histCase) {
	w.float32(cs.history.resets)
	w.float32(cs.history.losses)
	w.float32(cs.history.returns)
	w.uint32(cs.history.seen)
	w.int(cs.history.startST)
	w.int(cs.history.fold.t)
	w.int(cs.judged)
	w.int(cs.acted)
	w.int(cs.owed)
	w.flags(cs.watch, cs.folded, cs.fold.age == 1, cs.words.any())
	*w = append(*w, cs.holds)
	w.words(cs.words)
	for i := range cs.parts {
		w.float(cs.parts[i].off)
		w.float(cs.parts[i].tgt)
		w.float(cs.parts[i].out)
		*w = append(*w, byte(len(cs.parts[i].epochs)))
		for _, e := range cs.parts[i].epochs {
			w.int(e.at)
			w.float(e.out)
			w.float(e.off)
			*w = append(*w, e.flags)
		}
	}
	*w = append(*w, byte(len(cs.debts)))
	for k := range cs.debts {
		w.histDebt(&cs.debts[k])
	}
	if cs.fold.age == 1 {
		w.histDebt(&cs.fold)
	}
	w.uint32(uint32(len(cs.queue)))
	for _, x := range cs.queue {
		w.uint16(int(x.part))
		w.flags(x.pass, x.gone, x.anew)
		w.int(int64(x.tag))
		w.int(x.s.T)
		w.float(x.s.V)
		w.int(x.s.ST)
		if x.gone {
			w.float(x.out)
		}
	}
}

func (w *writer) histDebt(d *histDebt) {
	w.int(d.t)
	w.int(d.prev)
	for _, x := range [...]float64{d.top, d.value, d.amount, d.jitter, d.base, d.sum, d.rise, d.took} {
		w.float(x)
	}
	w.flags(d.open, d.gap, d.back)
	*w = append(*w, d.age)
	w.uint16(len(d.parts))
	for _, o := range d.parts {
		w.float(o.amount)
		w.float(o.top)
	}
}

// DecodeHistogram reads a state record. It checks what the engine relies on,
// so no bytes can make it panic, then or later.
func DecodeHistogram(b []byte) (*Histogram, error) { return new(Shared).DecodeHistogram(b) }

// DecodeHistogram is the same for a histogram that shares.
func (sh *Shared) DecodeHistogram(b []byte) (*Histogram, error) {
	h := &Histogram{in: sh}
	if err := h.decode(b); err != nil {
		h.Release()
		return nil, err
	}
	return h, nil
}

func (h *Histogram) decode(b []byte) error {
	if len(b) == 0 {
		return errShort
	}
	if b[0] != histVersion {
		return fmt.Errorf("state record of a histogram has version %d, known is %d", b[0], histVersion)
	}
	r := reader{b: b[1:]}
	flags := r.byte()
	hasCase, hasRows := flags&1 != 0, flags&2 != 0
	if flags > 2 {
		return fmt.Errorf("state record of a histogram has flags %#x", flags)
	}
	if h.young = r.byte(); h.young > youngMost {
		return fmt.Errorf("state record of a histogram waits for %d timestamps, at most %d are", h.young, youngMost)
	}
	n := int(r.uint16())
	if n > maxParts || n*histPartBytes > len(r.b) {
		return errShort
	}
	h.Room(n)
	for range n {
		if err := r.part(h); err != nil {
			return err
		}
	}
	if hasCase {
		if err := r.histCase(h); err != nil {
			return err
		}
	}
	if hasRows {
		if err := r.rows(h); err != nil {
			return err
		}
	}
	switch {
	case r.short:
		return errShort
	case len(r.b) != 0:
		return fmt.Errorf("state record has %d bytes too many", len(r.b))
	}
	return nil
}

func (r *reader) part(h *Histogram) error {
	role, flags := Role(r.byte()), r.byte()
	le, older, olderMS, raw, before := r.float(), r.float(), r.uint32(), r.float(), r.float()
	record := r.take(int(r.uint16()))
	if r.short {
		return errShort
	}
	if role > RoleSum || flags&^partFlags != 0 {
		return fmt.Errorf("state record has a part of role %d with flags %#x", role, flags)
	}
	for _, v := range [...]float64{older, raw, before} {
		if !plain(v) && !(role == RoleSum && v < 0 && v >= -math.MaxFloat64) {
			return fmt.Errorf("state record has value %v", v)
		}
	}
	known := len(h.parts)
	i := h.Part(role, le)
	if i != known {
		return fmt.Errorf("state record has part %d, le %v, twice", role, le)
	}
	p := &h.parts[i]
	if _, err := p.c.Decode(record); err != nil {
		return err
	}
	p.older, p.olderMS, p.c.kin.flags = older, olderMS, flags
	p.c.Raw, p.c.before = raw, before
	if p.c.Seen() {
		h.came(i, p.c.T)
		p.c.kin.flags = flags
	}
	return nil
}

func (r *reader) histCase(h *Histogram) error {
	cs := &histCase{suspect: noTime, parts: make([]histPart, len(h.parts))}
	cs.history = Case{resets: r.float32(), losses: r.float32(), returns: r.float32(), seen: r.uint32(), startST: r.int(), fold: fold{t: r.int()}}
	for _, x := range [...]float32{cs.history.resets, cs.history.losses, cs.history.returns} {
		if !(x >= 0 && x <= historyMax+1) {
			return fmt.Errorf("state record has a count of %v", x)
		}
	}
	cs.judged, cs.acted, cs.owed = r.int(), r.int(), r.int()
	flags := r.byte()
	cs.watch, cs.folded = flags&1 != 0, flags&2 != 0
	cs.holds = r.byte()
	if flags&8 != 0 {
		cs.words = r.words()
	}
	for i := range cs.parts {
		cs.parts[i] = histPart{off: r.float(), tgt: r.float(), out: r.float(), first: noTime, reach: math.MinInt64}
		if err := r.histEpochs(&cs.parts[i]); err != nil {
			return err
		}
	}
	debts := int(r.byte())
	if debts > maxDebts {
		return fmt.Errorf("state record has %d debts", debts)
	}
	for range debts {
		d, err := r.histDebt(len(h.parts))
		if err != nil {
			return err
		}
		cs.debts = append(cs.debts, d)
	}
	if flags&4 != 0 {
		d, err := r.histDebt(len(h.parts))
		if err != nil {
			return err
		}
		d.age = 1
		cs.fold = d
	}
	h.cs = cs
	return r.queue(h)
}

func (r *reader) histEpochs(hp *histPart) error {
	n := int(r.byte())
	if n > maxHistEpochs {
		return fmt.Errorf("state record has %d epochs", n)
	}
	for range n {
		e := histEpoch{at: r.int(), out: r.float(), off: r.float(), flags: r.byte()}
		if r.short {
			return errShort
		}
		if e.flags&^epochFlags != 0 {
			return fmt.Errorf("state record has an epoch with flags %#x", e.flags)
		}
		hp.epochs = append(hp.epochs, e)
	}
	return nil
}

func (r *reader) histDebt(known int) (d histDebt, err error) {
	d.t, d.prev = r.int(), r.int()
	for _, x := range [...]*float64{&d.top, &d.value, &d.amount, &d.jitter, &d.base, &d.sum, &d.rise, &d.took} {
		*x = r.float()
	}
	f := r.byte()
	d.open, d.gap, d.back, d.age = f&1 != 0, f&2 != 0, f&4 != 0, r.byte()
	parts := int(r.uint16())
	if parts > known {
		return d, errors.New("state record has a debt of unknown parts")
	}
	for range parts {
		d.parts = append(d.parts, histOwed{amount: r.float(), top: r.float()})
	}
	if r.short {
		return d, errShort
	}
	return d, nil
}

func (r *reader) queue(h *Histogram) error {
	n := int(r.uint32())
	const each = 2 + 1 + 8 + 8 + 8 + 8
	if n > maxQueue || n*each > len(r.b) {
		return errShort
	}
	cs := h.cs
	for range n {
		x := queued{part: r.uint16()}
		flags := r.byte()
		x.pass, x.gone, x.anew = flags&1 != 0, flags&2 != 0, flags&4 != 0
		if flags&^7 != 0 {
			return fmt.Errorf("state record queues a sample with flags %#x", flags)
		}
		x.tag, x.s = uint64(r.int()), Sample{T: r.int(), V: r.float(), ST: r.int()}
		if x.gone {
			x.out = r.float()
		}
		if int(x.part) >= len(h.parts) || !x.pass && !h.countable(&h.parts[x.part], x.s.V) {
			return fmt.Errorf("state record queues %v of part %d", x.s.V, x.part)
		}
		cs.queue = append(cs.queue, x)
	}
	if !sort.SliceIsSorted(cs.queue, func(a, b int) bool { return cs.queue[a].s.T < cs.queue[b].s.T }) {
		return errors.New("state record queues samples out of order")
	}
	cs.drop(0)
	return nil
}
