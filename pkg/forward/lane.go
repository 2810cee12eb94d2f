package forward

import (
	"context"
	"slices"
	"sync"
	"time"

	"pawl/pkg/store"
)

// lanes keeps the tenants apart: no two share a series, so only batches of one
// tenant wait for one another, and what the upstream does to one tenant's
// batches is no reason to hold up the others'.
//
// A lane whose batches are not taken is held: its batches are parked on disk,
// where they take neither memory nor a worker, until the upstream takes them
// again (held.go, park.go).
type lanes struct {
	patience time.Duration // see patience

	mu     sync.Mutex
	byName map[string]*lane
	held   int       // lanes that are held
	parked int       // batches in all of them
	heldAt time.Time // since when the lane that was held last had no batch taken

	lastTaken  *lane // who had a batch taken last
	takenAt    time.Time
	otherTaken time.Time // when one of any other lane was
	waiting    time.Time // since when a batch waits for a worker; zero: none does

	several map[uint64]int // parts that are not settled, of items that have several

	due    []*lane       // held lanes that may try again now
	logged time.Time     // when one was last logged
	more   chan struct{} // there is something in due
}

// lane is one tenant's batches on their way. lanes.mu guards it.
type lane struct {
	tenant string
	active []uint64      // batches in memory that are not settled, ascending
	parked []parkedBatch // batches on disk, ascending
	moved  chan struct{} // closed and renewed whenever a batch may have got its turn, or the lane is held
	gate   chan struct{} // closed when the lane is held; nil while nobody asked
	failed time.Time     // since when no batch was taken; zero: the last one was
	held   bool          // its batches are parked
	about  bool          // the last failure was about this tenant
	status int           // of that failure's answer, 0 without one
	err    error         // what was wrong
	full   bool          // the disk took no more of them
	proven bool          // held, but the upstream took the last one
	out    int           // batches taken from parked, in active now
	tries  int           // in a row that failed while held
	timer  *time.Timer   // until it is due
	isDue  bool
}

// parkedBatch is a batch on disk.
type parkedBatch struct {
	seq, after uint64
	at         store.ParkedRef
	account    Account
}

func newLanes() *lanes {
	return &lanes{patience: patience, byName: map[string]*lane{}, several: map[uint64]int{}, more: make(chan struct{}, 1)}
}

// enter registers batch seq of a tenant. Batches come in ascending order.
func (ls *lanes) enter(tenant string, seq uint64) *lane {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.byName[tenant]
	if l == nil {
		l = &lane{tenant: tenant, moved: make(chan struct{})}
		ls.byName[tenant] = l
	}
	l.active = append(l.active, seq)
	return l
}

// stir wakes whoever waits in the lane.
func (l *lane) stir() {
	close(l.moved)
	l.moved = make(chan struct{})
}

// before tells whether a batch up to after is not settled.
func (l *lane) before(after uint64) bool {
	return len(l.active) > 0 && l.active[0] <= after || len(l.parked) > 0 && l.parked[0].seq <= after
}

// turn waits until the batch may be sent: every batch of its tenant up to
// after is settled. give tells that it is to be parked instead.
func (ls *lanes) turn(ctx context.Context, l *lane, after uint64) (give bool, err error) {
	for {
		ls.mu.Lock()
		give, wait, moved := ls.givesNow(l, time.Now()), l.before(after), l.moved
		var again <-chan time.Time
		if wait && l.held {
			again = time.After(ls.patience) // whether it gives depends on the others
		}
		ls.mu.Unlock()
		if give || !wait {
			return give, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-moved:
		case <-again:
		}
	}
}

// gone takes a batch off those in memory.
func (l *lane) gone(seq uint64) {
	i, ok := slices.BinarySearch(l.active, seq)
	if !ok {
		panic("BUG: a batch left a lane that it was not in")
	}
	if l.active = slices.Delete(l.active, i, i+1); len(l.active) == 0 {
		l.active = nil
	}
}

// leave notes that a batch is settled: one that was recalled from disk, or
// not. It tells whether that settles all parts of its item.
func (ls *lanes) leave(l *lane, seq uint64, recalled bool) (whole bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l.gone(seq)
	l.stir()
	if recalled {
		l.out--
		l.full = false // there is room again
	}
	switch {
	case l.held:
		ls.makeDue(l)
	case len(l.active) == 0:
		delete(ls.byName, l.tenant)
	}
	n, several := ls.several[seq]
	if !several {
		return true
	}
	if n--; n > 0 {
		ls.several[seq] = n
		return false
	}
	delete(ls.several, seq)
	return true
}

// taken notes that the upstream took a batch of the lane.
func (ls *lanes) taken(l *lane) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	now := time.Now()
	l.failed, l.tries, l.proven = time.Time{}, 0, true
	if ls.lastTaken != l {
		ls.otherTaken, ls.lastTaken = ls.takenAt, l
	}
	ls.takenAt = now
}

// counts are how many lanes are held, and how many batches are parked.
func (ls *lanes) counts() (held, parked int) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.held, ls.parked
}
