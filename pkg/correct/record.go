package correct

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// The state record, little endian:
//
//	version 3, flags of the Counter, 1 if a Case follows
//	T, ST (8 bytes each), Raw, before (float64), lastMS (uint32)
//	sumDt, sumX, sumSq, peak, median (float32), n (uint16)
//	Case: startST, resets, losses, returns (float32), seen (uint32), fold (set, t, prev, top, offset),
//	the words if there is one (two of T, Start; Fell, Of uint32),
//	count of epochs (1 byte) and them, count of debts (1 byte) and them
//
// A reader of a later version reads the earlier ones; an unknown version is an error.
const recordVersion = 3

const (
	counterBytes = 3 + 8 + 8 + 8 + 8 + 4 + 5*4 + 2
	caseBytes    = 8 + 3*4 + 4 + 1 + 4*8
	epochBytes   = 4*8 + 1
	debtBytes    = 11*8 + 2
)

var errShort = errors.New("state record ends early")

// Append adds the state record of c and its Case (nil if it has none) to b.
func (c *Counter) Append(b []byte, cs *Case) []byte {
	has := byte(0)
	if cs != nil {
		has = 1
	}
	w := writer(append(b, recordVersion, c.flags, has))
	w.int(c.T)
	w.int(c.ST)
	w.float(c.Raw)
	w.float(c.before)
	w.uint32(c.lastMS)
	w.float32(c.sumDt)
	w.float32(c.sumX)
	w.float32(c.sumSq)
	w.float32(c.peak)
	w.float32(c.median)
	w = binary.LittleEndian.AppendUint16(w, uint16(c.n))
	if cs != nil {
		w.theCase(cs)
	}
	return w
}

type writer []byte

func (w *writer) int(x int64)       { *w = binary.LittleEndian.AppendUint64(*w, uint64(x)) }
func (w *writer) uint32(x uint32)   { *w = binary.LittleEndian.AppendUint32(*w, x) }
func (w *writer) float(x float64)   { *w = binary.LittleEndian.AppendUint64(*w, math.Float64bits(x)) }
func (w *writer) float32(x float32) { w.uint32(math.Float32bits(x)) }

func (w *writer) flags(set ...bool) {
	var b byte
	for i, s := range set {
		if s {
			b |= 1 << i
		}
	}
	*w = append(*w, b)
}

func (w *writer) theCase(cs *Case) {
	w.int(cs.startST)
	w.float32(cs.resets)
	w.float32(cs.losses)
	w.float32(cs.returns)
	w.uint32(cs.seen)
	w.flags(cs.fold.set, cs.words.any())
	w.int(cs.fold.t)
	w.int(cs.fold.prev)
	w.float(cs.fold.top)
	w.float(cs.fold.offset)
	w.words(cs.words)
	*w = append(*w, byte(len(cs.epochs)))
	for _, e := range cs.epochs {
		w.int(e.from)
		w.int(e.prev)
		w.float(e.offset)
		w.float(e.floor)
		w.flags(e.folded, e.free)
	}
	*w = append(*w, byte(len(cs.debts)))
	for _, d := range cs.debts {
		w.int(d.t)
		w.int(d.prev)
		for _, x := range [...]float64{d.top, d.value, d.amount, d.offset, d.jitter, d.base, d.sum, d.rise, d.took} {
			w.float(x)
		}
		w.flags(d.open, d.gap, d.back)
		*w = append(*w, d.age)
	}
}

// Decode reads a state record. On an error c is unchanged. It checks what the
// engine relies on, so no bytes can make it panic, then or later.
func (c *Counter) Decode(b []byte) (*Case, error) {
	if len(b) == 0 {
		return nil, errShort
	}
	if b[0] != recordVersion {
		return nil, fmt.Errorf("state record has version %d, known is %d", b[0], recordVersion)
	}
	if len(b) < counterBytes {
		return nil, errShort
	}
	r := reader{b: b[3:]}
	n := Counter{flags: b[1], kin: c.kin}
	n.T, n.ST, n.Raw, n.before = r.int(), r.int(), r.float(), r.float()
	n.lastMS = r.uint32()
	n.sumDt, n.sumX, n.sumSq, n.peak, n.median = r.float32(), r.float32(), r.float32(), r.float32(), r.float32()
	steps := r.uint16()
	if steps > paceWindow {
		return nil, fmt.Errorf("state record has %d steps, at most %d are remembered", steps, paceWindow)
	}
	n.n = uint8(steps)
	if err := n.check(b[2]); err != nil {
		return nil, err
	}
	var cs *Case
	if b[2] == 1 {
		var err error
		if cs, err = r.theCase(); err != nil {
			return nil, err
		}
	}
	if r.short {
		return nil, errShort
	}
	if len(r.b) != 0 {
		return nil, fmt.Errorf("state record has %d bytes too many", len(r.b))
	}
	*c = n
	return cs, nil
}

func (c *Counter) check(hasCase byte) error {
	caseFlag := byte(0)
	if c.flags&flagCase != 0 {
		caseFlag = 1
	}
	sums := [...]float32{c.sumDt, c.sumX, c.sumSq, c.peak, c.median}
	for _, x := range sums {
		if !(x >= 0) || x > math.MaxFloat32 {
			return fmt.Errorf("state record has a sum of %v", x)
		}
	}
	switch {
	case c.flags&^knownFlag != 0:
		return fmt.Errorf("state record has unknown flags %#x", c.flags)
	case hasCase != caseFlag:
		return errors.New("state record's flags and its case disagree")
	case !plain(c.Raw) || !plain(c.before):
		return fmt.Errorf("state record has value %v after %v", c.Raw, c.before)
	case c.n > 0 && c.sumDt == 0:
		return fmt.Errorf("state record has %d steps in no time", c.n)
	}
	return nil
}

// plain: a value that a counter can have.
func plain(v float64) bool { return v >= 0 && v <= math.MaxFloat64 }

// words writes what was heard, if anything was.
func (w *writer) words(ws words) {
	if !ws.any() {
		return
	}
	for _, x := range ws {
		w.int(x.T)
		w.int(x.Start)
		w.uint32(x.Fell)
		w.uint32(x.Of)
	}
}

func (r *reader) words() (ws words) {
	for k := range ws {
		ws[k] = Word{T: r.int(), Start: r.int(), Fell: r.uint32(), Of: r.uint32()}
	}
	return ws
}

type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if len(r.b) < n {
		r.short, r.b = true, nil
		return make([]byte, n)
	}
	x := r.b[:n]
	r.b = r.b[n:]
	return x
}

func (r *reader) byte() byte       { return r.take(1)[0] }
func (r *reader) uint16() uint16   { return binary.LittleEndian.Uint16(r.take(2)) }
func (r *reader) uint32() uint32   { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) int() int64       { return int64(binary.LittleEndian.Uint64(r.take(8))) }
func (r *reader) float() float64   { return math.Float64frombits(binary.LittleEndian.Uint64(r.take(8))) }
func (r *reader) float32() float32 { return math.Float32frombits(r.uint32()) }

func (r *reader) theCase() (*Case, error) {
	cs := &Case{startST: r.int(), resets: r.float32(), losses: r.float32(), returns: r.float32(), seen: r.uint32()}
	flags := r.byte()
	cs.fold.set = flags&1 != 0
	cs.fold.t, cs.fold.prev, cs.fold.top, cs.fold.offset = r.int(), r.int(), r.float(), r.float()
	if flags&2 != 0 {
		cs.words = r.words()
	}
	for _, x := range [...]float32{cs.resets, cs.losses, cs.returns} {
		if !(x >= 0 && x <= historyMax+1) {
			return nil, fmt.Errorf("state record has a count of %v", x)
		}
	}
	epochs := int(r.byte())
	if epochs == 0 || epochs > maxEpochs {
		return nil, fmt.Errorf("state record has %d epochs", epochs)
	}
	for range epochs {
		e := epoch{from: r.int(), prev: r.int(), offset: r.float(), floor: r.float()}
		f := r.byte()
		e.folded, e.free = f&1 != 0, f&2 != 0
		cs.epochs = append(cs.epochs, e)
	}
	debts := int(r.byte())
	if debts > maxDebts {
		return nil, fmt.Errorf("state record has %d debts", debts)
	}
	for range debts {
		d := debt{t: r.int(), prev: r.int()}
		for _, x := range [...]*float64{&d.top, &d.value, &d.amount, &d.offset, &d.jitter, &d.base, &d.sum, &d.rise, &d.took} {
			*x = r.float()
		}
		f := r.byte()
		d.open, d.gap, d.back, d.age = f&1 != 0, f&2 != 0, f&4 != 0, r.byte()
		cs.debts = append(cs.debts, d)
	}
	return cs, nil
}
