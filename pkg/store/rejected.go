package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sort"
	"sync"
)

// Rejected is a batch that the upstream refused for good.
type Rejected struct {
	Seq     uint64 // position in the rejected log, set by Add; not that of the journal
	Time    int64  // ms, when it was refused
	Tenant  string
	Version uint8  // of remote write: 1 or 2
	Status  int    // HTTP status of the refusal
	Answer  string // what the upstream said, at most 64 KiB of it
	Samples uint32 // samples and histograms in it
	Body    []byte // compressed request, as it was sent; nil in lists without bodies, and if it alone was over the log's bound
}

// RejectedLog keeps refused batches, durably and bounded, in the journal's own format, until they are dropped, or were sent again with
// success. All methods may be called concurrently.
type RejectedLog struct {
	j        *Journal
	maxBytes int64
	log      *slog.Logger

	mu                             sync.Mutex
	live                           []keptBatch // in order: what is in the log and was not settled
	droppedBatches, droppedSamples int64
}

// keptBatch is what is known without reading of a batch in the log.
type keptBatch struct {
	seq     uint64
	samples uint32
}

const (
	defaultRejectedBytes = 256 << 20
	rejectedSegments     = 16 // dropping the oldest segment drops about this part of the log
	rejectedHeaderLen    = 8
	maxAnswer            = 64 << 10
)

// OpenRejected opens or creates the log in dir. maxBytes bounds what it takes on disk (0 = 256 MiB). Its errors are OpenJournal's: it
// is read whole, so that damage is found now.
func OpenRejected(dir string, maxBytes int64, log *slog.Logger) (*RejectedLog, error) {
	if maxBytes <= 0 {
		maxBytes = defaultRejectedBytes
	}
	j, err := OpenJournal(dir, JournalOptions{SegmentBytes: max(maxBytes/rejectedSegments, 4<<10), Sync: true, Logger: log})
	if err != nil {
		return nil, fmt.Errorf("open rejected log: %w", err)
	}
	l := &RejectedLog{j: j, maxBytes: maxBytes, log: j.log}
	if err := l.index(); err != nil {
		return nil, errors.Join(fmt.Errorf("open rejected log: %w", err), j.Close())
	}
	return l, nil
}

// index finds out what is kept: the batches in the log but those that a later record settled.
func (l *RejectedLog) index() error {
	r, err := l.j.Reader(l.j.First())
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch rec.Kind {
		case KindSettled:
			s, reason := getSettled(rec)
			if reason != "" {
				return &CorruptionError{Path: r.s.path, Offset: -1, Reason: fmt.Sprintf("record %d: %s", rec.Seq, reason)}
			}
			l.forget(s.Seqs)
		default:
			if _, reason := getRejected(rec); reason != "" {
				return &CorruptionError{Path: r.s.path, Offset: -1, Reason: fmt.Sprintf("record %d: %s", rec.Seq, reason)}
			}
			l.live = append(l.live, keptBatch{rec.Seq, rec.Samples})
		}
	}
}

// forget takes batches out of the books and says how much went. mu is held, or nobody else knows l yet.
func (l *RejectedLog) forget(seqs []uint64) (batches, samples int64) {
	gone := make(map[uint64]bool, len(seqs))
	for _, seq := range seqs {
		gone[seq] = true
	}
	l.live = slices.DeleteFunc(l.live, func(b keptBatch) bool {
		if gone[b.seq] {
			batches++
			samples += int64(b.samples)
		}
		return gone[b.seq]
	})
	return batches, samples
}

// Add keeps b and is durable on return. The oldest batches go when there is no room, which is logged and counted by Dropped.
func (l *RejectedLog) Add(b Rejected) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(b.Answer) > maxAnswer {
		b.Answer = b.Answer[:maxAnswer]
	}
	if int64(len(b.Body))+maxAnswer > l.maxBytes/2 {
		l.log.Warn("refused batch is too large for the rejected log, its body is dropped", "bytes", len(b.Body), "status", b.Status)
		b.Body = nil
	}
	group := []Record{{Time: b.Time, Kind: KindRejected, Tenant: b.Tenant, Samples: b.Samples, Payload: putRejected(b)}}
	if err := l.append(group); err != nil {
		return fmt.Errorf("keep refused batch: %w", err)
	}
	l.live = append(l.live, keptBatch{group[0].Seq, b.Samples})
	return nil
}

// append makes room for the one record and appends it. mu is held.
func (l *RejectedLog) append(group []Record) error {
	if err := l.makeRoom(recordSize(&group[0])); err != nil {
		return err
	}
	return l.j.Append(group)
}

// makeRoom drops the oldest segments until size fits. mu is held.
func (l *RejectedLog) makeRoom(size int64) error {
	for l.j.Bytes()+size > l.maxBytes && l.j.First() < l.j.End() {
		if err := l.j.cutOldest(); err != nil {
			return err
		}
		n := sort.Search(len(l.live), func(i int) bool { return l.live[i].seq >= l.j.First() })
		if n == 0 {
			continue
		}
		var samples int64
		for _, b := range l.live[:n] {
			samples += int64(b.samples)
		}
		l.live = slices.Delete(l.live, 0, n)
		l.droppedBatches += int64(n)
		l.droppedSamples += samples
		l.log.Warn("rejected log is full, its oldest batches were dropped", "batches", n, "samples", samples)
	}
	return nil
}

// cutOldest drops the first segment, even if it is the one that is written to.
func (j *Journal) cutOldest() error {
	j.mu.Lock()
	next, only := j.segments[0].next, len(j.segments) == 1
	j.mu.Unlock()
	if only {
		j.writeMu.Lock()
		err := j.failure()
		if err == nil {
			if err = j.rotate(); err != nil {
				err = j.fail(fmt.Errorf("rotate journal: %w", err))
			}
		}
		j.writeMu.Unlock()
		if err != nil {
			return err
		}
	}
	return j.Cut(next)
}

// List returns up to limit batches, newest first, that are older than the cursor after (a Seq; 0 = from the newest on).
func (l *RejectedLog) List(after uint64, limit int, withBody bool) ([]Rejected, error) {
	var list []Rejected
	for _, want := range l.newest(after, limit) {
		if len(list) > 0 && list[len(list)-1].Seq <= want {
			continue // it came with the block
		}
		part, err := l.read(l.j.blockStart(want), want+1, withBody)
		if errors.Is(err, ErrCut) {
			break // dropped meanwhile, and all older ones too
		}
		if err != nil {
			return nil, fmt.Errorf("list refused batches: %w", err)
		}
		slices.Reverse(part)
		list = append(list, part[:min(len(part), limit-len(list))]...)
	}
	return list, nil
}

// newest gives the positions of up to limit batches older than after, newest first.
func (l *RejectedLog) newest(after uint64, limit int) []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.live)
	if after > 0 {
		n = sort.Search(n, func(i int) bool { return l.live[i].seq >= after })
	}
	var seqs []uint64
	for n--; n >= 0 && len(seqs) < limit; n-- {
		seqs = append(seqs, l.live[n].seq)
	}
	return seqs
}

// Oldest gives the positions of up to limit batches that are newer than after, oldest first.
func (l *RejectedLog) Oldest(after uint64, limit int) []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var seqs []uint64
	for i := sort.Search(len(l.live), func(i int) bool { return l.live[i].seq > after }); i < len(l.live) && len(seqs) < limit; i++ {
		seqs = append(seqs, l.live[i].seq)
	}
	return seqs
}

// Get returns one batch with its body; found is false if it is not kept (any more).
func (l *RejectedLog) Get(seq uint64) (b Rejected, found bool, err error) {
	if !l.keeps(seq) {
		return b, false, nil
	}
	list, err := l.read(l.j.blockStart(seq), seq+1, true)
	if errors.Is(err, ErrCut) {
		return b, false, nil
	}
	if err != nil {
		return b, false, fmt.Errorf("read refused batch %d: %w", seq, err)
	}
	if len(list) == 0 || list[len(list)-1].Seq != seq {
		return b, false, nil
	}
	return list[len(list)-1], true, nil
}

func (l *RejectedLog) keeps(seq uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := sort.Search(len(l.live), func(i int) bool { return l.live[i].seq >= seq })
	return i < len(l.live) && l.live[i].seq == seq
}

// blockStart is the first seq of the index block that holds seq.
func (j *Journal) blockStart(seq uint64) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	seq = max(seq, j.segments[0].first)
	s := j.segments[j.segmentOf(seq)]
	if k := s.blockOf(seq); k >= 0 {
		return s.blocks[k].seq
	}
	return s.first
}

// read returns the kept batches from from to before end, oldest first.
func (l *RejectedLog) read(from, end uint64, withBody bool) ([]Rejected, error) {
	r, err := l.j.Reader(from)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var list []Rejected
	for seq := from; seq < end; seq++ {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if !l.keeps(rec.Seq) {
			continue
		}
		b, reason := getRejected(rec)
		if reason != "" {
			return nil, fmt.Errorf("refused batch %d: %s", rec.Seq, reason)
		}
		if withBody && b.Body != nil {
			b.Body = append([]byte(nil), b.Body...)
		} else {
			b.Body = nil
		}
		list = append(list, b)
	}
	return list, nil
}

// Count is what is kept now.
func (l *RejectedLog) Count() (batches, samples int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.live {
		samples += int64(b.samples)
	}
	return int64(len(l.live)), samples
}

// Dropped is what had to go since the log was opened, for want of room.
func (l *RejectedLog) Dropped() (batches, samples int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.droppedBatches, l.droppedSamples
}

// Bytes is what the log takes on disk.
func (l *RejectedLog) Bytes() int64 { return l.j.Bytes() }

// Close gives the lock back.
func (l *RejectedLog) Close() error { return l.j.Close() }

// A rejected record's payload: version:u8 flags:u8 status:u16 answer_len:u32 answer body. Flag 1: there is no body.
func putRejected(b Rejected) []byte {
	p := make([]byte, rejectedHeaderLen, rejectedHeaderLen+len(b.Answer)+len(b.Body))
	p[0] = b.Version
	if b.Body == nil {
		p[1] = 1
	}
	binary.LittleEndian.PutUint16(p[2:], uint16(b.Status))
	binary.LittleEndian.PutUint32(p[4:], uint32(len(b.Answer)))
	p = append(p, b.Answer...)
	return append(p, b.Body...)
}

// getRejected says in words why r is none. Body aliases the record's payload.
func getRejected(r Record) (Rejected, string) {
	p := r.Payload
	if r.Kind != KindRejected || len(p) < rejectedHeaderLen {
		return Rejected{}, fmt.Sprintf("record of kind %d with %d bytes is no refused batch", r.Kind, len(p))
	}
	n := uint64(binary.LittleEndian.Uint32(p[4:]))
	if n > uint64(len(p)-rejectedHeaderLen) {
		return Rejected{}, fmt.Sprintf("answer of %d bytes does not fit", n)
	}
	b := Rejected{
		Seq: r.Seq, Time: r.Time, Tenant: r.Tenant, Samples: r.Samples,
		Version: p[0], Status: int(binary.LittleEndian.Uint16(p[2:])), Answer: string(p[rejectedHeaderLen : rejectedHeaderLen+n]),
	}
	if p[1]&1 == 0 {
		b.Body = p[rejectedHeaderLen+n:]
	}
	return b, ""
}
