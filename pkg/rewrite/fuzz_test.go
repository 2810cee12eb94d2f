package rewrite

import (
	"bytes"
	"testing"

	"github.com/golang/snappy"

	"pawl/internal/proportion"
)

// The fuzzers get messages without snappy, which is fuzzed where it is made;
// FuzzDecodeBody has it.

func fuzzSeeds(f *testing.F, v Version) {
	f.Helper()
	for seed := range uint64(30) {
		var body []byte
		if v == V1 {
			body = packV1(f, drawV1(seeded(seed)))
		} else {
			body = packV2(f, drawV2(seeded(seed)))
		}
		f.Add(must(snappy.Decode(nil, body)), seed)
	}
	load := loadV1
	if v == V2 {
		load = loadV2
	}
	f.Add(must(snappy.Decode(nil, load(f, 3, 158))), uint64(0))
	f.Add([]byte{}, uint64(0))
	f.Add(bytes.Repeat([]byte{0x0a, 0}, 50), uint64(0))
	f.Add(bytes.Repeat([]byte{0x2a, 0}, 50), uint64(0))
	f.Add(bytes.Repeat([]byte{0x7b}, 50), uint64(0))
	f.Add(append([]byte{0x10}, bytes.Repeat([]byte{0x80}, 11)...), uint64(0))
}

var fuzzLimits = Limits{MaxDecodedBytes: 1 << 20, MaxLabels: 32, MaxLabelValueBytes: 1 << 10}

// decodeFuzzed decodes m and holds what was accepted against Prometheus' own types.
func decodeFuzzed(t *testing.T, v Version, m []byte) (*Batch, flat, bool) {
	if len(m) > 1<<16 {
		return nil, flat{}, false
	}
	var b Batch
	if err := b.Decode(v, "t", snappy.Encode(nil, m), fuzzLimits); err != nil {
		return nil, flat{}, false
	}
	if most := 8*len(m) + 8*entrySlack; b.Footprint() > most {
		t.Fatalf("%d bytes held for %d", b.Footprint(), len(m))
	}
	return &b, checkDecoded(t, &b), true
}

func FuzzDecodeV1(f *testing.F) {
	fuzzSeeds(f, V1)
	f.Fuzz(func(t *testing.T, m []byte, _ uint64) { decodeFuzzed(t, V1, m) })
}

func FuzzDecodeV2(f *testing.F) {
	fuzzSeeds(f, V2)
	f.Fuzz(func(t *testing.T, m []byte, _ uint64) { decodeFuzzed(t, V2, m) })
}

// FuzzDecodeBody gives the snappy layer its share.
func FuzzDecodeBody(f *testing.F) {
	f.Add(loadV1(f, 2, 0))
	f.Add(loadV2(f, 2, 0))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		var b Batch
		for _, v := range []Version{V1, V2} {
			var err error
			proportion.Check(t, len(body), 4<<20, 64, func() { err = b.Decode(v, "t", body, fuzzLimits) }) // 1 MiB decompressed, whatever the body says
			if err == nil {
				checkDecoded(t, &b)
			}
		}
	})
}

// encodeFuzzed edits what was accepted and encodes it in both versions: what
// comes out carries exactly the edits.
func encodeFuzzed(t *testing.T, v Version, m []byte, seed uint64) {
	b, w, ok := decodeFuzzed(t, v, m)
	if !ok {
		return
	}
	d := seeded(seed)
	if seed > 0 {
		edit(d, b, &w)
	}
	for _, to := range []Version{V1, V2} {
		body, kept, err := b.Encode(nil, to, nil)
		if err != nil {
			t.Fatal(err)
		}
		checkEncoded(t, b, body, kept, to, cloneFlat(w))
	}
}

// cloneFlat: checkEncoded takes out of its copy what has no place in the version.
func cloneFlat(w flat) flat {
	out := flat{metadata: w.metadata}
	for _, s := range w.series {
		s.samples = append([]Sample(nil), s.samples...)
		s.histograms = append([]flatHistogram(nil), s.histograms...)
		s.exemplars = append([]flatExemplar(nil), s.exemplars...)
		out.series = append(out.series, s)
	}
	return out
}

func FuzzEncodeV1(f *testing.F) {
	fuzzSeeds(f, V1)
	f.Fuzz(func(t *testing.T, m []byte, seed uint64) { encodeFuzzed(t, V1, m, seed) })
}

func FuzzEncodeV2(f *testing.F) {
	fuzzSeeds(f, V2)
	f.Fuzz(func(t *testing.T, m []byte, seed uint64) { encodeFuzzed(t, V2, m, seed) })
}
