package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/prometheus/client_golang/prometheus"
)

// State holds the series state and the log of corrections in Badger, in managed mode: a checkpoint is a version. Everything is read
// at the last good version, so a checkpoint that was being written at a crash is never seen. Badger's word alone is not trusted: a
// head beside it says which version is good and what must be in it, and a start compares.
//
// Get, Load and Scan may be called concurrently with each other and with a draft. There is one draft at a time.
type State struct {
	dir      string
	log      *slog.Logger
	disk     disk
	memTable int64
	idle     time.Duration // 0: idleFor
	lock     *Lock
	db       *database // nil until the state is open
	metrics  stateMetrics

	mu          sync.Mutex
	good        Checkpoint
	lastVersion uint64         // highest version that anything was ever written at
	leftovers   bool           // there may be keys of versions above good that never became good
	readers     map[uint64]int // reads going on, by version
	draft       *Draft
	closed      bool
}

// OpenState opens or creates the series state in dir and takes its lock. It reads everything once and compares it with the head:
// a *StateError says that something is missing or changed. reg may be nil.
func OpenState(dir string, log *slog.Logger, reg prometheus.Registerer) (*State, error) {
	return openState(dir, log, reg, stateOptions{memTable: memTableBytes})
}

// stateOptions are for tests: a small memtable brings out flushes and compactions, which is where the interesting crashes are.
type stateOptions struct {
	disk     disk
	memTable int64         // bytes
	idle     time.Duration // for which the database stays open for nobody; 0: idleFor
}

func openState(dir string, log *slog.Logger, reg prometheus.Registerer, o stateOptions) (*State, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	lock, err := LockPath(dir)
	if err != nil {
		return nil, err
	}
	s := &State{dir: dir, log: log, disk: o.disk, memTable: o.memTable, idle: o.idle, lock: lock, readers: make(map[uint64]int)}
	if err := s.open(); err != nil {
		if s.db != nil {
			_ = s.db.end()
		}
		_ = lock.Unlock()
		return nil, err
	}
	s.metrics = newStateMetrics(reg, s)
	return s, nil
}

func (s *State) open() error {
	head, err := s.readHead()
	if err != nil {
		return err
	}
	db, err := s.openBadger(head, false)
	if err != nil {
		return err
	}
	s.db, s.good = newDatabase(s, db, s.idle), head
	defer s.db.release()
	if err := s.disk.syncDir(s.dir); err != nil {
		return err
	}
	start := time.Now()
	if err := s.compareMarker(db, head); err != nil {
		return err
	}
	if err := s.verify(); err != nil {
		return err
	}
	s.lastVersion = max(db.MaxVersion(), head.Version)
	s.leftovers = s.lastVersion > head.Version
	s.log.Info("series state opened", "version", head.Version, "seq", head.Seq, "keys", head.Keys, "leftovers", s.leftovers, "verified_in", time.Since(start))
	return nil
}

// openBadger looks at the database, which must hold what head says, and opens it.
func (s *State) openBadger(head Checkpoint, readOnly bool) (db *badger.DB, err error) {
	if err := s.prepare(readOnly); err != nil {
		return nil, s.damaged(head, "the database is damaged", err)
	}
	if !readOnly && !s.roomForFirst() {
		return nil, fmt.Errorf("open series state: the database needs %d bytes of disk at %s; make room: %w", firstBytes(s.memTable), s.dir, syscall.ENOSPC)
	}
	o := s.badgerOptions().WithReadOnly(readOnly)
	err = guard(func() (err error) { db, err = badger.OpenManaged(o); return err })
	if isFull(err) {
		return nil, fmt.Errorf("open series state: the disk is full; make room: %w", err)
	}
	if isShortage(err) {
		return nil, fmt.Errorf("open series state: %w", err)
	}
	if err != nil {
		return nil, s.damaged(head, "the database does not open", err)
	}
	return db, nil
}

// reopen opens the database that this process closed. All guards of a start are passed again but for one: the keys are not counted,
// which takes as long as reading them all. The tables match their checksums, and the marker is the good checkpoint's.
func (s *State) reopen(readOnly bool) (*badger.DB, error) {
	start := time.Now()
	head, err := s.readHead()
	if err != nil {
		return nil, err
	}
	good, _ := s.Good()
	if head.Version < good.Version {
		return nil, s.damaged(good, fmt.Sprintf("the head says version %d", head.Version), nil)
	}
	db, err := s.openBadger(good, readOnly)
	if err != nil {
		return nil, err
	}
	if err := s.compareMarker(db, good); err != nil {
		_ = guard(db.Close)
		return nil, err
	}
	s.log.Debug("series state's database opened again", "read_only", readOnly, "took", time.Since(start))
	return db, nil
}

// compareMarker holds the marker at the good version against the head.
func (s *State) compareMarker(db *badger.DB, good Checkpoint) error {
	if good.Version == 0 {
		return nil
	}
	marker, err := getAt(db, good.Version, markerKey)
	if err != nil && !errors.Is(err, badger.ErrKeyNotFound) {
		return s.damaged(good, "the checkpoint's marker cannot be read", err)
	}
	if c, reason := decodeCheckpoint(marker); err != nil || reason != "" || c != good {
		return s.damaged(good, fmt.Sprintf("the checkpoint's marker is missing or another one (found version %d)", c.Version), nil)
	}
	return nil
}

// readHead reads the head, or creates it in a directory that never had one, and checks that a database is there if it says so.
func (s *State) readHead() (Checkpoint, error) {
	head, present, reason, err := readStateHead(s.dir)
	if err != nil {
		return head, fmt.Errorf("open series state: %w", err)
	}
	if reason != "" {
		return head, s.damaged(Checkpoint{}, "the head file is damaged", errors.New(reason))
	}
	entries, err := os.ReadDir(s.badgerDir())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return head, fmt.Errorf("open series state: %w", err)
	}
	if !present {
		if len(entries) > 0 {
			return head, s.damaged(Checkpoint{}, "there is a database, but the head file that says what must be in it is missing", nil)
		}
		return head, writeStateHead(s.disk, s.dir, Checkpoint{})
	}
	if head.Version > 0 {
		// Badger takes a missing MANIFEST for a new database and deletes all tables.
		if _, err := os.Stat(filepath.Join(s.badgerDir(), badger.ManifestFilename)); err != nil {
			return head, s.damaged(head, "the database's MANIFEST is missing", err)
		}
	}
	return head, nil
}

// verify compares what Badger holds at the good version with the head: the number of keys, and the sum over all of them.
func (s *State) verify() error {
	if s.good.Version == 0 {
		return nil
	}
	found := Checkpoint{Version: s.good.Version, Seq: s.good.Seq}
	err := s.Scan(nil, nil, false, func(k, v []byte) (bool, error) {
		if k[0] != markerKey[0] {
			found.Keys++
			found.sum += pairSum(k, v)
		}
		return true, nil
	})
	if err != nil {
		return s.damaged(s.good, "the database cannot be read", err)
	}
	switch {
	case found.Keys != s.good.Keys:
		return s.damaged(s.good, fmt.Sprintf("%d keys are there, %d must be", found.Keys, s.good.Keys), nil)
	case found.sum != s.good.sum:
		return s.damaged(s.good, "all keys are there, but not all values are what they were", nil)
	}
	return nil
}

func (s *State) damaged(head Checkpoint, reason string, err error) error {
	return &StateError{Dir: s.dir, Head: head, Reason: reason, Err: err}
}

func (s *State) badgerDir() string { return filepath.Join(s.dir, "badger") }

// badgerOptions are sized for short keys and values of some KiB, and for a process that shares its memory with others.
func (s *State) badgerOptions() badger.Options {
	o := badger.DefaultOptions(s.badgerDir()).
		WithSyncWrites(!s.disk.unsynced). // else a memtable that was rotated out but not yet flushed is not durable, and Sync does not reach it
		WithCompression(options.None).
		WithBlockCacheSize(0). // tables are mapped, the page cache is the cache
		WithIndexCacheSize(0).
		WithMetricsEnabled(false).
		WithDetectConflicts(false). // one writer
		WithNumMemtables(2).
		WithNumCompactors(2).
		WithMemTableSize(s.memTable).
		WithValueThreshold(min(1<<20, s.memTable/10)). // values stay in the tables; the value log is an empty mapped file
		WithValueLogFileSize(valueLogBytes).
		WithNumVersionsToKeep(1). // above the discard timestamp all versions stay anyway
		WithLogger(badgerLog{s.log})
	o.TableSizeMultiplier = 1 // a table is written from a buffer of twice its size, and several at once
	return o
}

// valueLogBytes is the least that Badger takes. It is never written to, but allocated.
const valueLogBytes = 1 << 20

// memTableBytes is an eighth of Badger's default: a memtable is allocated whole, and up to three are in use.
const memTableBytes = 8 << 20

// Good is the last good checkpoint; false if there never was one.
func (s *State) Good() (Checkpoint, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.good, s.good.Version > 0
}

// hold is the database in somebody's use, and the version that is pinned for it.
type hold struct {
	db      *badger.DB
	version uint64 // 0: there is no checkpoint yet, and no database is held
}

// acquire pins the good version for a read.
func (s *State) acquire() (h hold, err error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return h, os.ErrClosed
	}
	h.version = s.good.Version
	if h.version == 0 {
		s.mu.Unlock()
		return h, nil
	}
	s.readers[h.version]++
	s.mu.Unlock()
	if h.db, err = s.db.acquire(false); err != nil {
		s.unpin(h.version)
		return hold{}, err
	}
	return h, nil
}

func (s *State) release(h hold) {
	s.db.release()
	s.unpin(h.version)
}

func (s *State) unpin(version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readers[version]--; s.readers[version] == 0 {
		delete(s.readers, version)
	}
	if !s.closed {
		s.discard()
	}
}

// discard lets Badger drop what no one can ask for any more. It stays below the good version and below every read. mu is held.
func (s *State) discard() {
	if s.good.Version == 0 {
		return
	}
	oldest := s.good.Version - 1
	for v := range s.readers {
		oldest = min(oldest, v)
	}
	s.db.dropBelow(oldest)
}

// Size is what the state takes on disk, in bytes: Badger's logs are allocated before they are written.
func (s *State) Size() (bytes int64) { return allocatedBytes(s.dir) }

// Close abandons an open draft and closes the database. Reads must have ended.
func (s *State) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	return errors.Join(s.db.end(), s.lock.Unlock())
}

// SetAsideState moves a state directory that OpenState refused out of the way, keeping it, and returns its new name.
func SetAsideState(dir string) (string, error) { return setAside(dir) }

// isShortage tells what is wrong with the machine from what is wrong with the data. Badger hands errors on as text.
func isShortage(err error) bool {
	for _, no := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if err != nil && (errors.Is(err, no) || strings.Contains(err.Error(), no.Error())) {
			return true
		}
	}
	return false
}

// isFull tells a full disk from everything else. Badger hands errors on as text.
func isFull(err error) bool {
	for _, no := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		if err != nil && (errors.Is(err, no) || strings.Contains(err.Error(), no.Error())) {
			return true
		}
	}
	return false
}

// guard turns a panic of Badger's in this goroutine into an error.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("database panicked: %v", r)
		}
	}()
	return f()
}

// badgerLog takes Badger's log lines: its chatter is debug, its errors are warnings, since what fails is returned as an error too.
type badgerLog struct{ log *slog.Logger }

func (l badgerLog) Errorf(f string, a ...any)   { l.log.Warn(badgerLine(f, a)) }
func (l badgerLog) Warningf(f string, a ...any) { l.log.Warn(badgerLine(f, a)) }
func (l badgerLog) Infof(f string, a ...any)    { l.log.Debug(badgerLine(f, a)) }
func (l badgerLog) Debugf(string, ...any)       {}
