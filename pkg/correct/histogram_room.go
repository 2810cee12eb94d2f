package correct

import "unsafe"

// partRoom is the memory that parts lie in. A slice of its own would have one of the sizes that Go has, and on the way there all the
// smaller ones; here it is exactly as long as it has to be, and one that is given up is the next histogram's.
type partRoom struct {
	rest   []part           // of the piece that is being given out
	free   map[int][][]part // by length
	pieces int
}

const (
	// pieceParts is how many parts a piece has, to fill 64 KB. The first ones are smaller, for who has few.
	pieceParts = 64 << 10 / partBytes
	leastParts = 16
	partBytes  = int(unsafe.Sizeof(part{}))
)

// take gives room for n parts, with nothing in it.
func (r *partRoom) take(n int) []part {
	if l := r.free[n]; len(l) > 0 {
		p := l[len(l)-1]
		r.free[n] = l[:len(l)-1]
		return p[:0]
	}
	if n > pieceParts/4 {
		return make([]part, 0, n)
	}
	if len(r.rest) < n {
		if len(r.rest) > 0 {
			r.give(r.rest)
		}
		r.rest = make([]part, max(min(leastParts<<min(r.pieces, 16), pieceParts), n))
		r.pieces++
	}
	p := r.rest[:0:n]
	r.rest = r.rest[n:]
	return p
}

// give takes room back.
func (r *partRoom) give(p []part) {
	n := cap(p)
	if n == 0 || n > pieceParts/4 {
		return // the collector's
	}
	if r.free == nil {
		r.free = map[int][][]part{}
	}
	r.free[n] = append(r.free[n], p[:0:n])
}

// resize gives h room for exactly n parts, no fewer than it has.
func (h *Histogram) resize(n int) {
	sh, old := h.shared(), h.parts
	h.parts = append(sh.parts.take(n), old...)
	sh.parts.give(old)
}

// rowRoom is the memory that rows lie in. It is lent by the block, and of every histogram for a short time: when a sender comes for the
// first time all of them have rows, and then next to none. So pieces that nobody has blocks of any more are given up at once, instead
// of being garbage until there is enough of that. The blocks of a piece are of one size.
type rowRoom struct {
	open [rowSizes][]*rowPiece // those with blocks left, by the size of these
	idle int                   // those of them of which nobody has a block
}

// rowPiece is cut into blocks.
type rowPiece struct {
	words []uint64
	size  int      // of a block, in rowUnits
	free  []uint16 // blocks
	place int      // in rowRoom.open, -1: it has none left
}

// rowBlock is a block of a piece.
type rowBlock struct {
	words []uint64
	piece *rowPiece // nil: the words are the collector's
	nth   uint16
}

const (
	rowPieceWords = 64 << 10 / 8
	rowUnit       = 8 // words, a line of the cache
	rowSizes      = rowPieceWords / 4 / rowUnit
	idlePieces    = 8 // are kept
)

// blocks is how many blocks a piece has.
func (p *rowPiece) blocks() int { return rowPieceWords / (p.size * rowUnit) }

// take gives a block of n words, all 0.
func (r *rowRoom) take(n int) rowBlock {
	size := (n + rowUnit - 1) / rowUnit
	if size == 0 || size >= rowSizes {
		return rowBlock{words: make([]uint64, n)}
	}
	if len(r.open[size]) == 0 {
		p := &rowPiece{words: make([]uint64, rowPieceWords), size: size, place: -1}
		for k := p.blocks(); k > 0; k-- {
			p.free = append(p.free, uint16(k-1))
		}
		r.enter(p)
		r.idle++
	}
	p := r.open[size][len(r.open[size])-1]
	last := len(p.free) - 1
	nth := p.free[last]
	if p.free = p.free[:last]; last+1 == p.blocks() {
		r.idle--
	}
	if last == 0 {
		r.leave(p)
	}
	from := int(nth) * size * rowUnit
	b := rowBlock{words: p.words[from : from+n], piece: p, nth: nth}
	clear(b.words)
	return b
}

// give takes a block back.
func (r *rowRoom) give(b rowBlock, unused func([]uint64)) {
	p := b.piece
	if p == nil {
		return
	}
	if p.free = append(p.free, b.nth); p.place < 0 {
		r.enter(p)
	}
	if len(p.free) == p.blocks() {
		if r.idle++; r.idle > idlePieces {
			r.giveUp(p, unused)
		}
	}
}

// trim gives up all pieces that nobody has blocks of.
func (r *rowRoom) trim(unused func([]uint64)) {
	for size := range r.open {
		for k := len(r.open[size]) - 1; k >= 0; k-- {
			if p := r.open[size][k]; len(p.free) == p.blocks() {
				r.giveUp(p, unused)
			}
		}
	}
}

func (r *rowRoom) giveUp(p *rowPiece, unused func([]uint64)) {
	r.idle--
	r.leave(p)
	if unused != nil {
		unused(p.words)
	}
}

// enter puts a piece to those that have blocks left: the last is taken from first.
func (r *rowRoom) enter(p *rowPiece) {
	p.place = len(r.open[p.size])
	r.open[p.size] = append(r.open[p.size], p)
}

func (r *rowRoom) leave(p *rowPiece) {
	open := r.open[p.size]
	last := len(open) - 1
	open[p.place] = open[last]
	open[p.place].place = p.place
	open[last] = nil
	p.place, r.open[p.size] = -1, open[:last]
}

// rowWords is how many words the seats of so many parts take, and so many rows.
func rowWords(parts, rows int) int { return (parts+1)/2 + rows*(parts+1) }

// cutRows divides so many words among them.
func cutRows(words []uint64, parts, rows int) (seats []aheadSeat, t []int64, v []float64) {
	first := unsafe.Pointer(unsafe.SliceData(words))
	word := func(k int) unsafe.Pointer { return unsafe.Add(first, k*8) }
	n := (parts + 1) / 2
	return unsafe.Slice((*aheadSeat)(first), parts), unsafe.Slice((*int64)(word(n)), rows), unsafe.Slice((*float64)(word(n+rows)), rows*parts)
}
