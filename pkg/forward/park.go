package forward

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// Parker keeps batches on disk while their tenant is held; see store.Parked.
type Parker interface {
	Put(h store.Held) (store.ParkedRef, error)
	Get(ref store.ParkedRef) (store.Held, error)
	Drop(ref store.ParkedRef)
	Bytes() int64
}

// maxParked bounds the parked batches of all tenants: where each one is takes
// 48 bytes of memory. Beyond it they stay in memory and take up the window, as
// they do when the disk takes no more.
const maxParked = 1 << 20

// keepersFor is how many parked batches are sent at once beside those that go
// the straight way; each is in memory while it is.
func keepersFor(workers int) int { return max(1, workers/4) }

// part is what an item holds of one tenant's.
type part struct {
	Item // Late and Batch are this tenant's only; Done is called once they are no longer needed
	lane *lane

	recalled bool          // from disk
	at       parkedBatch   // if so
	tries    int           // that failed since its lane was held
	retryIn  time.Duration // after it was given up
}

// parts takes an item apart by tenant: samples held out of earlier batches may
// be another tenant's.
func (f *Forwarder) parts(it Item) []*part {
	if len(it.Late) == 0 {
		return []*part{{Item: it, lane: f.lanes.enter(it.Batch.Tenant, it.Seq)}}
	}
	var all []*part
	of := func(tenant string) *part {
		for _, p := range all {
			if p.lane.tenant == tenant {
				return p
			}
		}
		p := &part{Item: Item{Seq: it.Seq, After: it.After, Time: it.Time, Replay: it.Replay}, lane: f.lanes.enter(tenant, it.Seq)}
		all = append(all, p)
		return p
	}
	for _, b := range it.Late {
		p := of(b.Tenant)
		p.Late = append(p.Late, b)
	}
	if it.Batch != nil {
		p := of(it.Batch.Tenant)
		p.Batch, p.Done, p.Account = it.Batch, it.Done, it.Account
	} else {
		all[0].Done, all[0].Account = it.Done, it.Account
	}
	if len(all) > 1 {
		f.lanes.split(it.Seq, len(all))
	}
	return all
}

// settle counts a part that needs no more attention.
func (f *Forwarder) settle(p *part) {
	if p.recalled {
		f.parker.Drop(p.at.at)
	}
	f.mark.Settle(p.Account)
	if f.lanes.leave(p.lane, p.Seq, p.recalled) {
		f.mark.Done(p.Seq)
	}
	p.release()
}

// release gives the part's memory back.
func (p *part) release() {
	if p.Done != nil {
		p.Done()
	}
	p.Late, p.Batch, p.Done = nil, nil, nil
}

// hold has a tenant's batches parked from now on.
func (f *Forwarder) hold(l *lane, ans answer) {
	if f.lanes.hold(l) && f.lanes.mayLog() {
		f.log.Warn("upstream does not take the batches of one tenant; they are kept aside on disk and retried, the others go on",
			"tenant", l.tenant, "status", ans.status, "err", ans.err)
	}
}

// park puts a part on disk, as it is to be sent, and gives its memory back.
// false if it must stay, because its tenant is no longer held or there is no
// room: then it is to go on.
func (f *Forwarder) park(p *part) (parked bool) {
	if p.recalled {
		f.lanes.park(p.lane, p.at, true, p.retryIn)
		p.release()
		return true
	}
	at, err := f.parker.Put(f.asHeld(p))
	if err != nil {
		if f.lanes.noRoom(p.lane) && !errors.Is(err, store.ErrParkedFull) {
			f.log.Warn("cannot keep the batches of a tenant aside on disk; they stay in memory", "err", err)
		}
		return false
	}
	if !f.lanes.park(p.lane, parkedBatch{p.Seq, p.After, at, p.Account}, false, p.retryIn) {
		f.parker.Drop(at)
		return false
	}
	f.metrics.parked.Inc()
	p.release()
	return true
}

// asHeld is a part as it is kept aside: its batches as corrected, but neither
// relabelled nor in the upstream's version, since a configuration that comes
// meanwhile decides about those.
func (f *Forwarder) asHeld(p *part) store.Held {
	h := store.Held{Seq: p.Seq, Time: p.Time, Tenant: p.lane.tenant, Replay: p.Replay}
	batches := p.Late
	if p.Batch != nil {
		batches = append(batches, p.Batch)
	}
	for _, b := range batches {
		body, kept, err := b.Encode(nil, b.Version, nil)
		if err != nil {
			panic(fmt.Sprintf("BUG: batch %d was accepted and cannot be encoded: %v", p.Seq, err))
		}
		f.metrics.droppedExemplars.Add(float64(b.DroppedExemplars()))
		if kept == (rewrite.Counts{}) {
			continue
		}
		h.Samples += uint32(kept.Samples + kept.Histograms)
		h.Parts = append(h.Parts, store.HeldPart{Version: uint8(b.Version), Body: body})
	}
	return h
}

// trusted are the limits for what was decoded before.
var trusted = rewrite.Limits{MaxDecodedBytes: math.MaxInt32, MaxLabels: math.MaxInt32, MaxLabelValueBytes: math.MaxInt32}

// recall reads a parked batch back. An error is final: the disk does not give
// back what was written, and only a start, from the journal, knows it again.
func (f *Forwarder) recall(l *lane, b parkedBatch) (*part, error) {
	h, err := f.parker.Get(b.at)
	if err != nil {
		return nil, fmt.Errorf("batch %d was kept aside; start again to read it from the journal: %w", b.seq, err)
	}
	p := &part{lane: l, recalled: true, at: b}
	p.Seq, p.After, p.Account, p.Time, p.Replay = b.seq, b.after, b.account, h.Time, h.Replay
	for _, held := range h.Parts {
		batch := &rewrite.Batch{}
		if err := batch.Decode(rewrite.Version(held.Version), l.tenant, held.Body, trusted); err != nil {
			panic(fmt.Sprintf("BUG: batch %d was encoded and cannot be decoded: %v", b.seq, err))
		}
		p.Late = append(p.Late, batch)
	}
	return p, nil
}

// keep brings parked batches to the upstream, one after the other, until ctx
// is done: the lowest of a tenant until that is taken, then the next ones.
func (f *Forwarder) keep(ctx context.Context) error {
	var scratch []byte
	for {
		l, b, ok := f.lanes.next(ctx)
		if !ok {
			return nil
		}
		p, err := f.recall(l, b)
		if err != nil {
			return err
		}
		p.tries = f.lanes.triesOf(l)
		if scratch, err = f.deliver(ctx, p, scratch); err != nil {
			return err
		}
	}
}

// aboutTenant tells that the upstream has something against this tenant's
// requests rather than that it is away or busy.
func (a answer) aboutTenant() bool {
	return a.verdict == held || a.status == http.StatusTooManyRequests
}

// park moves a batch to those on disk, to be tried again after a while; false
// if its tenant is not held.
func (ls *lanes) park(l *lane, b parkedBatch, recalled bool, retryIn time.Duration) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if !l.held {
		return false
	}
	l.gone(b.seq)
	i, _ := slices.BinarySearchFunc(l.parked, b.seq, func(b parkedBatch, seq uint64) int {
		switch {
		case b.seq < seq:
			return -1
		case b.seq > seq:
			return 1
		}
		return 0
	})
	l.parked = slices.Insert(l.parked, i, b)
	ls.parked++
	if ls.parked >= maxParked {
		l.full = true
	}
	if recalled {
		l.out--
		l.proven = false
		l.tries++
	}
	l.stir()
	ls.dueIn(l, retryIn)
	return true
}

// noRoom notes that the disk took no more of a lane's batches, and tells
// whether that is to be logged.
func (ls *lanes) noRoom(l *lane) bool {
	ls.mu.Lock()
	l.full = true
	l.stir()
	ls.mu.Unlock()
	return ls.mayLog()
}

// triesOf is how many attempts in a row failed since the lane was held.
func (ls *lanes) triesOf(l *lane) int {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return l.tries
}

// split notes that an item has several parts.
func (ls *lanes) split(seq uint64, n int) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.several[seq] = n
}

// mayLog lets one line per interval through: tenants are named by whoever sends.
func (ls *lanes) mayLog() bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if time.Since(ls.logged) < logEvery {
		return false
	}
	ls.logged = time.Now()
	return true
}

// wait returns once no lane is held, or ctx is done.
func (ls *lanes) wait(ctx context.Context) {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		if held, _ := ls.counts(); held == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}
