package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

// RejectedLog keeps refused batches, durably and bounded, in the journal's own format.
type RejectedLog struct {
	j        *Journal
	maxBytes int64
	log      *slog.Logger

	mu                             sync.Mutex
	droppedBatches, droppedSamples int64
}

const (
	defaultRejectedBytes = 256 << 20
	rejectedSegments     = 16 // dropping the oldest segment drops about this part of the log
	rejectedHeaderLen    = 8
	maxAnswer            = 64 << 10
)

// OpenRejected opens or creates the log in dir. maxBytes bounds what it takes on disk (0 = 256 MiB). Its errors are OpenJournal's.
func OpenRejected(dir string, maxBytes int64, log *slog.Logger) (*RejectedLog, error) {
	if maxBytes <= 0 {
		maxBytes = defaultRejectedBytes
	}
	j, err := OpenJournal(dir, JournalOptions{SegmentBytes: max(maxBytes/rejectedSegments, 4<<10), Sync: true, Logger: log})
	if err != nil {
		return nil, fmt.Errorf("open rejected log: %w", err)
	}
	return &RejectedLog{j: j, maxBytes: maxBytes, log: j.log}, nil
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
	if err := l.makeRoom(recordSize(&group[0])); err != nil {
		return fmt.Errorf("keep refused batch: %w", err)
	}
	if err := l.j.Append(group); err != nil {
		return fmt.Errorf("keep refused batch: %w", err)
	}
	return nil
}

// makeRoom drops the oldest segments until size fits.
func (l *RejectedLog) makeRoom(size int64) error {
	for l.j.Bytes()+size > l.maxBytes && l.j.First() < l.j.End() {
		samples, _, _ := l.j.Backlog(l.j.First())
		first := l.j.First()
		if err := l.j.cutOldest(); err != nil {
			return err
		}
		left, _, _ := l.j.Backlog(l.j.First())
		l.droppedBatches += int64(l.j.First() - first)
		l.droppedSamples += samples - left
		l.log.Warn("rejected log is full, its oldest batches were dropped", "batches", l.j.First()-first, "samples", samples-left)
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
	end := l.j.End()
	if after > 0 {
		end = min(end, after)
	}
	var list []Rejected
	for len(list) < limit && end > l.j.First() {
		from := l.j.blockStart(end - 1)
		part, err := l.read(from, end, withBody)
		if errors.Is(err, ErrCut) {
			break // dropped meanwhile, and all older ones too
		}
		if err != nil {
			return nil, fmt.Errorf("list refused batches: %w", err)
		}
		for i := len(part) - 1; i >= 0 && len(list) < limit; i-- {
			list = append(list, part[i])
		}
		end = from
	}
	return list, nil
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

// read returns the batches from from to before end, oldest first.
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
	first := l.j.First()
	samples, _, _ = l.j.Backlog(first)
	return int64(l.j.End() - first), samples
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
