package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/cespare/xxhash/v2"

	"pawl/internal/killpoint"
)

// Delivered remembers, in journal/delivered, up to which record the upstream has everything. It spares the upstream repetitions after
// a crash and is never needed to be right: it is renamed into place without a sync, so a killed process leaves it whole and a power
// loss leaves it older, or gone.
//
// It must not say too much either: records that it covers are not sent again. So it holds a fingerprint of the record that it names,
// and is believed only while the journal has that very record.
type Delivered struct {
	path string
	j    *Journal
}

// deliveredLen is the file's length: seq (8 bytes, little endian), fingerprint of that record (8), CRC32C of both (4).
const deliveredLen = 20

// NewDelivered is the note beside journal j in dir.
func NewDelivered(dir string, j *Journal) *Delivered {
	return &Delivered{path: filepath.Join(dir, "delivered"), j: j}
}

// Load is the last record up to which everything was delivered, as far as that is known: 0 if it is not.
func (d *Delivered) Load() (uint64, error) {
	b, err := os.ReadFile(d.path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read what was delivered: %w", err)
	}
	seq, noted, ok := getDelivered(b)
	if !ok || seq < d.j.First() || seq >= d.j.End() {
		return 0, nil
	}
	print, err := d.fingerprint(seq)
	if err != nil {
		return 0, fmt.Errorf("read what was delivered: %w", err)
	}
	if print != noted {
		return 0, nil
	}
	return seq, nil
}

// getDelivered reads the note's content.
func getDelivered(b []byte) (seq, fingerprint uint64, ok bool) {
	if len(b) != deliveredLen || crc32.Checksum(b[:16], castagnoli) != binary.LittleEndian.Uint32(b[16:]) {
		return 0, 0, false
	}
	return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), true
}

// Save notes that everything up to record seq was delivered.
func (d *Delivered) Save(seq uint64) error {
	print, err := d.fingerprint(seq)
	if err != nil {
		return fmt.Errorf("note what was delivered: %w", err)
	}
	b := binary.LittleEndian.AppendUint64(nil, seq)
	b = binary.LittleEndian.AppendUint64(b, print)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	if err := os.WriteFile(d.path+".tmp", b, 0o600); err != nil {
		return fmt.Errorf("note what was delivered: %w", err)
	}
	killpoint.At(killpoint.DeliveredRename)
	if err := os.Rename(d.path+".tmp", d.path); err != nil {
		return fmt.Errorf("note what was delivered: %w", err)
	}
	return nil
}

// fingerprint tells record seq from any other that could stand in its place.
func (d *Delivered) fingerprint(seq uint64) (uint64, error) {
	r, err := d.j.Reader(seq)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	rec, err := r.Next()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("record %d is not in the journal", seq)
		}
		return 0, err
	}
	return fingerprintOf(rec), nil
}

func fingerprintOf(rec Record) uint64 {
	h := xxhash.New()
	var head [17]byte
	binary.LittleEndian.PutUint64(head[:], rec.Seq)
	binary.LittleEndian.PutUint64(head[8:], uint64(rec.Time))
	head[16] = byte(rec.Kind)
	_, _ = h.Write(head[:])
	_, _ = h.WriteString(rec.Tenant)
	_, _ = h.Write(rec.Payload)
	return h.Sum64()
}
