package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"os"
	"path/filepath"

	"github.com/cespare/xxhash/v2"
)

// Key prefixes: the store owns the first byte of a key, callers the rest. Byte 0 is the store's own.
const (
	PrefixSeries     = 's' // 4 bytes: the first place of a page of series, big endian
	PrefixLabels     = 'l' // the same, of their labels
	PrefixCorrection = 'c' // 8 bytes seq, 4 bytes index, big endian, so that key order is journal order
	PrefixHistogram  = 'h' // 4 bytes: the first place of a page of classic histograms
	PrefixNative     = 'n' // 4 bytes: the place of a series of native histograms
	PrefixFamily     = 'f'
	PrefixMeta       = 'm'
	PrefixElection   = 'e' // tenant, a zero byte, cluster
	PrefixTarget     = 't' // 16 bytes of the key that a target's series share
	PrefixLost       = 'z' // 16 bytes of series key
)

// markerKey is written into Badger at a checkpoint's version after all its keys, with the very bytes of the head.
var markerKey = []byte("\x00checkpoint")

// Checkpoint is a state of all series that is whole.
type Checkpoint struct {
	Version uint64 // Badger's; 0 = there is none yet
	Seq     uint64 // last journal record whose effect is in it
	Keys    uint64 // live keys at it

	sum uint64 // of pairSum over all live pairs, in any order
}

// pairSum is what a live key and its value add to a checkpoint's sum.
func pairSum(key, value []byte) uint64 {
	h := xxhash.Sum64(key)*0x9e3779b97f4a7c15 ^ bits.RotateLeft64(xxhash.Sum64(value), 32)
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return h ^ h>>32
}

// The head and the marker: "PAWLSTAT" format:u32 0:u32 version:u64 seq:u64 keys:u64 sum:u64 0:u32 crc:u32, little endian.
const (
	checkpointMagic = "PAWLSTAT"
	checkpointLen   = 56
	stateFormat     = 2 // 1 had a key for every series
)

func (c Checkpoint) encode() []byte {
	b := make([]byte, 0, checkpointLen)
	le := binary.LittleEndian
	b = append(b, checkpointMagic...)
	b = le.AppendUint32(b, stateFormat)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint64(b, c.Version)
	b = le.AppendUint64(b, c.Seq)
	b = le.AppendUint64(b, c.Keys)
	b = le.AppendUint64(b, c.sum)
	b = le.AppendUint32(b, 0)
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeCheckpoint(b []byte) (Checkpoint, string) {
	le := binary.LittleEndian
	switch {
	case len(b) != checkpointLen:
		return Checkpoint{}, fmt.Sprintf("%d bytes where %d are expected", len(b), checkpointLen)
	case string(b[:8]) != checkpointMagic:
		return Checkpoint{}, fmt.Sprintf("begins with %q", b[:8])
	case crc32.Checksum(b[:checkpointLen-4], castagnoli) != le.Uint32(b[checkpointLen-4:]):
		return Checkpoint{}, "checksum does not match"
	case le.Uint32(b[8:]) != stateFormat:
		return Checkpoint{}, fmt.Sprintf("format version %d, this program reads %d", le.Uint32(b[8:]), stateFormat)
	}
	return Checkpoint{Version: le.Uint64(b[16:]), Seq: le.Uint64(b[24:]), Keys: le.Uint64(b[32:]), sum: le.Uint64(b[40:])}, ""
}

// readStateHead returns the head of the state in dir. present is false if there is none, reason says what is wrong with it.
func readStateHead(dir string) (c Checkpoint, present bool, reason string, err error) {
	b, err := os.ReadFile(filepath.Join(dir, "head"))
	if errors.Is(err, os.ErrNotExist) {
		return Checkpoint{}, false, "", nil
	}
	if err != nil {
		return Checkpoint{}, false, "", err
	}
	c, reason = decodeCheckpoint(b)
	return c, true, reason, nil
}

// writeStateHead makes c the head: it is there whole after any crash, or the old one is.
func writeStateHead(d disk, dir string, c Checkpoint) error {
	f, err := d.create(filepath.Join(dir, "head"), c.encode())
	if err != nil {
		return fmt.Errorf("write state head: %w", err)
	}
	return f.Close()
}
