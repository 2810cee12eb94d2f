package rewrite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/golang/snappy"
)

// allocated is what f allocates, in bytes.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestLyingSnappyLengthIsRefusedBeforeAllocating(t *testing.T) {
	for _, n := range []uint64{1 << 20, 60 << 20, 1<<32 - 1} {
		body := append(binary.AppendUvarint(nil, n), bytes.Repeat([]byte{0}, 1000)...)
		var b Batch
		var err error
		start := time.Now()
		got := allocated(func() { err = b.Decode(V1, "", body, Limits{MaxDecodedBytes: 64 << 20}) })
		if err == nil || got > 64<<10 {
			t.Errorf("length %d: error %v, %d bytes allocated", n, err, got)
		}
		if d := time.Since(start); d > 10*time.Millisecond {
			t.Logf("length %d: took %v", n, d)
		}
	}
}

// The honest worst of snappy (one repeated byte) is not taken for a lie.
func TestMostCompressibleBodyIsAccepted(t *testing.T) {
	for _, n := range []int{10, 1 << 10, 1 << 20, 8 << 20} {
		m := appendBytes(nil, 15, bytes.Repeat([]byte{'a'}, n))
		var b Batch
		if err := b.Decode(V1, "", snappy.Encode(nil, m), Limits{}); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

func TestBombsTakeMemoryInProportionToTheirSize(t *testing.T) {
	const size = 8 << 20
	repeat := func(prefix, unit []byte) []byte {
		return append(bytes.Clone(prefix), bytes.Repeat(unit, (size-len(prefix))/len(unit))...)
	}
	inSeries := func(v Version, unit []byte) []byte {
		if v == V1 {
			return bytesField(1, repeat(jobLabel, unit)...)
		}
		return join(symbolsV2("", "a", "b"), bytesField(5, repeat([]byte{0x0a, 2, 1, 2}, unit)...))
	}
	million := func() (m []byte) {
		for i := range 1_000_000 {
			m = append(m, labelV1(fmt.Sprintf("l%07d", i), "x")...)
		}
		return bytesField(1, m...)
	}
	lim := Limits{MaxDecodedBytes: 64 << 20, MaxLabels: 128, MaxLabelValueBytes: 64 << 10}
	for name, c := range map[string]struct {
		v Version
		m []byte
	}{
		"empty series":           {V1, repeat(nil, []byte{0x0a, 0})},
		"empty series, 2.0":      {V2, repeat(nil, []byte{0x2a, 0})},
		"series of one label":    {V1, repeat(nil, bytesField(1, labelV1("a", "b")...))},
		"empty samples":          {V1, inSeries(V1, []byte{0x12, 0})},
		"empty samples, 2.0":     {V2, inSeries(V2, []byte{0x12, 0})},
		"empty histograms":       {V1, inSeries(V1, []byte{0x22, 0})},
		"empty exemplars":        {V2, inSeries(V2, []byte{0x22, 0})},
		"empty symbols":          {V2, repeat(nil, []byte{0x22, 0})},
		"empty metadata":         {V1, repeat(nil, []byte{0x1a, 0})},
		"metadata of one letter": {V1, repeat(nil, []byte{0x1a, 3, 0x12, 1, 'a'})},
		"a million labels":       {V1, million()},
		"references without end": {V2, join(symbolsV2("", "a", "b"), bytesField(5, bytesField(1, repeat(nil, []byte{1, 2})...)...))},
		// Behind a series like any other, whose labels theirs are held against.
		"a million labels, second":        {V1, join(bytesField(1, join(jobLabel, plainSample)...), million())},
		"references without end, second":  {V2, join(symbolsV2("", "a", "b"), bytesField(5, join(bytesField(1, 1, 2), plainSample)...), bytesField(5, bytesField(1, repeat(nil, []byte{1, 2})...)...))},
		"a histogram of empty spans":      {V1, bytesField(1, join(jobLabel, bytesField(4, repeat(nil, []byte{0x5a, 0})...))...)},
		"a histogram of one-byte buckets": {V1, bytesField(1, join(jobLabel, bytesField(4, bytesField(12, repeat(nil, []byte{0})...)...))...)},
		"nested groups":                   {V1, repeat(nil, []byte{0x7b})},
		"series behind half of nothing":   {V1, append(appendBytes(nil, 15, make([]byte, size/2)), bytes.Repeat(bytesField(1, labelV1("a", "b")...), size/2/11)...)},
		"unknown fields":                  {V1, repeat(nil, []byte{0x78, 1})},
	} {
		t.Run(name, func(t *testing.T) {
			body := snappy.Encode(nil, c.m)
			var b Batch
			start := time.Now()
			got := allocated(func() {
				err := b.Decode(c.v, "", body, lim)
				var format *FormatError
				var large *TooLargeError
				if err != nil && !errors.As(err, &format) && !errors.As(err, &large) {
					t.Fatalf("unexpected error %v", err)
				}
				t.Logf("%v after %v", err, time.Since(start))
			})
			// The message itself, and its entries while they grow.
			if most := uint64(14 * len(c.m)); got > most {
				t.Errorf("allocated %d MiB for a message of %d MiB", got>>20, len(c.m)>>20)
			}
			if held := b.Footprint(); held > 7*len(c.m) {
				t.Errorf("holds %d MiB for a message of %d MiB", held>>20, len(c.m)>>20)
			}
		})
	}
}

func Test32MiBOfEmptySeriesAreRefusedAtOnce(t *testing.T) {
	for v, unit := range map[Version][]byte{V1: {0x0a, 0}, V2: {0x2a, 0}} {
		body := snappy.Encode(nil, bytes.Repeat(unit, 16<<20))
		var b Batch
		var err error
		got := allocated(func() { err = b.Decode(v, "", body, Limits{MaxDecodedBytes: 64 << 20}) })
		if err == nil || got > 40<<20 {
			t.Errorf("version %d: error %v, %d MiB allocated", v, err, got>>20)
		}
	}
}
