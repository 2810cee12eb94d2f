package store

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Outcome is why a refused batch need not be kept any more.
type Outcome uint8

// The outcomes. Numbers are on disk.
const (
	Resent Outcome = 1 // the upstream took it when it was sent again
	Thrown Outcome = 2 // somebody dropped it
)

func (o Outcome) String() string {
	switch o {
	case Resent:
		return "resent"
	case Thrown:
		return "dropped"
	}
	return fmt.Sprintf("outcome %d", uint8(o))
}

// Settled is a record of the rejected log that takes batches out of it.
type Settled struct {
	Outcome Outcome
	Seqs    []uint64 // ascending
}

// maxSettled bounds the batches that one record settles.
const maxSettled = 10_000

// Settle takes batches out of the log, durably; those that are not in it are left out. It gives back the space of segments that hold
// no kept batch any more, and says how much went.
func (l *RejectedLog) Settle(seqs []uint64, outcome Outcome) (batches, samples int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wanted := make(map[uint64]bool, len(seqs))
	for _, seq := range seqs {
		wanted[seq] = true
	}
	var found []uint64
	for _, b := range l.live {
		if wanted[b.seq] {
			found = append(found, b.seq)
		}
	}
	for part := range slices.Chunk(found, maxSettled) {
		group := []Record{{Kind: KindSettled, Payload: putSettled(Settled{outcome, part})}}
		if err := l.append(group); err != nil {
			return batches, samples, fmt.Errorf("settle refused batches: %w", err)
		}
		b, s := l.forget(part)
		batches, samples = batches+b, samples+s
	}
	if err := l.reclaim(); err != nil {
		return batches, samples, fmt.Errorf("give back the space of settled batches: %w", err)
	}
	return batches, samples, nil
}

// reclaim drops the segments before the oldest kept batch; all of them if there is none. mu is held.
func (l *RejectedLog) reclaim() error {
	if len(l.live) > 0 {
		return l.j.Cut(l.live[0].seq)
	}
	for l.j.First() < l.j.End() {
		if err := l.j.cutOldest(); err != nil {
			return err
		}
	}
	return nil
}

// A settled record's payload: outcome:u8 0:7B seq:u64*, little endian.
const settledHeaderLen = 8

func putSettled(s Settled) []byte {
	p := make([]byte, settledHeaderLen, settledHeaderLen+8*len(s.Seqs))
	p[0] = byte(s.Outcome)
	for _, seq := range s.Seqs {
		p = binary.LittleEndian.AppendUint64(p, seq)
	}
	return p
}

// getSettled says in words why r is none.
func getSettled(r Record) (Settled, string) {
	p := r.Payload
	if r.Kind != KindSettled || len(p) < settledHeaderLen || len(p)%8 != 0 {
		return Settled{}, fmt.Sprintf("record of kind %d with %d bytes settles no batches", r.Kind, len(p))
	}
	s := Settled{Outcome: Outcome(p[0])}
	for p = p[settledHeaderLen:]; len(p) > 0; p = p[8:] {
		s.Seqs = append(s.Seqs, binary.LittleEndian.Uint64(p))
	}
	return s, ""
}
