package correct

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// DecodeNative reads a state record. It checks what the engine relies on, so no
// bytes can make it panic, then or later.
func DecodeNative(b []byte) (*Native, error) {
	if len(b) == 0 {
		return nil, errShort
	}
	if b[0] != nativeRecordVersion {
		return nil, fmt.Errorf("native state record has version %d, known is %d", b[0], nativeRecordVersion)
	}
	r := nativeReader{b: b[1:]}
	n := &Native{}
	total := r.take(r.uint())
	if r.err != nil {
		return nil, r.err
	}
	if _, err := n.c.Decode(total); err != nil {
		return nil, err
	}
	if n.c.flags&flagCase != 0 {
		return nil, errors.New("native state record has a case of its total's")
	}
	if n.c.Seen() {
		r.native(n)
	}
	if r.err == nil && len(r.b) != 0 {
		r.err = fmt.Errorf("native state record has %d bytes too many", len(r.b))
	}
	if r.err != nil {
		return nil, r.err
	}
	return n, nil
}

// nativeReader reads until the first error, and gives zeros from then on.
type nativeReader struct {
	b   []byte
	err error
}

func (r *nativeReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("native state record "+format, args...)
	}
	r.b = nil
}

func (r *nativeReader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		if r.err == nil {
			r.err = errShort
		}
		r.b = nil
		return nil
	}
	x := r.b[:n]
	r.b = r.b[n:]
	return x
}

func (r *nativeReader) uint() uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.take(uint64(len(r.b)) + 1)
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *nativeReader) int() int64 {
	x, n := binary.Varint(r.b)
	if n <= 0 {
		r.take(uint64(len(r.b)) + 1)
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *nativeReader) byte() byte {
	if x := r.take(1); x != nil {
		return x[0]
	}
	return 0
}

func (r *nativeReader) float() float64 {
	if x := r.take(8); x != nil {
		return math.Float64frombits(binary.LittleEndian.Uint64(x))
	}
	return 0
}

// finite reads a float that must be a number.
func (r *nativeReader) finite() float64 {
	x := r.float()
	if math.IsNaN(x) || math.IsInf(x, 0) {
		r.fail("has a number of %v", x)
	}
	return x
}

// many reads how many follow, of at least size bytes each.
func (r *nativeReader) many(most, size uint64) int {
	n := r.uint()
	if n > most || n > uint64(len(r.b))/size {
		r.fail("has %d of what are at most %d", n, most)
		return 0
	}
	return int(n)
}

func (r *nativeReader) native(n *Native) {
	last := r.cells()
	count := r.finite()
	if r.err != nil {
		return
	}
	n.last = *last.histogram(count)
	if math.Float64bits(n.last.Sum) != math.Float64bits(last.sum) {
		n.last.Sum = last.sum
	}
	if !n.sound(&n.last) || count != n.c.Raw {
		r.fail("has a last sample that is not valid")
		return
	}
	if r.byte() == 0 {
		return
	}
	n.cs = r.theCase(&last)
}

func (r *nativeReader) theCase(last *cells) *nativeCase {
	cs := &nativeCase{book: book[nativeOwed]{history: Case{startST: r.int(), fold: fold{t: r.int()}}}}
	for _, x := range [...]*float32{&cs.history.resets, &cs.history.losses, &cs.history.returns} {
		if *x = float32(r.float()); !(*x >= 0 && *x <= historyMax+1) {
			r.fail("has a count of %v", *x)
		}
	}
	cs.history.seen = uint32(r.uint())
	epochs := r.many(nativeEpochs, 20)
	if epochs == 0 {
		r.fail("has no epoch")
	}
	for range epochs {
		e := nativeEpoch{from: r.int(), prev: r.int()}
		f := r.byte()
		e.folded, e.free, e.hint = f&1 != 0, f&2 != 0, f&4 != 0
		e.off, e.floor, e.count = r.cells(), r.cells(), r.finite()
		cs.epochs = append(cs.epochs, e)
	}
	for range r.many(maxDebts, 20) {
		cs.debts = append(cs.debts, r.debt())
	}
	cs.fold = r.debt()
	if r.err != nil {
		return nil
	}
	for i := range cs.epochs {
		if e := &cs.epochs[i]; !e.free {
			r.alike(last, e.off.grid, &e.floor)
		}
	}
	now := cs.now()
	for i := range cs.debts {
		r.alike(last, now.off.grid, &cs.debts[i].parts.amount, &cs.debts[i].parts.before)
	}
	if cs.fold.age > 0 {
		r.alike(last, now.off.grid, &cs.fold.parts.amount, &cs.fold.parts.before)
	}
	if now.free && (cs.fold.age > 0 || len(cs.debts) > 0) {
		r.fail("has debts without an offset")
	}
	return cs
}

// alike: what is added up is on the same grid, and exponential and custom buckets do not go together.
func (r *nativeReader) alike(last *cells, g grid, list ...*cells) {
	for _, c := range list {
		if !c.grid.same(g) || g.custom() != last.grid.custom() {
			r.fail("mixes layouts")
		}
	}
}

func (r *nativeReader) debt() nativeDebt {
	d := nativeDebt{debt: debt{t: r.int(), prev: r.int()}}
	f := r.byte()
	d.open, d.gap, d.back, d.age = f&1 != 0, f&2 != 0, f&4 != 0, r.byte()
	for _, x := range [...]*float64{&d.top, &d.value, &d.amount, &d.jitter, &d.base, &d.sum, &d.rise, &d.took} {
		*x = r.float()
	}
	d.parts.amount, d.parts.before = r.cells(), r.cells()
	return d
}

func (r *nativeReader) cells() (c cells) {
	schema := r.int()
	c.grid.schema = int32(schema)
	c.grid.zero = r.finite()
	for range r.many(math.MaxInt32, 8) {
		x := r.float()
		if k := len(c.grid.bounds); math.IsNaN(x) || math.IsInf(x, 1) || k > 0 && !(x > c.grid.bounds[k-1]) {
			r.fail("has bounds that do not increase")
		}
		c.grid.bounds = append(c.grid.bounds, x)
	}
	custom := c.grid.custom()
	switch {
	case schema != int64(c.grid.schema), !custom && (schema < -4 || schema > 8):
		r.fail("has schema %d", schema)
	case c.grid.zero < 0, custom && c.grid.zero != 0, !custom && c.grid.bounds != nil:
		r.fail("has a layout that does not fit its schema")
	}
	c.sum = r.float()
	at := uint64(1) << 63 // the lowest, in two's complement
	for k := range r.many(math.MaxInt32, 9) {
		d := r.uint()
		next := at + d
		x := cell{int64(next), r.finite()}
		if r.err != nil {
			break
		}
		if k > 0 && (d == 0 || x.at <= int64(at)) || x.n == 0 || !c.has(x.at) {
			r.fail("has a bucket out of place")
		}
		c.list = append(c.list, x)
		at = next
	}
	return c
}

// has reports whether the grid has such a bucket.
func (c *cells) has(at int64) bool {
	if at == cellNone {
		return true
	}
	if c.grid.custom() {
		return at >= cellSide && at <= cellSide+int64(len(c.grid.bounds))
	}
	i := max(at, -at) - cellSide
	return at == 0 || i >= -indexMax && i <= indexMax
}
