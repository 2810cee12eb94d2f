package bench

import (
	"encoding/binary"
	"math"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// batch is one request of a shard, written once: the series of a shard are the
// same at every scrape, so only values and timestamps change in place. That
// makes the generator cheap enough to share two cores with what it measures.
type batch struct {
	message []byte
	series  []slot
	scrape  int // that the message stands at; -1: none
}

// slot is one series of a batch.
type slot struct {
	id        uint32
	value, at int32 // where in the message; value -1: left out, a 0
	place     place
}

// timestampLen is the length of a timestamp's varint from 2004 to 2109, in bytes.
const timestampLen = 6

func newBatch(f *Fleet, ids []uint32, p Proto) *batch {
	b := &batch{scrape: -1, series: make([]slot, len(ids))}
	for k, id := range ids {
		b.series[k] = slot{id: id, place: f.place(int(id))}
	}
	if p == V2 {
		b.writeV2(f)
	} else {
		b.writeV1(f)
	}
	return b
}

func (b *batch) writeV1(f *Fleet) {
	for k := range b.series {
		s := &b.series[k]
		var body []byte
		f.labels(int(s.id)).Range(func(l labels.Label) {
			var pair []byte
			pair = appendBytes(pair, 1, []byte(l.Name))
			pair = appendBytes(pair, 2, []byte(l.Value))
			body = appendBytes(body, 1, pair)
		})
		b.appendSeries(s, 1, body, nil)
	}
}

func (b *batch) writeV2(f *Fleet) {
	table := writev2.NewSymbolTable()
	refs := make([][]byte, len(b.series))
	for k := range b.series {
		for _, ref := range table.SymbolizeLabels(f.labels(int(b.series[k].id)), nil) {
			refs[k] = binary.AppendUvarint(refs[k], uint64(ref))
		}
	}
	for _, s := range table.Symbols() {
		b.message = appendBytes(b.message, 4, []byte(s))
	}
	for k := range b.series {
		// Prometheus always writes the metadata, and by default it says nothing.
		b.appendSeries(&b.series[k], 5, appendBytes(nil, 1, refs[k]), appendBytes(nil, 5, nil))
	}
}

// appendSeries writes a TimeSeries with one sample, field 2 in both versions.
func (b *batch) appendSeries(s *slot, field byte, head, tail []byte) {
	sample := 9 + 1 + timestampLen
	if s.place.idle {
		sample -= 9
	}
	m := append(b.message, field<<3|2)
	m = binary.AppendUvarint(m, uint64(len(head)+2+sample+len(tail)))
	m = append(m, head...)
	m = append(m, 2<<3|2, byte(sample))
	s.value = -1
	if !s.place.idle {
		m = append(m, 1<<3|1)
		s.value = int32(len(m))
		m = append(m, make([]byte, 8)...)
	}
	m = append(m, 2<<3)
	s.at = int32(len(m))
	m = append(m, make([]byte, timestampLen)...)
	b.message = append(m, tail...)
}

func appendBytes(m []byte, field byte, v []byte) []byte {
	m = append(m, field<<3|2)
	m = binary.AppendUvarint(m, uint64(len(v)))
	return append(m, v...)
}

// advance puts the batch at its next scrape and adds its samples to sum.
// start is the first scrape's time in ms, interval the time between two.
func (b *batch) advance(f *Fleet, start, interval int64, sum *Sum) {
	b.scrape++
	for k := range b.series {
		s := &b.series[k]
		// Targets are scraped at different times within the interval.
		t := start + int64(b.scrape)*interval + int64(noise(s.id/perTarget, 0))%interval
		putTimestamp(b.message[s.at:], uint64(t))
		if s.value < 0 {
			sum.add(t, 0)
			continue
		}
		at := b.message[s.value : s.value+8]
		v := f.next(int(s.id), s.place, math.Float64frombits(binary.LittleEndian.Uint64(at)), b.scrape)
		bits := math.Float64bits(v)
		binary.LittleEndian.PutUint64(at, bits)
		sum.add(t, bits)
	}
}

func putTimestamp(m []byte, t uint64) {
	for i := range timestampLen - 1 {
		m[i] = byte(t) | 0x80
		t >>= 7
	}
	m[timestampLen-1] = byte(t)
}

// compress gives the request's body.
func (b *batch) compress(scratch []byte) []byte {
	return snappy.Encode(scratch[:cap(scratch)], b.message)
}

// Sum tells whether two sides have seen the same samples, in any order.
type Sum struct {
	Samples int64  `json:"samples"`
	Check   uint64 `json:"check"` // over times and the values' bits
}

func (s *Sum) add(t int64, bits uint64) {
	s.Samples++
	s.Check += (bits ^ uint64(t)*0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
}

// plus is the sum of both.
func (s Sum) plus(o Sum) Sum { return Sum{s.Samples + o.Samples, s.Check + o.Check} }
