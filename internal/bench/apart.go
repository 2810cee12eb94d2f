package bench

import (
	"context"
	"sync"
)

// apart keeps shards from running ahead of each other further than Prometheus
// lets them. It reads its WAL in one order and puts each sample into the queue
// of its shard; while one queue is full it reads no further, for no shard. So
// what has been read is at most that ahead of what the slowest shard has been
// answered: the request under way, `queue_config.capacity` in its queue, and a
// request that is being gathered.
// (storage/remote/queue_manager.go: newQueue, queue.Append, shards.enqueue.)
type apart struct {
	most int64 // samples; 0: no bound

	mu      sync.Mutex
	moved   *sync.Cond
	at      []int64 // samples of which each shard has an answer
	running []bool  // shards that have more to send: the others hold nobody up
}

// newApart is for a number of shards that send size samples a request and may
// have capacity samples in their queues; with capacity 0 there is no bound.
func newApart(shards, size, capacity int) *apart {
	a := &apart{at: make([]int64, shards), running: make([]bool, shards)}
	a.moved = sync.NewCond(&a.mu)
	if capacity > 0 {
		a.most = int64(capacity + 2*size)
	}
	return a
}

// begin says which shards have something to send.
func (a *apart) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k := range a.running {
		a.running[k] = true
	}
}

// end says that a shard sends no more.
func (a *apart) end(shard int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running[shard] = false
	a.moved.Broadcast()
}

// answered says that a shard has the answer to n samples.
func (a *apart) answered(shard, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at[shard] += int64(n)
	a.moved.Broadcast()
}

// wait until a shard may send n more samples. It returns ctx's error if that is over before.
func (a *apart) wait(ctx context.Context, shard, n int) error {
	if a.most == 0 {
		return ctx.Err()
	}
	stop := context.AfterFunc(ctx, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.moved.Broadcast()
	})
	defer stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	for ctx.Err() == nil && a.at[shard]+int64(n) > a.slowest()+a.most {
		a.moved.Wait()
	}
	return ctx.Err()
}

// slowest is what the slowest of the running shards has been answered, in samples.
func (a *apart) slowest() int64 {
	least := int64(1) << 62
	for k, n := range a.at {
		if a.running[k] {
			least = min(least, n)
		}
	}
	return least
}
