package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// The journal's format. No I/O here. All integers are little endian; docs/format.md has the same in words.
//
//	segment  = header record* [footer]
//	header   = "PAWLJRNL" version:u32 0:u32 first:u64 salt:u64 floor:i64 0:20B crc:u32                       64 bytes
//	record   = magic:u32 crc:u32 payload_len:u32 samples:u32 seq:u64 time:i64 group:u32 tenant_len:u16 kind:u8 flags:u8
//	           tenant payload                                                                                 40 bytes + tenant + payload
//	footer   = magic:u32 crc:u32 len:u32 blocks:u32 next:u64 samples:u64 last:i64 block* len:u32 magic:u32    48 bytes + 28 per block
//	block    = seq-first:u32 offset:u64 samples_before:u64 time:i64
//	head     = two slots at 0 and 512: "PAWLHEAD" version:u32 0:u32 generation:u64 first:u64 end:u64 segment:u64 offset:u64 0:u32 crc:u32
const (
	formatVersion = 1

	segmentMagic = "PAWLJRNL"
	headMagic    = "PAWLHEAD"
	recordMagic  = 0x52574c50 // "PLWR" on disk
	footerMagic  = 0x46574c50 // "PLWF" on disk
	trailerMagic = 0x45574c50 // "PLWE" on disk

	segmentHeaderLen = 64
	recordHeaderLen  = 40
	footerFixedLen   = 48
	footerBlockLen   = 28
	headSlotLen      = 64
	headSlotStride   = 512 // one slot per sector, so that a torn write of one leaves the other whole
	headFileLen      = 2 * headSlotStride

	// maxPayload bounds what a flipped length can make a reader allocate; requests are bounded at the door far below it.
	maxPayload = 256 << 20
	maxTenant  = 1<<16 - 1

	// A block is the grain of the index: a reader or the backlog's figures look at no more than this many records to find one.
	blockRecords = 64
	blockBytes   = 256 << 10
)

// flagAfterSync says that everything before this record's group was on disk when the record was written. So damage before it
// cannot be an unfinished write.
const flagAfterSync = 1 << 0

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// salted begins every checksum of a segment with its random salt: neither a payload that contains a whole record nor stale blocks
// of an older file can be taken for a record of this one.
func salted(salt uint64) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], salt)
	return crc32.Update(0, castagnoli, b[:])
}

// segmentHeader opens a segment file.
type segmentHeader struct {
	First uint64 // seq of the first record
	Salt  uint64
	Floor int64 // ms, time of the last record before the segment, so that time never goes back across segments
}

func putSegmentHeader(b []byte, h segmentHeader) {
	clear(b[:segmentHeaderLen])
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[8:], formatVersion)
	binary.LittleEndian.PutUint64(b[16:], h.First)
	binary.LittleEndian.PutUint64(b[24:], h.Salt)
	binary.LittleEndian.PutUint64(b[32:], uint64(h.Floor))
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
}

// getSegmentHeader returns the reason in words when b is no segment header.
func getSegmentHeader(b []byte) (segmentHeader, string) {
	if len(b) < segmentHeaderLen {
		return segmentHeader{}, fmt.Sprintf("segment header has %d of %d bytes", len(b), segmentHeaderLen)
	}
	if string(b[:8]) != segmentMagic {
		return segmentHeader{}, fmt.Sprintf("no segment: begins with %q", b[:8])
	}
	if crc32.Checksum(b[:60], castagnoli) != binary.LittleEndian.Uint32(b[60:]) {
		return segmentHeader{}, "checksum of the segment header does not match"
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != formatVersion {
		return segmentHeader{}, fmt.Sprintf("format version %d, this program reads %d", v, formatVersion)
	}
	return segmentHeader{
		First: binary.LittleEndian.Uint64(b[16:]),
		Salt:  binary.LittleEndian.Uint64(b[24:]),
		Floor: int64(binary.LittleEndian.Uint64(b[32:])),
	}, ""
}

// recordSize is the size in bytes that r takes in a segment.
func recordSize(r *Record) int64 {
	return recordHeaderLen + int64(len(r.Tenant)) + int64(len(r.Payload))
}

// appendRecord appends r to b. group is the number of records before it in its group.
func appendRecord(b []byte, seed uint32, r *Record, group uint32, flags uint8) []byte {
	at := len(b)
	var h [recordHeaderLen]byte
	binary.LittleEndian.PutUint32(h[0:], recordMagic)
	binary.LittleEndian.PutUint32(h[8:], uint32(len(r.Payload)))
	binary.LittleEndian.PutUint32(h[12:], r.Samples)
	binary.LittleEndian.PutUint64(h[16:], r.Seq)
	binary.LittleEndian.PutUint64(h[24:], uint64(r.Time))
	binary.LittleEndian.PutUint32(h[32:], group)
	binary.LittleEndian.PutUint16(h[36:], uint16(len(r.Tenant)))
	h[38] = byte(r.Kind)
	h[39] = flags
	b = append(b, h[:]...)
	b = append(b, r.Tenant...)
	b = append(b, r.Payload...)
	binary.LittleEndian.PutUint32(b[at+4:], crc32.Update(seed, castagnoli, b[at+8:]))
	return b
}

// recordHeader is the fixed part of a record.
type recordHeader struct {
	crc        uint32
	payloadLen uint32
	samples    uint32
	seq        uint64
	time       int64
	group      uint32 // records before it in its group
	tenantLen  uint16
	kind       RecordKind
	flags      uint8
}

func (h recordHeader) size() int64 { return recordHeaderLen + int64(h.tenantLen) + int64(h.payloadLen) }

// getRecordHeader reads the fixed part without being able to trust it yet: only getRecord's checksum can tell.
func getRecordHeader(b []byte) (recordHeader, string) {
	if len(b) < recordHeaderLen {
		return recordHeader{}, fmt.Sprintf("record header has %d of %d bytes", len(b), recordHeaderLen)
	}
	if m := binary.LittleEndian.Uint32(b); m != recordMagic {
		return recordHeader{}, fmt.Sprintf("no record: begins with %#08x", m)
	}
	h := recordHeader{
		crc:        binary.LittleEndian.Uint32(b[4:]),
		payloadLen: binary.LittleEndian.Uint32(b[8:]),
		samples:    binary.LittleEndian.Uint32(b[12:]),
		seq:        binary.LittleEndian.Uint64(b[16:]),
		time:       int64(binary.LittleEndian.Uint64(b[24:])),
		group:      binary.LittleEndian.Uint32(b[32:]),
		tenantLen:  binary.LittleEndian.Uint16(b[36:]),
		kind:       RecordKind(b[38]),
		flags:      b[39],
	}
	if h.payloadLen > maxPayload {
		return recordHeader{}, fmt.Sprintf("payload of %d bytes is over the limit", h.payloadLen)
	}
	return h, ""
}

// checkRecord says in words what is wrong with the record that begins b, or nothing. b holds at least h.size() bytes.
func checkRecord(b []byte, seed uint32, h recordHeader) string {
	if crc32.Update(seed, castagnoli, b[8:h.size()]) != h.crc {
		return "checksum of the record does not match"
	}
	return ""
}

// record returns the record that begins b; Payload aliases b.
func (h recordHeader) record(b []byte) Record {
	t := recordHeaderLen + int(h.tenantLen)
	return Record{
		Seq: h.seq, Time: h.time, Kind: h.kind, Samples: h.samples,
		Tenant:  string(b[recordHeaderLen:t]),
		Payload: b[t : t+int(h.payloadLen) : t+int(h.payloadLen)],
	}
}

// block is one entry of a segment's index: where a run of records begins, and the sums of what is before it in the segment.
type block struct {
	seq     uint64
	offset  int64
	samples int64 // in the segment before it
	time    int64 // of its first record
}

// footer closes a sealed segment: what a start needs to know of it without reading its records.
type footer struct {
	next    uint64 // seq of the first record of the next segment
	samples int64
	last    int64 // ms, time of the last record
	blocks  []block
}

func appendFooter(b []byte, seed uint32, first uint64, f *footer) []byte {
	at := len(b)
	n := uint32(footerFixedLen + footerBlockLen*len(f.blocks))
	le := binary.LittleEndian
	b = le.AppendUint32(b, footerMagic)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, n)
	b = le.AppendUint32(b, uint32(len(f.blocks)))
	b = le.AppendUint64(b, f.next)
	b = le.AppendUint64(b, uint64(f.samples))
	b = le.AppendUint64(b, uint64(f.last))
	for _, k := range f.blocks {
		b = le.AppendUint32(b, uint32(k.seq-first))
		b = le.AppendUint64(b, uint64(k.offset))
		b = le.AppendUint64(b, uint64(k.samples))
		b = le.AppendUint64(b, uint64(k.time))
	}
	b = le.AppendUint32(b, n)
	b = le.AppendUint32(b, trailerMagic)
	le.PutUint32(b[at+4:], crc32.Update(seed, castagnoli, b[at+8:]))
	return b
}

// getFooter reads a whole footer, first is its segment's first seq.
func getFooter(b []byte, seed uint32, first uint64) (*footer, string) {
	le := binary.LittleEndian
	if len(b) < footerFixedLen || le.Uint32(b) != footerMagic || uint64(le.Uint32(b[8:])) != uint64(len(b)) {
		return nil, "no footer"
	}
	if crc32.Update(seed, castagnoli, b[8:]) != le.Uint32(b[4:]) {
		return nil, "checksum of the footer does not match"
	}
	n := le.Uint32(b[12:])
	if uint64(n)*footerBlockLen+footerFixedLen != uint64(len(b)) {
		return nil, "footer's length does not fit its blocks"
	}
	f := &footer{next: le.Uint64(b[16:]), samples: int64(le.Uint64(b[24:])), last: int64(le.Uint64(b[32:])), blocks: make([]block, n)}
	for i := range f.blocks {
		k := b[40+i*footerBlockLen:]
		f.blocks[i] = block{
			seq: first + uint64(le.Uint32(k)), offset: int64(le.Uint64(k[4:])), samples: int64(le.Uint64(k[12:])), time: int64(le.Uint64(k[20:])),
		}
	}
	return f, ""
}

// headSlot is what the journal's head remembers: what had been acknowledged and what had been cut, so that a missing or shortened
// file is noticed.
type headSlot struct {
	generation uint64
	first      uint64 // everything before it was cut
	end        uint64 // everything before it was synced
	segment    uint64 // first seq of the segment that end is in
	offset     int64  // where in that segment end will be written
}

func putHeadSlot(b []byte, h headSlot) {
	clear(b[:headSlotLen])
	le := binary.LittleEndian
	copy(b, headMagic)
	le.PutUint32(b[8:], formatVersion)
	le.PutUint64(b[16:], h.generation)
	le.PutUint64(b[24:], h.first)
	le.PutUint64(b[32:], h.end)
	le.PutUint64(b[40:], h.segment)
	le.PutUint64(b[48:], uint64(h.offset))
	le.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
}

func getHeadSlot(b []byte) (headSlot, bool) {
	le := binary.LittleEndian
	if len(b) < headSlotLen || string(b[:8]) != headMagic || crc32.Checksum(b[:60], castagnoli) != le.Uint32(b[60:]) || le.Uint32(b[8:]) != formatVersion {
		return headSlot{}, false
	}
	return headSlot{
		generation: le.Uint64(b[16:]), first: le.Uint64(b[24:]), end: le.Uint64(b[32:]), segment: le.Uint64(b[40:]), offset: int64(le.Uint64(b[48:])),
	}, true
}
