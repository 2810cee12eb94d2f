package receive

import (
	"fmt"
	"sync"
	"time"

	"pawl/pkg/config"
)

// resource is a thing that requests take a share of while they are here.
type resource int

const (
	reading   resource = iota // requests whose bodies come in: receive.max_connections
	working                   // requests from their body's last byte to their answer: receive.max_in_flight
	memory                    // bytes of both: receive.max_in_flight_bytes
	resources                 // how many there are
)

// most is how much of a resource there is.
func (w resource) most(set *config.Receive) int64 {
	return [resources]int64{int64(set.MaxConnections), int64(set.MaxInFlight), int64(set.MaxInFlightBytes)}[w]
}

const (
	// spare is the share of each resource, as 1/spare of it, that is kept for
	// tenants that hold less than their fair share.
	spare = 4

	// A tenant counts as there for so long after its last request, refused ones
	// too: else a flood that holds everything would have it all for itself again
	// while the others wait for their Retry-After.
	lingering = 30 * time.Second

	// maxLingering bounds the tenants remembered without a request in flight:
	// their names come from outside.
	maxLingering = 10_000
)

// usage is what one tenant holds.
type usage struct {
	used [resources]int64
	seen time.Time
}

// budget shares the resources out: to whoever asks while there is plenty, and
// from the last quarter only to tenants within their fair share. So a flood is
// shed first, and a tenant that is alone may have everything.
type budget struct {
	mu      sync.Mutex
	tenants map[string]*usage
	total   [resources]int64
	swept   time.Time
}

// take takes n of a resource for a tenant. Nothing is taken unless ok; then
// crowded tells whether the tenant was shed for the others' sake.
func (b *budget) take(tenant string, w resource, n, most int64) (ok, crowded bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.arrive(tenant)
	if ok, crowded = b.fits(u, w, n, most); ok {
		u.used[w] += n
		b.total[w] += n
	}
	b.part(tenant, u)
	return ok, crowded
}

// has tells whether take would succeed now.
func (b *budget) has(tenant string, w resource, n, most int64) (ok, crowded bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.arrive(tenant)
	ok, crowded = b.fits(u, w, n, most)
	b.part(tenant, u)
	return ok, crowded
}

// add takes n more, or gives -n back, whether there is room or not: what is
// held already must be counted.
func (b *budget) add(tenant string, w resource, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.arrive(tenant)
	u.used[w] += n
	b.total[w] += n
	b.part(tenant, u)
}

// part forgets a tenant that holds nothing, if too many are remembered.
func (b *budget) part(tenant string, u *usage) {
	if u.used == ([resources]int64{}) && len(b.tenants) > maxLingering {
		delete(b.tenants, tenant)
	}
}

func (b *budget) fits(u *usage, w resource, n, most int64) (ok, crowded bool) {
	total := b.total[w] + n
	if total > most {
		return false, false
	}
	others := int64(len(b.tenants))
	if others > 1 && total > most-most/spare && u.used[w] > 0 && u.used[w]+n > most/others {
		return false, true
	}
	return true, false
}

// arrive notes that a tenant is there, and forgets those that are not.
func (b *budget) arrive(tenant string) *usage {
	now := time.Now()
	if b.tenants == nil {
		b.tenants = map[string]*usage{}
	}
	if now.Sub(b.swept) > lingering/4 {
		for name, u := range b.tenants {
			if u.used == ([resources]int64{}) && now.Sub(u.seen) > lingering {
				delete(b.tenants, name)
			}
		}
		b.swept = now
	}
	u := b.tenants[tenant]
	if u == nil {
		u = &usage{}
		b.tenants[tenant] = u
	}
	u.seen = now
	return u
}

// held is how much of a resource all tenants hold.
func (b *budget) held(w resource) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total[w]
}

// claim is what one request holds of the budget.
type claim struct {
	budget *budget
	tenant string
	set    *config.Receive
	held   [resources]int64
}

// Hold takes n more bytes of memory for what is known of the request's series
// and samples (rewrite.Account). Its error is a *refusal.
func (c *claim) Hold(n int) error {
	if most := memory.most(c.set); c.held[memory]+int64(n) > most {
		return &refusal{tooLarge, fmt.Errorf(
			"with what is known of each series and sample the request takes more than %d bytes (receive.max_in_flight_bytes); send fewer samples in one", most), 0}
	}
	if why := c.take(memory, int64(n)); why != nil {
		return why
	}
	return nil
}

// take takes n of a resource, or says why not.
func (c *claim) take(w resource, n int64) *refusal {
	most := w.most(c.set)
	if ok, crowded := c.budget.take(c.tenant, w, n, most); !ok {
		return scarce(w, most, crowded)
	}
	c.held[w] += n
	return nil
}

// settle changes what the request holds of a resource to n, room or no room.
func (c *claim) settle(w resource, n int64) {
	if n != c.held[w] {
		c.budget.add(c.tenant, w, n-c.held[w])
		c.held[w] = n
	}
}

// release gives everything back.
func (c *claim) release() {
	for w := range resources {
		c.settle(w, 0)
	}
}
