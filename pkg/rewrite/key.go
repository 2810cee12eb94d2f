package rewrite

import (
	"math/bits"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"
)

// Key identifies a series: 128 bits over tenant and label set, the same for
// 1.0 and 2.0, for any order of the labels, and on every machine (it is kept on
// disk). Labels with an empty value do not count: Prometheus takes them as absent.
//
// It is the sum over the labels of (xxhash(name)+k0) × (xxhash(value)+k1), each
// product whole in 128 bits (the NH construction of UMAC, RFC 4418 §5.2.2, over
// hashed words: two different sets collide about as rarely as two 64-bit
// hashes), then mixed with the tenant. It does not withstand someone who looks
// for collisions on purpose.
type Key struct{ Hi, Lo uint64 }

// Fractions of π, as good as any.
const (
	keyName  = 0x243f6a8885a308d3
	keyValue = 0x13198a2e03707344
	keyHi    = 0xa4093822299f31d0
)

// KeyOf returns the key that Decode gives a series with these labels.
func KeyOf(tenant string, ls labels.Labels) Key {
	var sum keySum
	ls.Range(func(l labels.Label) {
		if l.Value != "" {
			sum.add(product(xxhash.Sum64String(l.Name), xxhash.Sum64String(l.Value)))
		}
	})
	return sum.key(xxhash.Sum64String(tenant))
}

type keySum struct{ hi, lo uint64 }

// product is one label's share of the sum.
func product(name, value uint64) (hi, lo uint64) {
	return bits.Mul64(name+keyName, value+keyValue)
}

func (s *keySum) add(hi, lo uint64) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, lo, 0)
	s.hi, _ = bits.Add64(s.hi, hi, carry)
}

func (s *keySum) sub(hi, lo uint64) {
	var borrow uint64
	s.lo, borrow = bits.Sub64(s.lo, lo, 0)
	s.hi, _ = bits.Sub64(s.hi, hi, borrow)
}

// key mixes the tenant's hash in. For one tenant it is a bijection of the sum,
// and every bit of Lo and Hi is good for addressing a table.
func (s *keySum) key(tenant uint64) Key {
	lo := mix(s.lo ^ tenant)
	hi := mix((s.hi ^ bits.RotateLeft64(tenant*keyHi, 32)) + lo)
	return Key{Hi: hi, Lo: lo + bits.RotateLeft64(hi, 29)}
}

// sum is key() backwards.
func (k Key) sum(tenant uint64) keySum {
	mixed := k.Lo - bits.RotateLeft64(k.Hi, 29)
	return keySum{
		lo: unmix(mixed) ^ tenant,
		hi: (unmix(k.Hi) - mixed) ^ bits.RotateLeft64(tenant*keyHi, 32),
	}
}

// Exchange is the key of the same series of the same tenant with the labels off, where
// they have a value, taken away, and on added.
func (k Key) Exchange(tenant string, on Label, off ...Label) Key {
	seed := xxhash.Sum64String(tenant)
	sum := k.sum(seed)
	for _, l := range off {
		if len(l.Value) > 0 {
			sum.sub(product(xxhash.Sum64String(l.Name), xxhash.Sum64(l.Value)))
		}
	}
	if len(on.Value) > 0 {
		sum.add(product(xxhash.Sum64String(on.Name), xxhash.Sum64(on.Value)))
	}
	return sum.key(seed)
}

// Label is a label as Exchange takes it; without a value it stands for none.
type Label struct {
	Name  string
	Value []byte
}

// mix is the finalizer of SplitMix64, a bijection in which every input bit reaches every output bit.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
