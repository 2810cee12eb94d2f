package correct

import (
	"encoding/binary"
	"math"
)

// The state record of a Native; integers are varints, floats 8 bytes little endian:
//
//	version 3
//	length and record of the total (Counter.Append)
//	the last sample, if one was seen: cells, count
//	1 if a case follows: startST, when it was reset last (t), resets, losses, returns, seen
//	  count of epochs and them: from, prev, flags, off and floor (cells), count
//	  count of debts and them, then the fold: t, prev, flags, age, top, value, amount, jitter, base, sum, rise, took, amount and before (cells)
//	cells: schema, zero threshold, count of bounds and them, sum, count of buckets and per bucket the distance to the one before and its count
//
// Empty buckets are not kept.
const nativeRecordVersion = 3

// Append adds the state record of n to b.
func (n *Native) Append(b []byte) []byte {
	total := n.c.Append(nil, nil)
	w := nativeWriter(append(b, nativeRecordVersion))
	w.uint(uint64(len(total)))
	w = append(w, total...)
	if !n.c.Seen() {
		return w
	}
	last := cellsOf(&n.last)
	w.cells(&last)
	w.float(n.last.Count)
	if n.cs == nil {
		return append(w, 0)
	}
	w = append(w, 1)
	cs := n.cs
	w.int(cs.history.startST)
	w.int(cs.history.fold.t)
	for _, x := range [...]float32{cs.history.resets, cs.history.losses, cs.history.returns} {
		w.float(float64(x))
	}
	w.uint(uint64(cs.history.seen))
	w.uint(uint64(len(cs.epochs)))
	for i := range cs.epochs {
		e := &cs.epochs[i]
		w.int(e.from)
		w.int(e.prev)
		w.flags(e.folded, e.free, e.hint)
		w.cells(&e.off)
		w.cells(&e.floor)
		w.float(e.count)
	}
	w.uint(uint64(len(cs.debts)))
	for i := range cs.debts {
		w.debt(&cs.debts[i])
	}
	w.debt(&cs.fold)
	return w
}

type nativeWriter []byte

func (w *nativeWriter) uint(x uint64) { *w = binary.AppendUvarint(*w, x) }
func (w *nativeWriter) int(x int64)   { *w = binary.AppendVarint(*w, x) }
func (w *nativeWriter) float(x float64) {
	*w = binary.LittleEndian.AppendUint64(*w, math.Float64bits(x))
}

func (w *nativeWriter) flags(set ...bool) {
	var b byte
	for i, s := range set {
		if s {
			b |= 1 << i
		}
	}
	*w = append(*w, b)
}

func (w *nativeWriter) cells(c *cells) {
	w.int(int64(c.grid.schema))
	w.float(c.grid.zero)
	w.uint(uint64(len(c.grid.bounds)))
	for _, x := range c.grid.bounds {
		w.float(x)
	}
	w.float(c.sum)
	w.uint(uint64(len(c.list)))
	at := int64(math.MinInt64)
	for _, x := range c.list {
		w.uint(uint64(x.at) - uint64(at))
		w.float(x.n)
		at = x.at
	}
}

func (w *nativeWriter) debt(d *nativeDebt) {
	w.int(d.t)
	w.int(d.prev)
	w.flags(d.open, d.gap, d.back)
	*w = append(*w, d.age)
	for _, x := range [...]float64{d.top, d.value, d.amount, d.jitter, d.base, d.sum, d.rise, d.took} {
		w.float(x)
	}
	w.cells(&d.parts.amount)
	w.cells(&d.parts.before)
}
