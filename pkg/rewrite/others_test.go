package rewrite

import (
	"strings"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// Rule: wherever the labels stand in which a series differs from the one before, and however far behind the others, they are
// those that EachOther shows; and what was taken over from the series before is what Prometheus' own types read.
func TestLabelsThatDifferAreFoundWhereverTheyStand(t *testing.T) {
	long := strings.Repeat("x", 300)
	sets := []labels.Labels{
		labels.FromStrings("__name__", "a_total", "code", "200", "instance", "i", "job", "j", "zone", "z"),
		labels.FromStrings("__name__", "a_total", "code", "201", "instance", "i", "job", "j", "zone", "z"),
		labels.FromStrings("__name__", "a_total", "code", "201", "instance", "i", "job", "j", "zone", "y"),
		labels.FromStrings("__name__", "a_bucket", "instance", "i", "job", "j", "le", "1", "zone", "y"), // one goes, one comes
		labels.FromStrings("__name__", "a_bucket", "instance", "i", "job", "j", "le", "2", "zone", "y"),
		labels.FromStrings("__name__", "a_sum", "instance", "i", "job", "j", "zone", "y"),
		labels.FromStrings("__name__", "a_count", "instance", "i", "job", "j", "zone", "y"),
		labels.FromStrings("__name__", "a_count", "instance", "h", "job", "j", "zone", "w"), // same ones between
		labels.FromStrings("__name__", "a_count", "instance", "g", "job", "j", "zone", "w"), // and behind
		labels.FromStrings("__name__", "b", "far", long, "le", "1"),
		labels.FromStrings("__name__", "b", "far", long, "le", "2"), // behind more than a byte can count
		labels.FromStrings("__name__", "b", "far", long, "le", "3", "more", "ä"),
		labels.FromStrings("__name__", "b", "far", long, "le", "3", "more", "abcdefghijkläm"),
	}
	v1 := &prompb.WriteRequest{}
	v2, symbols := &writev2.Request{}, writev2.NewSymbolTable()
	for _, ls := range sets {
		v1.Timeseries = append(v1.Timeseries, prompb.TimeSeries{Labels: prompb.FromLabels(ls, nil), Samples: []prompb.Sample{{Timestamp: 1}}})
		v2.Timeseries = append(v2.Timeseries, writev2.TimeSeries{LabelsRefs: symbols.SymbolizeLabels(ls, nil), Samples: []writev2.Sample{{Timestamp: 1}}})
	}
	v2.Symbols = symbols.Symbols()
	for v, marshal := range map[Version]func() ([]byte, error){V1: v1.Marshal, V2: v2.Marshal} {
		message, err := marshal()
		if err != nil {
			t.Fatal(err)
		}
		var b Batch
		if err := b.Decode(v, "t", snappy.Encode(nil, message), benchLimits); err != nil {
			t.Fatal(err)
		}
		checkDecoded(t, &b)
		for i, want := range []uint32{1: 0b11101, 2: 0b01111, 3: 0b10000, 4: 0b10111, 5: 0b0110, 6: 0b1110, 7: 0b0101, 8: 0b1101, 10: 0b011, 11: 0b0011, 12: 0b0111} {
			if got := b.Same(i); got != want {
				t.Errorf("version %d, series %d: %b are said to be the same, want %b", v, i, got, want)
			}
		}
	}
}

// Rule: a series that differs from the one before in one value, as that did from the one before it, is checked and read like any other.
func TestOneOtherValueIsCheckedLikeAny(t *testing.T) {
	series := func(pod string) []byte {
		return bytesField(1, join(labelV1("__name__", "requests_total"), labelV1("pod", pod), labelV1("zone", "eu"), plainSample)...)
	}
	blank := func(pod string) []byte { // with a label that has no value
		return bytesField(1, join(labelV1("__name__", "requests_total"), labelV1("a", ""), labelV1("pod", pod), plainSample)...)
	}
	lim := benchLimits
	lim.MaxLabelValueBytes = 20
	for what, c := range map[string]struct {
		messages [][]byte
		fails    string
	}{
		"another length":             {[][]byte{series("1"), series("2"), series("30"), series("4")}, ""},
		"no value":                   {[][]byte{series("1"), series("2"), series(""), series("4"), series("5")}, ""},
		"the same again":             {[][]byte{series("1"), series("2"), series("2"), series("3")}, ""},
		"a label without value":      {[][]byte{blank("1"), blank("2"), blank("3")}, ""},
		"a longer value than may be": {[][]byte{series("1"), series("2"), series(strings.Repeat("x", 21))}, "over the limit of 20"},
		"no UTF-8":                   {[][]byte{series("1"), series("2"), series("\xff")}, notUTF8},
	} {
		var b Batch
		err := b.Decode(V1, "t", snappy.Encode(nil, join(c.messages...)), lim)
		switch {
		case c.fails == "" && err == nil:
			checkDecoded(t, &b)
		case c.fails == "" || err == nil || !strings.Contains(err.Error(), c.fails):
			t.Errorf("%s: %v, want %q", what, err, c.fails)
		}
	}
	lim.Memory = NewMemory(func() int { return 1 << 20 }, lim)
	far := bytesField(1, join(labelV1("__name__", "requests_total"), labelV1("pod", "1"), labelV1("zone", "us"), plainSample)...)
	for _, m := range [][]byte{far, join(series("1"), series("2"), far, series("3"))} { // behind one that is remembered
		var b Batch
		if err := b.Decode(V1, "t", snappy.Encode(nil, m), lim); err != nil {
			t.Fatal(err)
		}
		checkDecoded(t, &b)
	}
}

// Rule: what is no UTF-8 is refused, wherever it stands in a string of any length.
func TestValidUTF8IsWhatTheLibrarySays(t *testing.T) {
	for n := range 40 {
		for at := range n {
			b := []byte(strings.Repeat("a", n))
			for _, c := range []byte{0x7f, 0x80, 0xff} {
				b[at] = c
				if got, want := validUTF8(b), c < 0x80; got != want {
					t.Errorf("%x at %d of %d: %v", c, at, n, got)
				}
			}
		}
		if s := strings.Repeat("a", n) + "ä"; !validUTF8([]byte(s)) {
			t.Errorf("%q is refused", s)
		}
	}
}
