package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"pawl/internal/killpoint"
	"pawl/pkg/config"
	"pawl/pkg/store"
)

// rejectedBytes bounds the rejected store, in bytes; the oldest go first.
const rejectedBytes = 256 << 20

// spaceEvery is how often the free space is looked at.
const spaceEvery = time.Second

// disk is everything under the storage path, opened together.
type disk struct {
	path     string
	log      *slog.Logger
	lock     *store.Lock
	journal  *store.Journal
	state    *store.State
	rejected *store.RejectedLog
	parked   *store.Parked
	ballast  *store.Ballast
	note     *store.Delivered
	short    atomic.Pointer[error] // why the disk takes no more, nil when it does
}

func openDisk(o Options) (*disk, error) {
	d := &disk{path: o.StoragePath, log: o.Logger}
	if err := d.open(o); err != nil {
		return nil, errors.Join(fmt.Errorf("open the storage at %s: %w", o.StoragePath, advised(err)), d.close())
	}
	return d, nil
}

func (d *disk) open(o Options) (err error) {
	if err = store.CheckFormat(d.path); err != nil {
		return err
	}
	if err = os.MkdirAll(d.path, 0o750); err != nil {
		return err
	}
	if d.lock, err = store.LockPath(d.path); err != nil {
		return err
	}
	if err = d.makeRoom(o.Config.Storage); err != nil {
		return err
	}
	if err = d.mendLogs(o); err != nil {
		return err
	}
	if err = d.openJournal(o); err != nil {
		return err
	}
	killpoint.At(killpoint.RecoverJournal)
	if err = d.openState(o); err != nil {
		return err
	}
	if err = d.agree(o); err != nil {
		return err
	}
	killpoint.At(killpoint.RecoverState)
	if d.rejected, err = store.OpenRejected(d.dir("rejected"), rejectedBytes, o.Logger); err != nil {
		return err
	}
	// What is parked is in the journal too, so it never needs to be more than that.
	d.parked, err = store.OpenParked(d.dir("held"), int64(o.Config.Journal.MaxBytes))
	return err
}

func (d *disk) openJournal(o Options) (err error) {
	j := o.Config.Journal
	d.journal, err = store.OpenJournal(d.dir("journal"), store.JournalOptions{
		MaxBytes: int64(j.MaxBytes), Sync: j.Sync.Always(), SyncInterval: time.Duration(j.Sync.Interval), KernelSync: true,
		Logger: o.Logger, Registerer: o.Registry,
	})
	d.note = store.NewDelivered(d.dir("journal"), d.journal)
	return err
}

// makeRoom gives the ballast up when the disk is short of space: Badger needs
// some to start at all.
func (d *disk) makeRoom(s config.Storage) error {
	d.ballast = store.NewBallast(d.path, int64(s.BallastBytes))
	if int64(s.MinFreeBytes) < store.RoomToOpen && s.MaxUsedPercent == 100 {
		d.log.Warn("writes are accepted until the disk has less room than a checkpoint may need: if the relay fills it, it may stay full until you make room; raise storage.min_free_bytes or lower storage.max_used_percent",
			"min_free_bytes", int64(s.MinFreeBytes), "needed_bytes", store.RoomToOpen)
	}
	free, _, err := store.FreeSpace(d.path)
	if err != nil || free >= max(int64(s.MinFreeBytes), store.RoomToOpen) || d.ballast.Held() == 0 {
		return err
	}
	d.log.Warn("the disk is short of space; the ballast is given up for this start", "free_bytes", free, "ballast_bytes", d.ballast.Held())
	return d.ballast.Release()
}

// refill takes the ballast's space when there is plenty.
func (d *disk) refill(s config.Storage, free int64) {
	want := int64(s.BallastBytes)
	if d.ballast.Held() >= want || free < int64(s.MinFreeBytes)+2*want {
		return
	}
	if err := d.ballast.Fill(); err != nil {
		d.log.Warn("cannot fill the ballast; it is tried again", "err", err)
	}
}

func (d *disk) good() store.Checkpoint {
	c, _ := d.state.Good()
	return c
}

// close closes what is open, in the order against opening.
func (d *disk) close() error {
	var errs []error
	if d.parked != nil {
		errs = append(errs, d.parked.Close())
	}
	if d.rejected != nil {
		errs = append(errs, d.rejected.Close())
	}
	if d.state != nil {
		errs = append(errs, d.closeState())
	}
	if d.journal != nil {
		errs = append(errs, d.journal.Close())
	}
	if d.lock != nil {
		errs = append(errs, d.lock.Unlock())
	}
	return errors.Join(errs...)
}

// closeState closes the database, which writes a last table and would die of a
// full disk: then the ballast is given up for it, and where that is not enough
// the database is left as a kill would leave it.
func (d *disk) closeState() error {
	if !d.state.RoomToClose() && d.ballast.Held() > 0 {
		d.log.Warn("the disk is short of space; the ballast is given up for this stop", "ballast_bytes", d.ballast.Held())
		if err := d.ballast.Release(); err != nil {
			d.log.Warn("cannot give up the ballast", "err", err)
		}
	}
	if !d.state.RoomToClose() {
		d.log.Warn("the disk is full; the series state is left as it is on disk, and the next start replays the journal from the last checkpoint")
		return nil
	}
	return within(closeWithin, "close the series state", d.state.Close)
}

// closeWithin bounds how long Badger may try to write its last table: on a
// full or broken disk it tries for ever. The last good checkpoint and the
// journal are on disk already, so nothing is lost by giving it up.
const closeWithin = 3 * time.Second

func within(d time.Duration, what string, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(d):
		return fmt.Errorf("%s: not done within %v and given up; is the disk full? The journal has everything, the next start reads it back", what, d)
	}
}

// watch keeps an eye on the free space until ctx is done. While there is too
// little it asks for checkpoints: they let the journal be cut.
func (d *disk) watch(ctx context.Context, current func() *config.Config, checkpoint func()) error {
	tick := time.NewTicker(spaceEvery)
	defer tick.Stop()
	for {
		d.look(current().Storage)
		if d.pressure() != nil {
			checkpoint()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// noteEvery is how often it is noted what the upstream has: so much is
// repeated to it after a crash.
const noteEvery = 200 * time.Millisecond

// noteDelivered keeps the note of what the upstream has until ctx is done. What
// cannot be noted is tried again; the log hears of the first failure and of the end.
func (d *disk) noteDelivered(ctx context.Context, low func() uint64) error {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	failing := false
	for noted := low(); ; {
		if now := low(); now > noted && now >= d.journal.First() {
			err := d.note.Save(now)
			switch {
			case err == nil:
				noted = now
				if failing {
					d.log.Info("what was delivered is noted again")
				}
			case !failing:
				d.log.Warn("cannot note what was delivered; more will be repeated after a crash; it is tried again", "err", err)
			}
			failing = err != nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look compares the free space with the watermarks: Badger dies of a full
// disk, so writes are refused before it is full.
func (d *disk) look(s config.Storage) {
	free, used, err := store.FreeSpace(d.path)
	var short error
	switch {
	case err != nil:
		d.log.Warn("cannot tell how full the disk is", "path", d.path, "err", err)
	case free < int64(s.MinFreeBytes):
		short = fmt.Errorf("only %d bytes are free at %s, %d are kept free (storage.min_free_bytes); make room", free, d.path, int64(s.MinFreeBytes))
	case used > float64(s.MaxUsedPercent):
		short = fmt.Errorf("the disk at %s is %.1f %% full, %d %% are allowed (storage.max_used_percent); make room", d.path, used, s.MaxUsedPercent)
	}
	if short == nil && err == nil {
		d.refill(s, free)
	}
	was := d.pressure()
	if short == nil {
		d.short.Store(nil)
	} else {
		d.short.Store(&short)
	}
	if (was == nil) != (short == nil) {
		if short != nil {
			d.log.Error("the disk is short of space; writes are answered with 503", "err", short)
		} else {
			d.log.Info("the disk has space again; writes are accepted")
		}
	}
}

// pressure is why the disk takes nothing now, or nil.
func (d *disk) pressure() error {
	if p := d.short.Load(); p != nil {
		return *p
	}
	return nil
}
