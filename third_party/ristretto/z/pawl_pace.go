package z

import (
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// What Badger does beside its callers, which is writing memtables out and merging tables, runs as fast as it can, in as many goroutines as
// there are splits. On few cores whoever waits for an answer meanwhile waits for these, ten milliseconds at a time, and for the disk behind
// megabytes that are synced at once. So it is done in small pieces with a rest after each, while Leisurely says so and nobody is in a
// hurry. It is one for the process, as Badger has no way to be given it: what it spares are the process' cores and disk.

// Leisurely has the work in the background rest.
var Leisurely atomic.Bool

const (
	// restTimes: a rest is so many times as long as the work before it, so all of it together takes a fifth of a core.
	restTimes = 4
	// workLeast is what is worth a rest.
	workLeast = time.Millisecond
	// workMost: what took longer was waiting for a core or for the disk, on a machine that is busy; resting from that too would never end.
	workMost = 2 * time.Millisecond
	// syncBytes are written and synced at once, and made ready to be written to.
	syncBytes = 256 << 10
)

var (
	hurries atomic.Int32
	worked  atomic.Int64
	resting sync.Mutex // held by the one that rests: all together take what one may
)

// Hurry has nobody rest until over is called: somebody waits.
func Hurry() (over func()) {
	hurries.Add(1)
	return sync.OnceFunc(func() { hurries.Add(-1) })
}

// Worked is how long the process has worked in the background, without its rests, as far as that was leisurely.
func Worked() time.Duration { return time.Duration(worked.Load()) }

func leisurely() bool { return Leisurely.Load() && hurries.Load() == 0 }

// Rest rests from work in the background, as long as that is leisurely.
func Rest(work time.Duration) {
	if !leisurely() {
		return
	}
	work = min(work, workMost)
	worked.Add(int64(work))
	resting.Lock()
	defer resting.Unlock()
	if leisurely() {
		time.Sleep(restTimes * work)
	}
}

// rested is when an allocator's user has last rested, as time since begun.
type rested struct{ at atomic.Int64 }

// begun is where rested counts from.
var begun = time.Now()

// breathe is called for every few KB of a table that is built.
func (r *rested) breathe() {
	if !leisurely() {
		return
	}
	now := int64(time.Since(begun))
	work := time.Duration(now - r.at.Load())
	if work < workLeast {
		return
	}
	Rest(work)
	r.at.Store(int64(time.Since(begun)))
}

// readyPieces has the pages of a new table's memory made ready to be written to, piece by piece. Whoever copies the table into it
// would have a fault for each of them and no rest between. What it leaves undone is the copy's.
func readyPieces(b []byte) {
	for len(b) > 0 && leisurely() {
		n := min(len(b), pieceBytes())
		began := time.Now()
		if populate(b[:n]) != nil {
			return
		}
		Rest(time.Since(began))
		b = b[n:]
	}
}

// pieceBytes is syncBytes in whole pages.
func pieceBytes() int { return syncBytes / os.Getpagesize() * os.Getpagesize() }
