package receive

import (
	"sync"
	"time"
)

// burst is how many seconds' worth of samples a tenant may send at once: a
// sender scrapes in waves.
const burst = 10 * time.Second

// rates holds each tenant to receive.max_tenant_samples_per_second. How many
// samples a request has is known once it was decoded, so one may go over, and
// the next waits until what is owed has been earned.
type rates struct {
	mu    sync.Mutex
	free  map[string]time.Time // when the tenant will have its whole burst again
	swept time.Time
}

// wait is how long the tenant has to wait before it may send; 0: now.
func (r *rates) wait(tenant string, perSecond int) time.Duration {
	if perSecond <= 0 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(0, r.free[tenant].Sub(time.Now().Add(burst)))
}

// spend counts samples that were accepted.
func (r *rates) spend(tenant string, samples, perSecond int) {
	if perSecond <= 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Sub(r.swept) > burst {
		for name, free := range r.free {
			if !free.After(now) {
				delete(r.free, name)
			}
		}
		r.swept = now
	}
	if r.free == nil {
		r.free = map[string]time.Time{}
	}
	free := r.free[tenant]
	if free.Before(now) {
		free = now
	}
	r.free[tenant] = free.Add(time.Duration(float64(samples) / float64(perSecond) * float64(time.Second)))
}
