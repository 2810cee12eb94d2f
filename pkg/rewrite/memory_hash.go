package rewrite

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
)

// Label blocks outside these lengths, in bytes, are not remembered.
const (
	leastBlock = 16
	mostBlock  = 2 << 10
)

// blockHash hashes a tenant and a label block to 64 bits under a random key of
// this process. For any two different blocks of one length, or the same block
// of two tenants, whoever chose them, the hashes agree with a probability of at
// most 2^-63 over the choice of the key: NH over words of 64 bits (Black and
// others, UMAC, CRYPTO '99, theorem 4.2) to 128 bits, then multiply-shift
// (Dietzfelbinger, STACS '96) to 64. It is not a MAC: the hashes must not get out.
type blockHash struct {
	tenant [2]uint64
	fold   [4]uint64
	words  *[mostBlock/8 + 2]uint64
}

func newBlockHash() blockHash {
	h := blockHash{words: new([mostBlock/8 + 2]uint64)}
	word := func() uint64 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		return binary.LittleEndian.Uint64(b[:])
	}
	for i := range h.words {
		h.words[i] = word()
	}
	for i := range h.fold {
		h.fold[i] = word()
	}
	h.tenant = [2]uint64{word(), word()}
	return h
}

// sum hashes a block of leastBlock to mostBlock bytes. Two sums are kept, so
// that the additions of one need not wait for those of the other.
func (h *blockHash) sum(tenant uint64, b []byte) uint64 {
	var x, y nhSum
	x.hi, x.lo = bits.Mul64(tenant+h.tenant[0], h.tenant[1])
	k := h.words[:]
	last := b[len(b)-16:]
	for len(b) >= 32 && len(k) >= 4 {
		x.add(binary.LittleEndian.Uint64(b)+k[0], binary.LittleEndian.Uint64(b[8:])+k[1])
		y.add(binary.LittleEndian.Uint64(b[16:])+k[2], binary.LittleEndian.Uint64(b[24:])+k[3])
		b, k = b[32:], k[4:]
	}
	if len(b) >= 16 && len(k) >= 2 {
		x.add(binary.LittleEndian.Uint64(b)+k[0], binary.LittleEndian.Uint64(b[8:])+k[1])
		b, k = b[16:], k[2:]
	}
	if len(b) > 0 { // the rest, with as much of what was hashed already as makes it 16 bytes
		y.add(binary.LittleEndian.Uint64(last)+k[0], binary.LittleEndian.Uint64(last[8:])+k[1])
	}
	lo, carry := bits.Add64(x.lo, y.lo, 0)
	hi, _ := bits.Add64(x.hi, y.hi, carry)
	return h.shift(hi, lo)
}

// nhSum is a sum of products, modulo 2^128.
type nhSum struct{ hi, lo uint64 }

func (s *nhSum) add(x, y uint64) {
	hi, lo := bits.Mul64(x, y)
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, lo, 0)
	s.hi, _ = bits.Add64(s.hi, hi, carry)
}

// shift is the upper half of the sum of two 128-bit products.
func (h *blockHash) shift(hi, lo uint64) uint64 {
	a, b := bits.Mul64(hi, h.fold[0])
	c, d := bits.Mul64(lo, h.fold[2])
	_, carry := bits.Add64(b, d, 0)
	return a + hi*h.fold[1] + c + lo*h.fold[3] + carry
}
