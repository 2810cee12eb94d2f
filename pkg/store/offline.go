package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Offline reads a storage path that no relay is using, every byte of it, and changes nothing. It belongs to one goroutine. The steps
// are independent, but Agree, which compares what Journal and State have found.
type Offline struct {
	dir  string
	lock *os.File // nil: there is none

	first, next uint64 // of the journal, once it was read
	good        Checkpoint
	stateRead   bool
}

// What to do about damage. The flag is that of `relay run`.
const (
	remedyJournal  = "restore it from a backup, or go on without what is missing: relay run --storage.set-aside-damaged"
	remedyState    = "restore the whole storage path from a backup, or start: while the journal begins at record 1 the state is rebuilt from it, else relay run --storage.set-aside-damaged goes on without it"
	remedyRejected = "restore it from a backup, or set it aside: relay run --storage.set-aside-damaged"
)

// OpenOffline takes a shared lock: several may read, and a relay that is started meanwhile is refused. ErrLocked while one runs.
func OpenOffline(dir string) (*Offline, error) {
	st, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("read storage path: %w", err)
	}
	if !st.IsDir() {
		return nil, fmt.Errorf("read storage path: %s is no directory", dir)
	}
	o := &Offline{dir: dir}
	if !o.has("journal") && !o.has("state") && !o.has("rejected") {
		return nil, fmt.Errorf("read storage path: %s holds neither journal nor state nor rejected; give the relay's --storage.path", dir)
	}
	f, err := os.Open(o.path("lock")) // for reading: flock asks for no more, and the medium may be read-only
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil // a copy without it; nobody can be using it
	}
	if err != nil {
		return nil, fmt.Errorf("lock storage path: %w", err)
	}
	if err := flockShared(f); err != nil {
		holder, _ := os.ReadFile(o.path("lock"))
		f.Close()
		return nil, fmt.Errorf("lock storage path %s (process %s): %w; stop the relay first", dir, strings.TrimSpace(string(holder)), err)
	}
	o.lock = f
	return o, nil
}

func flockShared(f *os.File) error {
	for {
		switch err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return ErrLocked
		default:
			return err
		}
	}
}

// Close gives the lock back.
func (o *Offline) Close() error {
	if o.lock == nil {
		return nil
	}
	return o.lock.Close()
}

func (o *Offline) path(elem ...string) string {
	return filepath.Join(append([]string{o.dir}, elem...)...)
}

func (o *Offline) has(name string) bool {
	_, err := os.Lstat(o.path(name))
	return err == nil
}

// Lock says whether the lock file is there.
func (o *Offline) Lock() Finding {
	f := Finding{Part: "lock", Path: o.path("lock"), Offset: -1, Text: "no relay is running here"}
	if o.lock == nil {
		f.Level, f.Text = Note, "is not there; the next start makes it"
	}
	return f
}

// Journal reads the journal and the note of what was delivered. fn, if not nil, gets every whole record in order, those behind damage
// too; its Payload is valid until fn returns. The error is the disk's, or fn's.
func (o *Offline) Journal(fn func(Record) error) ([]Finding, error) {
	dir := o.path("journal")
	note, err := os.ReadFile(filepath.Join(dir, "delivered"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read what was delivered: %w", err)
	}
	missing := err != nil
	seq, print, ok := getDelivered(note)
	var found, same bool
	c := &scan{dir: dir, part: "journal", remedy: remedyJournal}
	c.fn = func(r Record) error {
		if ok && r.Seq == seq {
			found, same = true, fingerprintOf(r) == print
		}
		if fn == nil {
			return nil
		}
		return fn(r)
	}
	if err := c.run(); err != nil {
		return c.findings, fmt.Errorf("read the journal: %w", err)
	}
	o.first, o.next = c.first, c.next
	d := Finding{Part: "delivered", Path: filepath.Join(dir, "delivered"), Offset: -1, Level: Note}
	again := "the upstream gets again what came after the last checkpoint"
	switch {
	case missing:
		d.Text, d.Remedy = "is not there", again
	case !ok:
		d.Text, d.Remedy = "cannot be read", again
	case found && !same:
		d.Text, d.Remedy = fmt.Sprintf("names a record %d that is not the one in the journal", seq), again
	case !found && seq >= c.next:
		d.Text, d.Remedy = fmt.Sprintf("names record %d, the journal ends before %d", seq, c.next), again
	default:
		d.Level, d.Text = Whole, fmt.Sprintf("the upstream has every record up to %d", seq)
	}
	return append(c.findings, d), nil
}

// Rejected reads the rejected log. fn, if not nil, gets every batch that can be read, oldest first, with its body; settled is why it is
// not kept any more, 0 if it is.
func (o *Offline) Rejected(fn func(b Rejected, settled Outcome) error) ([]Finding, error) {
	c := &scan{dir: o.path("rejected"), part: "rejected", remedy: remedyRejected}
	settled := map[uint64]Outcome{}
	c.fn = func(r Record) error {
		if r.Kind == KindSettled {
			s, reason := getSettled(r)
			if reason != "" {
				c.damaged(c.dir, -1, "record %d: %s", r.Seq, reason)
			}
			for _, seq := range s.Seqs {
				settled[seq] = s.Outcome
			}
			return nil
		}
		if _, reason := getRejected(r); reason != "" {
			c.damaged(c.dir, -1, "batch %d: %s", r.Seq, reason)
		}
		return nil
	}
	if err := c.run(); err != nil {
		return c.findings, fmt.Errorf("read the rejected log: %w", err)
	}
	if fn == nil {
		return c.findings, nil
	}
	again := &scan{dir: c.dir, part: c.part} // now that it is known what was settled
	again.fn = func(r Record) error {
		if b, reason := getRejected(r); reason == "" {
			return fn(b, settled[r.Seq])
		}
		return nil
	}
	if err := again.run(); err != nil {
		return c.findings, fmt.Errorf("read the rejected log: %w", err)
	}
	return c.findings, nil
}

// Ballast says how much space is kept for a start on a full disk.
func (o *Offline) Ballast() Finding {
	b := NewBallast(o.dir, 0)
	f := Finding{Part: "ballast", Path: b.path, Offset: -1, Text: fmt.Sprintf("takes %d bytes of disk", b.Held())}
	st, err := os.Lstat(b.path)
	switch {
	case err != nil:
		f.Level, f.Text, f.Remedy = Note, "is not there", "a running relay makes it while there is plenty of space"
	case st.Size() > b.Held():
		f.Level, f.Remedy = Note, "a running relay fills it while there is plenty of space"
		f.Text = fmt.Sprintf("takes %d bytes of disk for its size of %d", b.Held(), st.Size())
	}
	return f
}

// Others lists what the relay has set aside, and files that are none of its own.
func (o *Offline) Others() ([]Finding, error) {
	entries, err := os.ReadDir(o.dir)
	if err != nil {
		return nil, fmt.Errorf("read storage path: %w", err)
	}
	var found []Finding
	for _, e := range entries {
		f := Finding{Part: "other", Level: Note, Path: o.path(e.Name()), Offset: -1}
		switch name := e.Name(); {
		case name == "lock" || name == "ballast" || name == "journal" || name == "state" || name == "rejected" || name == "held":
			continue
		case strings.Contains(name, ".damaged-"):
			f.Text, f.Remedy = "was damaged and set aside", "remove it when it is of no use any more"
		default:
			f.Text = "is none of the relay's"
		}
		found = append(found, f)
	}
	return found, nil
}

// Agree compares journal and state, both of which must have been read: a start replays the journal from where the state ends.
func (o *Offline) Agree() []Finding {
	if !o.stateRead {
		return nil
	}
	f := Finding{Part: "state", Level: Damaged, Path: o.path("state"), Offset: -1, Remedy: remedyJournal}
	switch {
	case o.first > o.good.Seq+1:
		f.Text = fmt.Sprintf("reaches to record %d and the journal begins at %d: %s are missing", o.good.Seq, o.first, recordsWord(o.good.Seq+1, o.first))
	case o.next < o.good.Seq+1:
		f.Text = fmt.Sprintf("reaches to record %d and the journal ends before %d: the journal is older than the state, or gone", o.good.Seq, o.next)
	default:
		return nil
	}
	return []Finding{f}
}

// JournalHead is what a journal remembers of itself: what was cut, what was acknowledged.
type JournalHead struct {
	Generation uint64 // how often it was written
	First      uint64 // everything before it was cut
	End        uint64 // everything before it was acknowledged
	Segment    uint64 // the segment that End is in
	Offset     int64  // of End in it, bytes
}

// Head is the head of the log in dir ("journal" or "rejected"); false if it is not there or cannot be read.
func (o *Offline) Head(dir string) (JournalHead, bool, error) {
	b, err := os.ReadFile(o.path(dir, "head"))
	if errors.Is(err, fs.ErrNotExist) {
		return JournalHead{}, false, nil
	}
	if err != nil {
		return JournalHead{}, false, fmt.Errorf("read head: %w", err)
	}
	s, known, _ := newestSlot(b)
	return JournalHead{Generation: s.generation, First: s.first, End: s.end, Segment: s.segment, Offset: s.offset}, known, nil
}

// StateHead is the last good checkpoint of the state in dir, as its head names it; zero if there is none, or it cannot be read.
func StateHead(dir string) Checkpoint {
	if c, _, reason, err := readStateHead(dir); reason == "" && err == nil {
		return c
	}
	return Checkpoint{}
}

// StateHead is the last good checkpoint, as the head names it; false if there is none or it cannot be read.
func (o *Offline) StateHead() (Checkpoint, bool, error) {
	c, present, reason, err := readStateHead(o.path("state"))
	if err != nil {
		return c, false, fmt.Errorf("read head: %w", err)
	}
	return c, present && reason == "", nil
}
