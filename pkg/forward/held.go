package forward

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// patience is how long a tenant's batches may be refused or fail before they
// give up their place.
const patience = time.Second

// longFor is how many times patience the upstream may take nothing of anybody
// before it counts as away, or a batch may wait for a worker before those that
// fail have to make room.
const longFor = 10

// failing notes that an attempt that began then failed, and tells whether the
// lane is to be held now, or else when to ask again, and what is closed when
// another attempt has led to that. It never is without a place to park its
// batches, or for those without tenants, for there is nobody to make room for.
// aboutTenant tells that the answer was about this tenant.
func (ls *lanes) failing(l *lane, began time.Time, parker, aboutTenant bool) (hold bool, left time.Duration, held <-chan struct{}) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l.about = aboutTenant
	if l.failed.IsZero() {
		l.failed = began
	}
	if l.tenant == "" || !parker || l.full {
		return false, 0, nil
	}
	now := time.Now()
	if l.held {
		return ls.givesNow(l, now), ls.patience, nil
	}
	if l.gate == nil {
		l.gate = make(chan struct{})
	}
	if left = ls.patience - now.Sub(l.failed); left > 0 {
		return false, left, l.gate
	}
	return aboutTenant || ls.others(l).After(l.failed) || ls.stuck(now), ls.patience, l.gate
}

// others is when a batch of any other lane was taken last.
func (ls *lanes) others(l *lane) time.Time {
	if ls.lastTaken == l {
		return ls.otherTaken
	}
	return ls.takenAt
}

// stuck tells that a batch has been waiting long for a worker.
func (ls *lanes) stuck(now time.Time) bool {
	return !ls.waiting.IsZero() && now.Sub(ls.waiting) > longFor*ls.patience
}

// givesNow tells whether the batches of a lane are to be parked. An upstream
// that takes nothing of anybody is away, and then they wait in the journal.
func (ls *lanes) givesNow(l *lane, now time.Time) bool {
	return l.held && !l.full && (l.about || now.Sub(ls.others(l)) < longFor*ls.patience || ls.stuck(now))
}

// handing notes when the dispatcher begins to wait for a worker, and, zero,
// that it has found one.
func (ls *lanes) handing(since time.Time) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.waiting = since
}

// hold has a lane's batches parked from now on; false if they are already.
func (ls *lanes) hold(l *lane) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l.held {
		return false
	}
	l.held, l.proven, l.tries = true, false, 0
	ls.held++
	ls.heldAt = l.failed
	if l.gate != nil {
		close(l.gate)
		l.gate = nil
	}
	l.stir()
	return true
}

// gives tells whether a lane's batches are to be parked.
func (ls *lanes) gives(l *lane) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.givesNow(l, time.Now())
}

// makeDue has a held lane tried now.
func (ls *lanes) makeDue(l *lane) {
	if l.isDue {
		return
	}
	l.isDue = true
	ls.due = append(ls.due, l)
	select {
	case ls.more <- struct{}{}:
	default:
	}
}

// dueIn has a held lane tried after a while.
func (ls *lanes) dueIn(l *lane, d time.Duration) {
	if l.timer != nil {
		return
	}
	l.timer = time.AfterFunc(d, func() {
		ls.mu.Lock()
		defer ls.mu.Unlock()
		l.timer = nil
		if l.held {
			ls.makeDue(l)
		}
	})
}

// next takes the lowest parked batch of a lane that is due, as soon as there
// is one whose turn it is.
func (ls *lanes) next(ctx context.Context) (*lane, parkedBatch, bool) {
	for {
		ls.mu.Lock()
		for len(ls.due) > 0 {
			l := ls.due[0]
			ls.due = ls.due[1:]
			l.isDue = false
			if b, ok := ls.unpark(l); ok {
				if len(ls.due) > 0 {
					select {
					case ls.more <- struct{}{}:
					default:
					}
				}
				ls.mu.Unlock()
				return l, b, true
			}
		}
		ls.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, parkedBatch{}, false
		case <-ls.more:
		}
	}
}

// unpark takes the lowest parked batch if its turn has come: one to try the
// upstream with, and more beside it once it took that. A lane without any is
// no longer held.
func (ls *lanes) unpark(l *lane) (b parkedBatch, ok bool) {
	switch {
	case !l.held:
		return b, false
	case len(l.parked) == 0:
		if l.out == 0 {
			ls.release(l)
		}
		return b, false
	case l.out > 0 && !l.proven:
		return b, false
	}
	b = l.parked[0]
	if len(l.active) > 0 && l.active[0] <= b.after {
		return b, false // it comes again when that one is settled
	}
	l.parked = l.parked[1:]
	ls.parked--
	i, _ := slices.BinarySearch(l.active, b.seq)
	l.active = slices.Insert(l.active, i, b.seq)
	l.out++
	if l.proven {
		ls.makeDue(l)
	}
	return b, true
}

// release lets a lane's batches go the straight way again.
func (ls *lanes) release(l *lane) {
	l.held, l.full, l.proven, l.parked = false, false, false, nil
	ls.held--
	l.stir()
	if len(l.active) == 0 {
		delete(ls.byName, l.tenant)
	}
}

// refusedAlone notes what a failed attempt was answered, and tells whether that
// says something of the lane's tenant only: an answer that is about it, or any
// while it is held. Then it is no sign of an upstream that is away.
func (ls *lanes) refusedAlone(l *lane, parker bool, ans answer) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l.status, l.err = ans.status, ans.err
	return l.tenant != "" && parker && (ans.aboutTenant() || l.held && ans.status != 0)
}

// tellHeld logs what a tenant's batches are answered, now and then: tenants
// are named by whoever sends.
func (f *Forwarder) tellHeld(l *lane, ans answer) {
	if f.lanes.mayLog() {
		f.log.Warn("upstream does not take the batches of one tenant; they are retried, the others go on",
			"tenant", l.tenant, "status", ans.status, "err", ans.err)
	}
}

// maxShown bounds how many held tenants are listed.
const maxShown = 100

// HeldTenant is a tenant whose batches the upstream does not take.
type HeldTenant struct {
	Tenant    string
	Since     time.Time // when the first attempt began that failed and was followed by no success
	Status    int       // of the last answer, 0 without one
	LastError string
	Batches   int // kept aside on disk
}

// shown are how many lanes are held, those held longest, and whether nothing
// of anybody was taken since the last of them was.
func (ls *lanes) shown() (n int, all []HeldTenant, nobody bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, l := range ls.byName {
		if !l.held {
			continue
		}
		h := HeldTenant{Tenant: l.tenant, Since: l.failed, Status: l.status, Batches: len(l.parked)}
		if l.err != nil {
			h.LastError = l.err.Error()
		}
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b HeldTenant) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Tenant, b.Tenant))
	})
	return ls.held, all[:min(len(all), maxShown)], ls.held > 0 && !ls.takenAt.After(ls.heldAt)
}
