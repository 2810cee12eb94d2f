package sequence

import "hash/maphash"

// usual is how many parts the histograms of one name have, as far as they have come.
type usual struct {
	name  uint16 // of its hash
	parts uint16 // as many as any of them at most
}

const (
	// usualPlaces is how many names are remembered, each at the place that its hash says.
	usualPlaces = 4096
	// usualMost is the most that is believed of a name, as much as the buckets of client libraries, _count and _sum take: a series
	// that is alone of its histogram, and never comes again, keeps the room.
	usualMost = 16
)

// usualOf is that of a name.
func (gs *groups) usualOf(base []byte) *usual {
	hash := maphash.Bytes(gs.hash, base)
	u := &gs.usual[hash%usualPlaces]
	if name := uint16(hash >> 48); u.name != name {
		*u = usual{name: name}
	}
	return u
}

// room makes room for n parts at once: they come one by one, and doubling makes as much garbage as what is kept.
func (g *group) room(n uint16) {
	g.foreseen = n
	if n > 0 {
		g.histogram.Room(int(n))
		g.members = make([]uint32, 0, n)
	}
}
