package rewrite

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"pgregory.net/rapid"
)

func TestDecodeReadsWhatPrometheusTypesReadV1(t *testing.T) {
	var b Batch // warm from request to request, as in use
	rapid.Check(t, func(r *rapid.T) {
		if err := b.Decode(V1, "t", packV1(t, drawV1(rapidDice{r})), Limits{}); err != nil {
			r.Fatal(err)
		}
		checkDecoded(t, &b)
	})
}

func TestDecodeReadsWhatPrometheusTypesReadV2(t *testing.T) {
	var b Batch
	rapid.Check(t, func(r *rapid.T) {
		if err := b.Decode(V2, "t", packV2(t, drawV2(rapidDice{r})), Limits{}); err != nil {
			r.Fatal(err)
		}
		checkDecoded(t, &b)
	})
}

// field builders for messages that no well-behaved encoder writes.
func bytesField(num int, payload ...byte) []byte { return appendBytes(nil, num, payload) }
func join(parts ...[]byte) []byte                { return slices.Concat(parts...) }

func labelV1(name, value string) []byte {
	return bytesField(v1Labels, join(bytesField(1, []byte(name)...), bytesField(2, []byte(value)...))...)
}

func symbolsV2(list ...string) (out []byte) {
	for _, s := range list {
		out = appendBytes(out, v2Symbols, []byte(s))
	}
	return out
}

var (
	plainSample    = bytesField(2, 0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10, 0x05)
	plainHistogram = []byte{0x78, 0x05} // a Histogram message: timestamp 5, empty
	jobLabel       = labelV1("job", "x")
)

func TestDecodeAcceptsWhatReceiversTolerate(t *testing.T) {
	table := symbolsV2("", "job", "x", "zone", "y")
	for name, c := range map[string]struct {
		v Version
		m []byte
	}{
		"nothing at all":                        {V1, nil},
		"nothing at all, 2.0":                   {V2, nil},
		"unsorted labels":                       {V1, bytesField(1, join(labelV1("zone", "y"), jobLabel, plainSample)...)},
		"unsorted labels, 2.0":                  {V2, join(table, bytesField(5, join([]byte{0x0a, 4, 3, 4, 1, 2}, plainSample)...))},
		"empty value beside others":             {V1, bytesField(1, join(labelV1("a", ""), jobLabel, plainSample)...)},
		"empty value beside others, 2.0":        {V2, join(table, bytesField(5, join([]byte{0x0a, 4, 1, 2, 3, 0}, plainSample)...))},
		"no metric name":                        {V1, bytesField(1, join(jobLabel, plainSample)...)},
		"series without samples, 1.0":           {V1, bytesField(1, jobLabel...)},
		"samples and histograms together, 1.0":  {V1, bytesField(1, join(jobLabel, plainSample, bytesField(4, plainHistogram...))...)},
		"exemplar only, 1.0":                    {V1, bytesField(1, join(jobLabel, bytesField(3))...)},
		"exemplar only, 2.0":                    {V2, join(table, bytesField(5, 0x0a, 2, 1, 2, 0x22, 0))},
		"label name with dots and umlauts, 1.0": {V1, bytesField(1, join(labelV1("k8s.pöd", "x"), plainSample)...)},
		"metadata only":                         {V1, bytesField(3, 0x08, 1, 0x12, 1, 'a')},
		"metadata without a family":             {V1, bytesField(3, 0x08, 1)},
		"labels behind the samples":             {V1, bytesField(1, join(plainSample, jobLabel)...)},
		"symbols behind the series":             {V2, join(bytesField(5, join([]byte{0x0a, 2, 1, 2}, plainSample)...), table)},
		"references not packed":                 {V2, join(table, bytesField(5, join([]byte{0x08, 1, 0x08, 2}, plainSample)...))},
		"references in pieces":                  {V2, join(table, bytesField(5, join([]byte{0x0a, 1, 1, 0x0a, 3, 2, 3, 4}, plainSample)...))},
		"references longer than needed":         {V2, join(table, bytesField(5, join([]byte{0x0a, 5, 0x81, 0x80, 0x00, 0x82, 0x00}, plainSample)...))},
		"tag longer than needed":                {V1, join([]byte{0x8a, 0x00, byte(len(jobLabel) + len(plainSample))}, jobLabel, plainSample)},
		"the last of two values counts":         {V1, bytesField(1, join(jobLabel, bytesField(2, 0x10, 1, 0x10, 2))...)},
		"unknown fields everywhere":             {V1, join([]byte{0x10, 7}, bytesField(1, join([]byte{0x30, 9}, jobLabel, bytesField(2, 0x20, 1, 0x10, 5))...))},
	} {
		t.Run(name, func(t *testing.T) {
			b := decoded(t, c.v, "", snappy.Encode(nil, c.m))
			checkDecoded(t, b)
			body, _, err := b.Encode(nil, c.v, nil)
			if err != nil {
				t.Fatal(err)
			}
			flattenMessage(t, c.v, must(snappy.Decode(nil, body)))
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestDecodeRefusesWhatIsMalformed(t *testing.T) {
	table := symbolsV2("", "job", "x", "zone", "y")
	series2 := func(parts ...[]byte) []byte { return join(table, bytesField(5, join(parts...)...)) }
	good2 := []byte{0x0a, 2, 1, 2}
	eleven := []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}
	for name, c := range map[string]struct {
		v      Version
		m      []byte
		reason string
	}{
		"series without labels":              {V1, bytesField(1, plainSample...), noLabels},
		"only an empty label":                {V1, bytesField(1, join(labelV1("job", ""), plainSample)...), noLabels},
		"empty label name":                   {V1, bytesField(1, join(labelV1("", "x"), plainSample)...), emptyName},
		"duplicate name, side by side":       {V1, bytesField(1, join(jobLabel, labelV1("job", "y"), plainSample)...), duplicate},
		"duplicate name, far apart":          {V1, bytesField(1, join(jobLabel, labelV1("zone", "y"), labelV1("job", "y"))...), duplicate},
		"duplicate of a label already known": {V1, join(bytesField(1, join(jobLabel, labelV1("zone", "y"))...), bytesField(1, join(jobLabel, jobLabel)...)), duplicate},
		"duplicate behind unsorted labels already known": {V1, join(
			bytesField(1, join(labelV1("zone", "y"), jobLabel)...), bytesField(1, join(labelV1("zone", "y"), jobLabel, labelV1("zone", "z"))...),
		), duplicate},
		"duplicate behind unsorted references already known": {V2, join(
			table, bytesField(5, join([]byte{0x0a, 4, 3, 4, 1, 2}, plainSample)...), bytesField(5, join([]byte{0x0a, 6, 3, 4, 1, 2, 3, 2}, plainSample)...),
		), duplicate},
		"name not UTF-8":                  {V1, bytesField(1, labelV1("j\xff", "x")...), notUTF8},
		"value not UTF-8":                 {V1, bytesField(1, labelV1("job", "x\xc3")...), notUTF8},
		"exemplar label not UTF-8":        {V1, bytesField(1, join(jobLabel, bytesField(3, labelV1("a", "\xff")...))...), notUTF8},
		"cut within a length":             {V1, []byte{0x0a, 0x80}, truncated},
		"length beyond the end":           {V1, []byte{0x0a, 0x05, 0x01}, badLength},
		"length of 2^63":                  {V1, append([]byte{0x0a}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), badLength},
		"varint of eleven bytes":          {V1, append([]byte{0x10}, eleven...), overlong},
		"varint over 64 bits":             {V1, []byte{0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, overlong},
		"timestamp of eleven bytes":       {V1, bytesField(1, join(jobLabel, bytesField(2, append([]byte{0x10}, eleven...)...))...), overlong},
		"field number 0":                  {V1, []byte{0x02, 0x00}, badTag},
		"field number over 2^29":          {V1, []byte{0x80, 0x80, 0x80, 0x80, 0x10, 0}, badTag},
		"wire type 6":                     {V1, []byte{0x0e}, badWire},
		"end without group":               {V1, []byte{0x0c}, badEnd},
		"group without end":               {V1, []byte{0x7b, 0x08, 0x01}, truncated},
		"timeseries as varint":            {V1, []byte{0x08, 0x01}, wrongWire},
		"sample as varint":                {V1, bytesField(1, join(jobLabel, []byte{0x10, 0x01})...), wrongWire},
		"value as varint":                 {V1, bytesField(1, join(jobLabel, bytesField(2, 0x08, 1))...), wrongWire},
		"timestamp as double":             {V1, bytesField(1, join(jobLabel, bytesField(2, 0x11, 0, 0, 0, 0, 0, 0, 0, 0))...), wrongWire},
		"value cut short":                 {V1, bytesField(1, join(jobLabel, bytesField(2, 0x09, 0, 0))...), truncated},
		"symbols do not begin empty":      {V2, symbolsV2("job"), firstSymbol},
		"symbol not UTF-8":                {V2, symbolsV2("", "\xff"), notUTF8},
		"reference out of range":          {V2, series2([]byte{0x0a, 2, 1, 5}, plainSample), badSymbol},
		"reference of more than 32 bits":  {V2, series2([]byte{0x0a, 6, 1, 0x82, 0x80, 0x80, 0x80, 0x10}, plainSample), badSymbol},
		"odd references":                  {V2, series2([]byte{0x0a, 3, 1, 2, 3}, plainSample), oddRefs},
		"empty name by reference":         {V2, series2([]byte{0x0a, 2, 0, 2}, plainSample), emptyName},
		"duplicate name by reference":     {V2, series2([]byte{0x0a, 6, 1, 2, 3, 4, 1, 4}, plainSample), duplicate},
		"duplicate name by two symbols":   {V2, join(symbolsV2("", "job", "x", "job"), bytesField(5, join([]byte{0x0a, 4, 1, 2, 3, 2}, plainSample)...)), duplicate},
		"no labels by reference":          {V2, series2(plainSample), noLabels},
		"only empty values by reference":  {V2, series2([]byte{0x0a, 2, 1, 0}, plainSample), noLabels},
		"neither sample nor exemplar":     {V2, series2(good2), emptySeries},
		"samples and histograms":          {V2, series2(good2, plainSample, bytesField(3, plainHistogram...)), mixedSeries},
		"help out of range":               {V2, series2(good2, plainSample, bytesField(5, 0x18, 9)), badSymbol},
		"unit out of range":               {V2, series2(good2, plainSample, bytesField(5, 0x20, 9)), badSymbol},
		"exemplar reference out of range": {V2, series2(good2, plainSample, bytesField(4, 0x0a, 2, 1, 9)), badSymbol},
		"exemplar with odd references":    {V2, series2(good2, plainSample, bytesField(4, 0x0a, 1, 1)), oddRefs},
		"start timestamp as double":       {V2, series2(good2, bytesField(2, 0x19, 0, 0, 0, 0, 0, 0, 0, 0)), wrongWire},
		"packed doubles cut":              {V2, series2(good2, bytesField(3, 0x6a, 3, 0, 0, 0)), badPacked},
		"unsound histogram":               {V2, series2(good2, bytesField(3, 0x08, 4)), countMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			var b Batch
			err := b.Decode(c.v, "", snappy.Encode(nil, c.m), Limits{})
			var format *FormatError
			if !errors.As(err, &format) || format.Reason != c.reason {
				t.Fatalf("got %v, want %q", err, c.reason)
			}
			if format.Offset < 0 || format.Offset > len(c.m) {
				t.Fatalf("offset %d is not in the message", format.Offset)
			}
		})
	}
}

func TestDecodeErrorsSaySeriesAndByte(t *testing.T) {
	first := bytesField(1, join(jobLabel, plainSample)...)
	m := join(first, bytesField(1, join(jobLabel, labelV1("", "x"))...))
	var b Batch
	err := b.Decode(V1, "", snappy.Encode(nil, m), Limits{})
	// The second series' second label begins behind the first's field, its own tag and
	// length, its first label, and that label's tag and length.
	want := fmt.Sprintf("series 1, byte %d: label name is empty", len(first)+2+len(jobLabel)+2)
	if err == nil || err.Error() != want {
		t.Fatalf("got %v, want %s", err, want)
	}
}

func TestDecodeHoldsTheLimits(t *testing.T) {
	v1 := packV1(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
		Labels:  []prompb.Label{{Name: "a", Value: "1234567890"}, {Name: "b", Value: "1"}},
		Samples: []prompb.Sample{{Value: 1, Timestamp: 1}},
	}}})
	v2 := packV2(t, &writev2.Request{Symbols: []string{"", "a", "1234567890", "b", "1"}, Timeseries: []writev2.TimeSeries{
		{LabelsRefs: []uint32{1, 2, 3, 4}, Samples: []writev2.Sample{{Value: 1, Timestamp: 1}}},
	}})
	for v, body := range map[Version][]byte{V1: v1, V2: v2} {
		n, _ := snappy.DecodedLen(body)
		var b Batch
		if err := b.Decode(v, "", body, Limits{MaxDecodedBytes: n, MaxLabels: 2, MaxLabelValueBytes: 10}); err != nil {
			t.Fatalf("exactly at the limits: %v", err)
		}
		for what, lim := range map[string]Limits{
			"decompressed bytes": {MaxDecodedBytes: n - 1},
			"labels":             {MaxLabels: 1},
			"bytes in a label":   {MaxLabelValueBytes: 9},
		} {
			var large *TooLargeError
			if err := b.Decode(v, "", body, lim); !errors.As(err, &large) || large.What != what {
				t.Errorf("version %d, %s: got %v", v, what, err)
			}
		}
	}
}

func TestStartTimestampsOfBothReleaseCandidatesAreRead(t *testing.T) {
	req := &writev2.Request{Symbols: []string{"", "job", "x"}, Timeseries: []writev2.TimeSeries{{
		LabelsRefs: []uint32{1, 2}, XXX_unrecognized: []byte{0x30, 0xe8, 0x07}, // rc.3: created_timestamp 1000
		Samples: []writev2.Sample{{Value: 1, Timestamp: 2000}, {Value: 2, Timestamp: 3000, StartTimestamp: 1500}},
	}, {
		LabelsRefs: []uint32{1, 2}, XXX_unrecognized: []byte{0x30, 0xe8, 0x07},
		Histograms: []writev2.Histogram{{Timestamp: 2000}, {Timestamp: 3000, StartTimestamp: 1500}},
	}}}
	b := decoded(t, V2, "", packV2(t, req))
	equal(t, "samples", []int64{b.Samples[0].ST, b.Samples[1].ST}, []int64{1000, 1500})
	equal(t, "histograms", []int64{b.Histograms[0].ST, b.Histograms[1].ST}, []int64{1000, 1500})
}

func TestLabelsAreFoundByName(t *testing.T) {
	ls := []string{"zone", "y", "__name__", "up", "empty", ""}
	v1, v2 := packPair(t, ls)
	for v, body := range map[Version][]byte{V1: v1, V2: v2} {
		b := decoded(t, v, "", body)
		if string(b.Name(0)) != "up" || string(b.Label(0, "zone")) != "y" || b.Label(0, "empty") != nil || b.Label(0, "none") != nil {
			t.Errorf("version %d: %q %q", v, b.Name(0), b.Label(0, "zone"))
		}
		if got := b.Labels(0); !labels.Equal(got, labels.FromStrings("__name__", "up", "zone", "y")) {
			t.Errorf("version %d: %v", v, got)
		}
	}
}

// packPair gives the same one series in both versions.
func packPair(t testing.TB, ls []string) (v1, v2 []byte) {
	t.Helper()
	table := writev2.NewSymbolTable()
	var one prompb.TimeSeries
	var two writev2.TimeSeries
	for i := 0; i < len(ls); i += 2 {
		one.Labels = append(one.Labels, prompb.Label{Name: ls[i], Value: ls[i+1]})
		two.LabelsRefs = append(two.LabelsRefs, table.Symbolize(ls[i]), table.Symbolize(ls[i+1]))
	}
	one.Samples = []prompb.Sample{{Value: 1, Timestamp: 1}}
	two.Samples = []writev2.Sample{{Value: 1, Timestamp: 1}}
	return packV1(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{one}}),
		packV2(t, &writev2.Request{Symbols: table.Symbols(), Timeseries: []writev2.TimeSeries{two}})
}

func TestKeyIsTheSameForBothVersionsAndAnyOrder(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		ls := drawLabels(rapidDice{r})
		shuffled := slices.Clone(ls)
		for i := 0; i < len(ls); i += 2 {
			j := 2 * rapid.IntRange(0, len(ls)/2-1).Draw(r, "j")
			shuffled[i], shuffled[i+1], shuffled[j], shuffled[j+1] = shuffled[j], shuffled[j+1], shuffled[i], shuffled[i+1]
		}
		v1, _ := packPair(t, ls)
		_, v2 := packPair(t, shuffled)
		k1, k2 := decoded(t, V1, "a", v1).Series[0].Key, decoded(t, V2, "a", v2).Series[0].Key
		if k1 != k2 || k1 != KeyOf("a", labels.FromStrings(ls...)) {
			r.Fatalf("keys differ: %x %x for %q", k1, k2, ls)
		}
		if other := decoded(t, V1, "b", v1).Series[0].Key; other == k1 {
			r.Fatal("tenants share a key")
		}
	})
}

func TestKeysOfManyLikeSeriesDiffer(t *testing.T) {
	seen := map[Key]string{}
	hi, lo := map[uint64]int{}, map[uint64]int{}
	add := func(tenant string, ls ...string) {
		k := KeyOf(tenant, labels.FromStrings(ls...))
		id := tenant + "|" + strings.Join(ls, "|")
		if old, ok := seen[k]; ok {
			t.Fatalf("%s and %s share a key", old, id)
		}
		seen[k] = id
		hi[k.Hi>>52]++
		lo[k.Lo&0xfff]++
	}
	for i := range 200 {
		for j := range 200 {
			add("", "a", fmt.Sprint(i), "b", fmt.Sprint(j))
		}
		add("", fmt.Sprint("l", i), "x")
		add("t", fmt.Sprint("l", i), "x")
		add("", "a", fmt.Sprint(i))
	}
	// About ten in each of 4096 places; far from it in any means a bad hash.
	for _, places := range []map[uint64]int{hi, lo} {
		for place, n := range places {
			if n > 40 {
				t.Fatalf("%d keys in place %d", n, place)
			}
		}
	}
}

func TestWarmDecodeDoesNotAllocate(t *testing.T) {
	for v, body := range map[Version][]byte{V1: loadV1(t, 500, 0), V2: loadV2(t, 500, 0)} {
		var b Batch
		lim := Limits{MaxDecodedBytes: 64 << 20, MaxLabels: 128, MaxLabelValueBytes: 64 << 10}
		decode := func() {
			if err := b.Decode(v, "tenant", body, lim); err != nil {
				t.Fatal(err)
			}
		}
		decode()
		if n := testing.AllocsPerRun(20, decode); n != 0 {
			t.Errorf("version %d: %v allocations", v, n)
		}
	}
}

func TestStaleMarkersKeepTheirBits(t *testing.T) {
	stale := math.Float64frombits(0x7ff0000000000002)
	body := packV1(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
		Labels: []prompb.Label{{Name: "a", Value: "b"}}, Samples: []prompb.Sample{{Value: stale, Timestamp: 1}},
	}}})
	b := decoded(t, V1, "", body)
	out, _, err := b.Encode(nil, V2, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := unpackV2(t, out).Timeseries[0].Samples[0].Value; !sameFloat(b.Samples[0].V, stale) || !sameFloat(got, stale) {
		t.Fatalf("%x %x", math.Float64bits(b.Samples[0].V), math.Float64bits(got))
	}
}

func TestAnExchangedLabelGivesTheKeyOfTheOtherSeries(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		tenant := rapid.SampledFrom([]string{"", "t"}).Draw(r, "tenant")
		value := rapid.SampledFrom([]string{"", "x", "0.5"})
		rest := []string{"job", "x", "zone", value.Draw(r, "zone")}
		off, on := value.Draw(r, "off"), value.Draw(r, "on")
		from := KeyOf(tenant, labels.FromStrings(append(rest, "le", off)...))
		want := KeyOf(tenant, labels.FromStrings(append(rest, "__name__", on)...))
		if got := from.Exchange(tenant, Label{"__name__", []byte(on)}, Label{"le", []byte(off)}); got != want {
			r.Fatalf("%v, want %v", got, want)
		}
	})
}
