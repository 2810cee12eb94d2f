package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/ristretto/v2/z"
)

// database is Badger, open only while somebody uses it and for idleFor after: between checkpoints nobody does, and it would keep its
// tables mapped, a memtable and the buffers that it wrote tables from, together more than what is known of the series. Closing is safe
// at any time, because what must be in it stands in the head. See docs/decisions/0017.
type database struct {
	reopen func(readOnly bool) (*badger.DB, error)
	room   func(n int64) bool // whether so many bytes are free
	tidy   func() error       // removes logs that were made for it and not used
	table  int64              // bytes that closing may write
	idle   time.Duration
	log    *slog.Logger

	written atomic.Int64              // at most so many bytes went into its memtables since it was opened
	discard atomic.Uint64             // the timestamp up to which Badger may drop what is older
	current atomic.Pointer[badger.DB] // nil: closed

	mu       sync.Mutex // held while it is opened and closed; State.mu may be taken under it, and not the other way about
	unused   *sync.Cond
	users    int
	readOnly bool
	last     time.Time   // when it was last used
	timer    *time.Timer // until it is closed, nil: nobody waits for that
	over     bool        // for good
	broken   error       // what closing it came to: nothing is certain any more
}

// idleFor is how long the database stays open for nobody: long enough that what it merges its tables for after a checkpoint is begun,
// and that questions in a row open it once.
const idleFor = 3 * time.Second

// newDatabase takes an open one over, which is in the caller's use until it releases it.
func newDatabase(s *State, db *badger.DB, idle time.Duration) *database {
	if idle == 0 {
		idle = idleFor
	}
	d := &database{reopen: s.reopen, room: func(n int64) bool { return hasFree(s.dir, n) }, tidy: s.removeEmptyLogs, table: s.memTable, idle: idle, log: s.log, users: 1}
	d.unused = sync.NewCond(&d.mu)
	d.current.Store(db)
	return d
}

// acquire gives the database out, opening it where it is closed. What is not going to write gets it read-only where the disk has no
// room for it to be opened otherwise, and who is going to write waits until nobody reads that.
func (d *database) acquire(write bool) (*badger.DB, error) {
	over := z.Hurry() // it may be closing
	d.mu.Lock()
	if write {
		over()
	} else {
		defer over() // somebody waits for an answer
	}
	defer d.mu.Unlock()
	for write && d.readOnly && d.users > 0 && !d.over {
		d.unused.Wait()
	}
	if d.over {
		return nil, os.ErrClosed
	}
	if write && d.readOnly {
		d.close()
	}
	if d.broken != nil {
		return nil, d.broken
	}
	if d.current.Load() == nil {
		readOnly := !write && !d.room(RoomToOpen)
		db, err := d.reopen(readOnly)
		if err != nil {
			return nil, err
		}
		d.readOnly = readOnly
		d.written.Store(0)
		d.current.Store(db)
		db.SetDiscardTs(d.discard.Load())
	}
	d.users++
	return d.current.Load(), nil
}

// release takes back what acquire gave.
func (d *database) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users--
	d.last = time.Now()
	if d.users > 0 {
		return
	}
	d.unused.Broadcast()
	if d.timer == nil && !d.over {
		d.timer = time.AfterFunc(d.idle, d.rest)
	}
}

// rest closes the database when nobody has used it for long enough, and there is room for what closing writes.
func (d *database) rest() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timer = nil
	if d.over || d.users > 0 || d.current.Load() == nil {
		return // release sets the next timer
	}
	if left := d.idle - time.Since(d.last); left > 0 {
		d.timer = time.AfterFunc(left, d.rest)
		return
	}
	// It must be possible to open it again, or no checkpoint could ever let the journal be cut.
	if !d.readOnly && !d.room(max(d.table+roomMargin, RoomToOpen)) {
		d.timer = time.AfterFunc(max(d.idle, time.Second), d.rest)
		return
	}
	d.close()
	go debug.FreeOSMemory() // left to itself the runtime holds on for minutes to what Badger had
}

// close closes it. mu is held.
func (d *database) close() {
	db := d.current.Swap(nil)
	d.readOnly = false
	if err := errors.Join(guard(db.Close), d.tidy()); err != nil {
		d.broken = fmt.Errorf("close series state: %w", err)
		d.log.Warn("the series state's database did not close as it should", "err", err)
	}
}

// dropBelow lets Badger drop what no version from ts on needs. It never waits.
func (d *database) dropBelow(ts uint64) {
	d.discard.Store(ts)
	if db := d.current.Load(); db != nil {
		db.SetDiscardTs(ts)
	}
}

// end closes it for good, whoever uses it.
func (d *database) end() error {
	defer z.Hurry()()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	d.unused.Broadcast()
	if d.timer != nil {
		d.timer.Stop()
	}
	if d.current.Load() != nil {
		d.close()
	}
	return d.broken
}

// quiet tells whether closing it would write nothing.
func (d *database) quiet() bool { return d.current.Load() == nil }
