package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pawl/internal/killpoint"
)

// RecordKind says what a record's payload is. The journal does not look into it.
type RecordKind uint8

// The kinds of records. Numbers are on disk.
const (
	KindBatch1   RecordKind = 1 // compressed remote write 1.0 request
	KindBatch2   RecordKind = 2 // compressed remote write 2.0 request
	KindRules    RecordKind = 3 // what decisions rest on, as YAML (config.Decisions)
	KindForget   RecordKind = 4 // series to be forgotten
	KindTick     RecordKind = 5 // time passed without requests
	KindRejected RecordKind = 6 // only in rejected/
	KindSettled  RecordKind = 7 // only in rejected/: batches that need not be kept any more
	KindHeld     RecordKind = 8 // only in held/: a batch kept aside
)

// Record is one entry of the journal.
type Record struct {
	Seq     uint64 // position, set by Append; gapless, the first ever is 1
	Time    int64  // ms, when it was received; Append raises it to that of the record before it
	Kind    RecordKind
	Tenant  string // at most 65,535 bytes
	Samples uint32 // samples and histograms in it, for the backlog's figures
	Payload []byte // at most 256 MiB
}

// JournalOptions has no required field.
type JournalOptions struct {
	SegmentBytes int64 // a segment over this is sealed and the next begun; default 64 MiB: what Cut can free, and a start must scan
	MaxBytes     int64 // Append returns ErrFull rather than go over it; 0 = no bound
	Sync         bool  // sync before Append returns; else only every SyncInterval, at rotation, Sync and Close
	SyncInterval time.Duration
	KernelSync   bool // with Sync: by the kernel's own threads, where they can be had (docs/decisions/0026)
	Logger       *slog.Logger
	Registerer   prometheus.Registerer // nil: no metrics

	disk disk
}

const defaultSegmentBytes = 64 << 20

// writeChunk is how much of a group is gathered for one write; larger groups take several, so that memory stays bounded.
const writeChunk = 1 << 20

// Journal is an append-only log of records in segment files. All methods may be called concurrently.
type Journal struct {
	dir     string
	o       JournalOptions
	log     *slog.Logger
	metrics journalMetrics

	writeMu sync.Mutex // held by whoever changes files; taken before mu
	file    *os.File   // last segment
	head    *journalHead
	kernel  *kernelSync // nil: there is none, or none was asked for
	buf     []byte
	dirty   bool // written and not yet synced (interval mode)
	closed  bool

	mu       sync.Mutex // the fields below, for short reads and updates only
	segments []*segment // in order, never empty; the last one is written to
	appended int64      // samples, since it was opened
	bytes    int64
	failed   error
	details  blockDetails

	stop     chan struct{} // ends syncEvery; nil without it
	stopOnce sync.Once
	done     chan struct{}
}

// OpenJournal opens or creates the journal in dir and takes its lock. A torn tail of the last segment, which nobody was told is
// safe, is cut and logged; whatever else is not as it was written is a *CorruptionError, and nothing was changed then.
func OpenJournal(dir string, o JournalOptions) (*Journal, error) {
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = killpoint.Bytes(killpoint.EnvSegment, defaultSegmentBytes)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create journal: %w", err)
	}
	j := &Journal{dir: dir, o: o, log: o.Logger, metrics: newJournalMetrics(o.Registerer)}
	head, known, err := openJournalHead(dir, o.disk)
	if err != nil {
		return nil, err
	}
	j.head = head
	if err := j.recover(known); err != nil {
		if j.file != nil {
			j.file.Close()
		}
		head.f.Close()
		return nil, err
	}
	if o.KernelSync && o.Sync && !o.disk.unsynced {
		if j.kernel, err = openKernelSync(); err != nil {
			j.log.Info("the journal is synced by fdatasync, as there is no asynchronous I/O to be had from the kernel; that costs some 10 % more CPU", "err", err)
		}
	}
	if !o.Sync && o.SyncInterval > 0 {
		j.stop, j.done = make(chan struct{}), make(chan struct{})
		go j.syncEvery(o.SyncInterval)
	}
	return j, nil
}

// Append writes the group with one write, syncs it once (with JournalOptions.Sync), and fills in Seq and Time of its records.
// ErrFull and ErrTooLarge leave the journal as it was; a disk without space is ErrFull too. Any other error is final: what is on disk
// is not known any more, so the group is not acknowledged and every later Append returns the same error. Payloads are not kept.
func (j *Journal) Append(group []Record) error {
	if len(group) == 0 {
		return nil
	}
	j.writeMu.Lock()
	defer j.writeMu.Unlock()
	size, err := j.admit(group)
	if err != nil {
		return err
	}
	if s := j.active(); s.end >= j.o.SegmentBytes && s.next > s.first {
		if err := j.rotate(); err != nil {
			return j.undo(s, fmt.Errorf("rotate journal: %w", err))
		}
	}
	s, dirty := j.active(), j.dirty
	killpoint.At(killpoint.BeforeWrite)
	if err := j.write(s, group); err != nil {
		err = j.undo(s, fmt.Errorf("append to journal: %w", err))
		j.dirty = dirty
		return err
	}
	killpoint.At(killpoint.WriteSync)
	if j.o.Sync {
		if err := j.syncTo(s, s.next+uint64(len(group)), s.end+size); err != nil {
			return j.fail(fmt.Errorf("append to journal: %w", err))
		}
	}
	j.mu.Lock()
	for i := range group {
		r := &group[i]
		j.details.add(s, recordSize(r), r.Samples, r.Time)
		j.appended += int64(r.Samples)
	}
	s.size = s.end
	j.bytes += size
	j.mu.Unlock()
	j.metrics.appended(len(group), size)
	return nil
}

// admit says whether the group may be written, and its size in bytes.
func (j *Journal) admit(group []Record) (size int64, err error) {
	if err := j.failure(); err != nil {
		return 0, err
	}
	for i := range group {
		if len(group[i].Payload) > maxPayload || len(group[i].Tenant) > maxTenant {
			return 0, fmt.Errorf("record %d of the group, payload of %d bytes, tenant of %d: %w", i, len(group[i].Payload), len(group[i].Tenant), ErrTooLarge)
		}
		size += recordSize(&group[i])
	}
	if j.o.MaxBytes > 0 && j.Bytes()+size > j.o.MaxBytes {
		return 0, ErrFull
	}
	return size, nil
}

// write puts the group behind s. Readers do not see it yet.
func (j *Journal) write(s *segment, group []Record) error {
	var (
		b     = j.buf[:0]
		off   = s.end
		last  = s.last
		flags uint8
	)
	if !j.dirty {
		flags = flagAfterSync
	}
	j.dirty = true
	for i := range group {
		r := &group[i]
		r.Seq = s.next + uint64(i)
		r.Time = max(r.Time, last)
		last = r.Time
		if len(b) > 0 && int64(len(b))+recordSize(r) > writeChunk {
			if err := j.o.disk.writeAt(j.file, b, off); err != nil {
				return err
			}
			off, b = off+int64(len(b)), b[:0]
		}
		b = appendRecord(b, s.seed, r, uint32(i), flags)
	}
	if err := j.o.disk.writeAt(j.file, b, off); err != nil {
		return err
	}
	if cap(b) <= windowKeep {
		j.buf = b
	}
	return nil
}

// syncTo makes the last segment s durable up to byte end, where record next will go, and notes in the head that it is.
func (j *Journal) syncTo(s *segment, next uint64, end int64) error {
	start := time.Now()
	if err := j.o.disk.syncBy(j.kernel, j.file); err != nil {
		return err
	}
	j.metrics.syncSeconds.Observe(time.Since(start).Seconds())
	j.dirty = false
	killpoint.At(killpoint.SyncHead)
	return j.head.set(headSlot{first: j.First(), end: next, segment: s.first, offset: end})
}

// Sync makes everything appended so far durable. It is for JournalOptions.Sync off; with it on there is nothing to do.
func (j *Journal) Sync() error {
	j.writeMu.Lock()
	defer j.writeMu.Unlock()
	if err := j.failure(); err != nil {
		return err
	}
	if !j.dirty {
		return nil
	}
	s := j.active()
	if err := j.syncTo(s, s.next, s.end); err != nil {
		return j.fail(err)
	}
	return nil
}

func (j *Journal) syncEvery(d time.Duration) {
	defer close(j.done)
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		select {
		case <-j.stop:
			return
		case <-t.C:
			if err := j.Sync(); err != nil {
				j.log.Error("journal cannot be synced, nothing is acknowledged any more", "err", err)
				return
			}
		}
	}
}

// First is the oldest kept seq; it equals End when there is none.
func (j *Journal) First() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.segments[0].first
}

// End is the seq that the next record will get. Everything before it is acknowledged and may be read.
func (j *Journal) End() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.segments[len(j.segments)-1].next
}

// Appended is how many samples and native histograms were appended since the journal was opened.
func (j *Journal) Appended() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.appended
}

// Bytes is what the journal takes on disk.
func (j *Journal) Bytes() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.bytes
}

// Close syncs what is not yet and gives the lock back. It returns the error that the journal failed with, if it had.
func (j *Journal) Close() error {
	if j.stop != nil {
		j.stopOnce.Do(func() { close(j.stop) })
		<-j.done
	}
	j.writeMu.Lock()
	defer j.writeMu.Unlock()
	if j.closed {
		return nil
	}
	j.closed = true
	err := j.failure()
	if err == nil && j.dirty {
		s := j.active()
		err = j.syncTo(s, s.next, s.end)
	}
	if err == nil {
		err = j.syncHead()
	}
	j.mu.Lock()
	if j.failed == nil {
		j.failed = os.ErrClosed
	}
	j.mu.Unlock()
	return errors.Join(err, j.file.Close(), j.head.f.Close(), j.kernel.close())
}

// active is the last segment. Its fields may be read by whoever holds writeMu.
func (j *Journal) active() *segment {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.segments[len(j.segments)-1]
}

// Err is the error that the journal failed with, nil while it works.
func (j *Journal) Err() error { return j.failure() }

func (j *Journal) failure() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failed
}

// undo cuts off what a write that failed for want of space has left behind the last segment s: the disk has said that it did not take
// it, and nothing of it was synced, so the journal is as it was before and can go on. After any other error it is not known what is on
// disk, and the journal has failed.
func (j *Journal) undo(s *segment, err error) error {
	if failed := j.failure(); failed != nil {
		return failed // a sync within
	}
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) || j.active() != s {
		return j.fail(err)
	}
	if terr := j.file.Truncate(s.end); terr != nil {
		return j.fail(errors.Join(err, terr))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.bytes += s.end - s.size
	s.size = s.end
	return fmt.Errorf("%w: %w", ErrFull, err)
}

// fail makes err the answer to every later Append. A failed sync cannot be tried again: the kernel may have dropped the pages.
func (j *Journal) fail(err error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed == nil {
		j.failed = fmt.Errorf("journal failed: %w", err)
	}
	return j.failed
}
