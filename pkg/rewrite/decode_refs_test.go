package rewrite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/golang/snappy"
)

// refsTable has references of one and of two bytes, an empty symbol, and names out of order.
func refsTable() []byte {
	list := []string{"", "zone", "a", "job", "b", "instance"}
	for len(list) < 300 {
		list = append(list, fmt.Sprint("s", len(list)*7919%1000))
	}
	list = append(list, "a", strings.Repeat("v", 150)) // the same name under another reference, and a text over refsLimits
	return symbolsV2(list...)
}

func packedRefs(refs []uint64) (out []byte) {
	for _, r := range refs {
		out = binary.AppendUvarint(out, r)
	}
	return out
}

// alone decodes one series behind the table.
func alone(table, series []byte, lim Limits) (Key, error) {
	var b Batch
	if err := b.Decode(V2, "t", snappy.Encode(nil, join(table, bytesField(v2Timeseries, series...))), lim); err != nil {
		return Key{}, err
	}
	return b.Series[0].Key, nil
}

var refsLimits = Limits{MaxDecodedBytes: 1 << 20, MaxLabels: 6, MaxLabelValueBytes: 100}

// checkAlone holds a request of several series against each of them decoded by itself.
func checkAlone(t testing.TB, table []byte, series [][]byte, lim Limits) {
	t.Helper()
	msg := slices.Clone(table)
	var want error
	var keys []Key
	for _, s := range series {
		msg = appendBytes(msg, v2Timeseries, s)
		if want == nil {
			var k Key
			k, want = alone(table, s, lim)
			keys = append(keys, k)
		}
	}
	var b Batch
	err := b.Decode(V2, "t", snappy.Encode(nil, msg), lim)
	if reason(err) != reason(want) {
		t.Fatalf("together %v, alone %v: %x", err, want, series)
	}
	for i := range series {
		if err == nil && b.Series[i].Key != keys[i] {
			t.Fatalf("series %d has another key than alone: %x", i, series)
		}
	}
}

// reason is an error without the place in the message, which differs.
func reason(err error) string {
	var f *FormatError
	if errors.As(err, &f) {
		return f.Reason
	}
	var l *TooLargeError
	if errors.As(err, &l) {
		return l.What
	}
	return fmt.Sprint(err)
}

func TestASeriesIsTheSameWhateverComesBeforeIt(t *testing.T) {
	table := refsTable()
	piece := func(refs ...uint64) []byte { return join(bytesField(v2LabelsRefs, packedRefs(refs)...), plainSample) }
	raw := func(refs ...byte) []byte { return join(bytesField(v2LabelsRefs, refs...), plainSample) }
	for name, series := range map[string][][]byte{
		"the same again":                 {piece(2, 3, 4, 5), piece(2, 3, 4, 5)},
		"another value":                  {piece(2, 3, 4, 5), piece(2, 3, 4, 7), piece(2, 9, 4, 7)},
		"a value of another length":      {piece(2, 3, 4, 5), piece(2, 200, 4, 5), piece(2, 3, 4, 5)},
		"another name":                   {piece(2, 3, 4, 5), piece(2, 3, 3, 5)},
		"a label in front":               {piece(4, 5), piece(2, 3, 4, 5)},
		"a label at the end":             {piece(2, 3), piece(2, 3, 4, 5)},
		"a label less":                   {piece(2, 3, 4, 5, 3, 3), piece(2, 3, 3, 3)},
		"a name twice":                   {piece(2, 3, 4, 5), piece(2, 3, 4, 5, 2, 5)},
		"a name twice, in the middle":    {piece(2, 3, 4, 5, 3, 3), piece(2, 3, 2, 5, 3, 3)},
		"a name twice, by two symbols":   {piece(2, 3, 4, 5), piece(2, 3, 300, 5)},
		"a name twice after unsorted":    {piece(4, 3, 2, 5), piece(4, 3, 2, 6), piece(2, 3, 2, 5)},
		"no values":                      {piece(2, 3), piece(2, 0)},
		"an empty name":                  {piece(2, 3, 4, 5), piece(0, 3, 4, 5)},
		"half a label":                   {piece(2, 3, 4, 5), piece(2, 3, 4)},
		"no labels":                      {piece(2, 3), piece()},
		"no references":                  {piece(2, 3), plainSample},
		"an unknown symbol":              {piece(2, 3), piece(2, 1000)},
		"more labels than allowed":       {piece(2, 3, 4, 5), piece(1, 5, 2, 3, 3, 3, 4, 5, 5, 5, 6, 6, 7, 7)},
		"bytes alike, bounds otherwise":  {raw(2, 3, 4, 5), raw(2, 0x83, 4, 5), raw(0x82, 0x83, 0x04, 5)},
		"a reference across the bound":   {raw(2, 0x80, 1, 4, 5), raw(2, 3, 1, 4, 5), raw(0x82, 1, 0x80, 1, 4, 5)},
		"more bytes than needed":         {raw(2, 3, 4, 5), raw(2, 0x83, 0x80, 0x80, 0, 4, 5), raw(2, 3, 4, 5)},
		"a name twice, before that":      {raw(2, 3, 4, 0x83, 0x80, 0x80, 0), raw(4, 3, 4, 0x85, 0x80, 0x80, 0)},
		"a reference beyond the table":   {raw(2, 0x83, 0x80, 0x80, 0), raw(2, 0x83, 0x80, 0x80, 1)},
		"a value too long":               {piece(2, 3, 4, 200), piece(2, 3, 4, 301)},
		"two pieces":                     {piece(2, 3, 4, 5), join(bytesField(v2LabelsRefs, 2, 3), bytesField(v2LabelsRefs, 4, 5), plainSample), piece(2, 3, 4, 5)},
		"a label behind the sample":      {piece(2, 3, 4, 5, 3, 3), join(piece(2, 3, 4, 5, 3, 3), bytesField(v2LabelsRefs, 1, 1)), piece(2, 3)},
		"a label in two pieces":          {piece(2, 3), join(bytesField(v2LabelsRefs, 2), bytesField(v2LabelsRefs, 3), plainSample)},
		"not packed":                     {piece(2, 3), join([]byte{0x08, 2, 0x08, 3}, plainSample), piece(2, 3)},
		"a value cut off":                {raw(2, 3), raw(2, 0x83)},
		"metadata with a bad reference":  {join(piece(2, 3), bytesField(v2Metadata, 0x08, 1)), join(piece(2, 3), bytesField(v2Metadata, 0x18, 0x7f, 0x18, 0xff, 0x7f))},
		"one place, two labels, no more": {piece(2, 3, 4, 5, 3, 3), piece(2, 3, 4, 6, 3, 3), piece(2, 3, 4, 7, 1, 1, 3, 3), piece(2, 3, 3, 3), piece(2, 5, 3, 3)},
	} {
		t.Run(name, func(t *testing.T) { checkAlone(t, table, series, refsLimits) })
	}
}

// FuzzRefs makes series from one another by small edits of their references.
func FuzzRefs(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed, 5)
	}
	table := refsTable()
	f.Fuzz(func(t *testing.T, seed uint64, n int) {
		d := seeded(seed)
		refs := packedRefs([]uint64{2, 3, 4, 5})
		var series [][]byte
		for range min(max(n, 1), 20) {
			at := d.IntN(len(refs) + 1)
			pick := []byte{0, 1, 2, 3, 4, 5, 0x80, 0x81, 0xac, 2}
			switch d.IntN(5) {
			case 0:
				refs = slices.Insert(slices.Clone(refs), at, pick[d.IntN(len(pick))], pick[d.IntN(len(pick))])
			case 1:
				refs = slices.Delete(slices.Clone(refs), at, min(at+2, len(refs)))
			case 2:
				refs = slices.Insert(slices.Clone(refs), at, pick[d.IntN(len(pick))])
			default:
				if at < len(refs) {
					refs = slices.Clone(refs)
					refs[at] = pick[d.IntN(len(pick))]
				}
			}
			s := join(bytesField(v2LabelsRefs, refs...), plainSample)
			if _, err := alone(table, s, refsLimits); err == nil || len(series) == 0 || d.IntN(4) == 0 {
				series = append(series, s)
			} else {
				refs = packedRefs([]uint64{2, 3, 4, uint64(d.IntN(300)), 1, 6})
			}
		}
		checkAlone(t, table, series, refsLimits)
	})
}

// wideLimits let a series' references take several hundred bytes.
var wideLimits = Limits{MaxDecodedBytes: 1 << 20, MaxLabels: 90, MaxLabelValueBytes: 100}

// FuzzWideRefs does the same to series of 10 to 80 labels, whose names have one or two bytes of reference: the marks of
// decode_marks.go hold 64 bytes.
func FuzzWideRefs(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed, 12)
	}
	list := []string{""}
	for i := range 400 {
		list = append(list, fmt.Sprintf("n%03d", i))
	}
	table := symbolsV2(list...)
	f.Fuzz(func(t *testing.T, seed uint64, n int) {
		d := seeded(seed)
		var pairs [][2]uint64
		for k := range 10 + d.IntN(71) {
			pairs = append(pairs, [2]uint64{uint64(1 + 4*k), uint64(d.IntN(401))})
		}
		var series [][]byte
		for range min(max(n, 1), 30) {
			for range d.IntN(4) {
				at := d.IntN(len(pairs))
				switch d.IntN(6) {
				case 0: // a label more
					pairs = slices.Insert(slices.Clone(pairs), at, [2]uint64{pairs[at][0] - uint64(d.IntN(2)), uint64(d.IntN(401))})
				case 1: // one less
					if len(pairs) > 1 {
						pairs = slices.Delete(slices.Clone(pairs), at, at+1)
					}
				case 2: // another name, in order or not
					pairs = slices.Clone(pairs)
					pairs[at][0] = uint64(1 + d.IntN(400))
				default:
					pairs = slices.Clone(pairs)
					pairs[at][1] = uint64(d.IntN(401))
				}
			}
			var refs []uint64
			for _, p := range pairs {
				refs = append(refs, p[0], p[1])
			}
			s := join(bytesField(v2LabelsRefs, packedRefs(refs)...), plainSample)
			if _, err := alone(table, s, wideLimits); err == nil || d.IntN(20) == 0 {
				series = append(series, s)
			}
		}
		checkAlone(t, table, series, wideLimits)
	})
}

func TestATimestampLikeTheLastIsReadOnItsOwn(t *testing.T) {
	for _, v := range []Version{V1, V2} {
		sample := func(tail ...byte) []byte {
			return bytesField(2, join([]byte{0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f}, tail)...)
		}
		head, labels := []byte(nil), jobLabel
		field := v1Timeseries
		if v == V2 {
			head, labels, field = symbolsV2("", "a", "b"), bytesField(v2LabelsRefs, 1, 2), v2Timeseries
		}
		tails := [][]byte{{0x10, 5}, {0x10, 5}, {0x10, 5, 0x18, 3}, {0x10, 5, 0x18, 3}, {0x10, 6, 0x18, 3}, {0x10, 5, 0x18, 0}, {0x10, 5, 0x28, 3}, {0x10, 5}}
		msg := head
		for _, tail := range tails {
			msg = join(msg, bytesField(field, join(labels, sample(tail...))...))
		}
		var b, one Batch
		if err := b.Decode(v, "", snappy.Encode(nil, msg), Limits{}); err != nil {
			t.Fatal(err)
		}
		for i, tail := range tails {
			single := join(head, bytesField(field, join(labels, sample(tail...))...))
			if err := one.Decode(v, "", snappy.Encode(nil, single), Limits{}); err != nil {
				t.Fatal(err)
			}
			got, want := b.Samples[i], one.Samples[0]
			got.st -= got.val * min(got.st, 1) // places relative to the value's
			want.st -= want.val * min(want.st, 1)
			got.val, want.val = 0, 0
			if got != want {
				t.Errorf("version %d sample %d: %+v, alone %+v", v, i, got, want)
			}
		}
	}
}
