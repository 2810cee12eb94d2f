package rewrite

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"pgregory.net/rapid"
)

// draw gives a random batch of either version, decoded, and what it carries.
func draw(t testing.TB, d dice) (*Batch, flat) {
	t.Helper()
	var b *Batch
	if d.IntN(2) == 0 {
		b = decoded(t, V1, "t", packV1(t, drawV1(d)))
	} else {
		b = decoded(t, V2, "t", packV2(t, drawV2(d)))
	}
	return b, checkDecoded(t, b)
}

// edit makes random edits to b, and the same to want by plain means.
func edit(d dice, b *Batch, want *flat) {
	drop, zeros := make([]bool, len(b.Samples)), map[int]int64{}
	for i := range want.series {
		samples := want.series[i].samples
		for j := range samples {
			s := int(b.Series[i].S0) + j
			if d.IntN(3) == 0 {
				v := drawValue(d)
				b.SetValue(s, v)
				samples[j].V = v
			}
			if d.IntN(4) == 0 {
				st := []int64{0, 0, 999, 1000, 1001, 1 << 40, -5}[d.IntN(7)]
				b.SetStart(s, st)
				if b.Version == V2 {
					samples[j].ST = st
				}
			}
			if d.IntN(5) == 0 {
				b.Drop(s)
				drop[s] = true
			}
			if d.IntN(6) == 0 {
				zeros[s] = drawTime(d)
				b.InsertZero(s, zeros[s])
			}
		}
	}
	before := make([]int, len(want.series))
	for i, s := range want.series {
		before[i] = len(s.samples) + len(s.histograms)
	}
	editHistograms(d, b, want)
	s := 0
	for i := range want.series {
		var samples []Sample
		for _, x := range want.series[i].samples {
			if at, ok := zeros[s]; ok && !drop[s] {
				samples = append(samples, Sample{T: at})
			}
			if !drop[s] {
				samples = append(samples, x)
			}
			s++
		}
		want.series[i].samples = samples
		if before[i] > 0 && len(want.series[i].samples)+len(want.series[i].histograms) == 0 {
			want.series[i].kind = 0xff // emptied
		}
	}
}

// expect says, by plain means, what a batch of version from that carries w is in version to.
func expect(w flat, from, to Version) (out []flatSeries, lost int) {
	bare := func(s flatSeries) bool { return len(s.samples)+len(s.histograms) == 0 }
	for i, s := range w.series {
		switch {
		case !bare(s):
			s.exemplars = slices.Clone(s.exemplars)
			if to == V2 {
				first := slices.IndexFunc(w.series, func(o flatSeries) bool { return !bare(o) && o.ls.Hash() == s.ls.Hash() }) == i
				taken := false
				for _, o := range w.series {
					if first && bare(o) && o.ls.Hash() == s.ls.Hash() && len(o.exemplars) > 0 {
						s.exemplars, taken = append(s.exemplars, o.exemplars...), true
					}
				}
				if taken {
					slices.SortStableFunc(s.exemplars, func(x, y flatExemplar) int {
						if x.t < y.t {
							return -1
						}
						if x.t > y.t {
							return 1
						}
						return 0
					})
				}
			}
			if from == V1 && to == V2 && len(s.samples) > 0 && len(s.histograms) > 0 {
				second := s
				s.histograms, second.samples, second.exemplars = nil, nil, nil
				out = append(out, s, second)
				continue
			}
			out = append(out, s)
		case to == V2:
			if !slices.ContainsFunc(w.series, func(o flatSeries) bool { return !bare(o) && o.ls.Hash() == s.ls.Hash() }) {
				lost += len(s.exemplars)
			}
			if from == V1 && to == V1 {
				out = append(out, s)
			}
		case s.kind == 0xff && len(s.exemplars) == 0: // emptied, nothing left
		default:
			out = append(out, s)
		}
	}
	return out, lost
}

// checkEncoded holds a body against what was expected of it.
func checkEncoded(t testing.TB, b *Batch, body []byte, kept Counts, to Version, w flat) {
	t.Helper()
	m, err := snappy.Decode(nil, body)
	if err != nil {
		t.Fatal(err)
	}
	got := flattenMessage(t, to, m)
	want, lost := expect(w, b.Version, to)
	if b.DroppedExemplars() != lost {
		t.Fatalf("%d exemplars left out, want %d", b.DroppedExemplars(), lost)
	}
	if len(got.series) != len(want) {
		t.Fatalf("%d series, want %d\n%+v\n%+v", len(got.series), len(want), got.series, want)
	}
	var count Counts
	for i := range want {
		if to == V1 && b.Version == V2 { // no place for them
			for j := range want[i].samples {
				want[i].samples[j].ST = 0
			}
			for j := range want[i].histograms {
				want[i].histograms[j].st = 0
			}
		}
		checkSeries(t, i, got.series[i], want[i])
		if to == b.Version && !bytes.Equal(got.series[i].unknown, want[i].unknown) {
			t.Fatalf("series %d: unknown fields %x, want %x", i, got.series[i].unknown, want[i].unknown)
		}
		count.Samples += len(want[i].samples)
		count.Histograms += len(want[i].histograms)
		count.Exemplars += len(want[i].exemplars)
	}
	count.Metadata = kept.Metadata
	if kept != count {
		t.Fatalf("kept %+v, want %+v", kept, count)
	}
	// What we send, we would take; but that a 1.0 request may hold series that carry nothing.
	var again Batch
	if err := again.Decode(to, b.Tenant, body, Limits{}); err != nil {
		t.Fatalf("own output refused: %v", err)
	}
}

func TestEncodeCarriesExactlyTheEdits(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		d := rapidDice{r}
		b, w := draw(t, d)
		if d.IntN(4) > 0 {
			edit(d, b, &w)
		}
		to := Version(1 + d.IntN(2))
		body, kept, err := b.Encode(nil, to, nil)
		if err != nil {
			r.Fatal(err)
		}
		// Once more, as after a change of the upstream's version in between.
		if _, _, err := b.Encode(nil, 3-to, nil); err != nil {
			r.Fatal(err)
		}
		again, keptAgain, err := b.Encode(nil, to, nil)
		if err != nil || !bytes.Equal(again, body) || kept != keptAgain {
			r.Fatalf("a second Encode differs: %v", err)
		}
		checkEncoded(t, b, body, kept, to, w)
	})
}

// rapid prefers small requests; this takes them as they come.
func TestEncodeCarriesExactlyTheEditsOfManyRequests(t *testing.T) {
	for seed := range uint64(3000) {
		d := seeded(seed)
		b, w := draw(t, d)
		edit(d, b, &w)
		for _, to := range []Version{V1, V2} {
			body, kept, err := b.Encode(nil, to, nil)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			checkEncoded(t, b, body, kept, to, cloneFlat(w))
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestUntouchedBatchGoesOutAsTheVeryBytes(t *testing.T) {
	for v, body := range map[Version][]byte{V1: loadV1(t, 50, 0), V2: loadV2(t, 50, 0)} {
		b := decoded(t, v, "", body)
		b.SetValue(3, b.Samples[3].V) // no change
		b.SetStart(3, b.Samples[3].ST)
		out, kept, err := b.Encode(nil, v, nil)
		if err != nil || &out[0] != &body[0] || len(out) != len(body) || b.Changed() {
			t.Errorf("version %d: not the same bytes (%v)", v, err)
		}
		equal(t, "kept", kept, Counts{Samples: 50})
	}
}

func TestChangedValueOverwritesEightBytes(t *testing.T) {
	for v, body := range map[Version][]byte{V1: loadV1(t, 50, 0), V2: loadV2(t, 50, 0)} {
		b := decoded(t, v, "", body)
		before := bytes.Clone(b.Message)
		b.SetValue(3, 0) // a zero is written out where there is room for it
		out, _, err := b.Encode(nil, v, nil)
		if err != nil {
			t.Fatal(err)
		}
		after := must(snappy.Decode(nil, out))
		at := int(b.Samples[3].val)
		if len(after) != len(before) || !bytes.Equal(after[:at], before[:at]) || !bytes.Equal(after[at+8:], before[at+8:]) {
			t.Errorf("version %d: more than the value changed", v)
		}
		if !bytes.Equal(after[at:at+8], make([]byte, 8)) {
			t.Errorf("version %d: value is %x", v, after[at:at+8])
		}
	}
}

func TestZeroThatWasLeftOutGetsItsPlace(t *testing.T) {
	one := prompb.TimeSeries{
		Labels:           []prompb.Label{{Name: "a", Value: "b"}},
		Samples:          []prompb.Sample{{Timestamp: 1, XXX_unrecognized: []byte{0x18, 7, 0x20, 7}}, {Value: 2, Timestamp: 2}},
		Exemplars:        []prompb.Exemplar{{Value: 3, Timestamp: 1}},
		XXX_unrecognized: []byte{0x78, 9},
	}
	other := prompb.TimeSeries{Labels: []prompb.Label{{Name: "a", Value: "c"}}, Samples: []prompb.Sample{{Value: 4, Timestamp: 1}}}
	b := decoded(t, V1, "", packV1(t, &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{other, one, other}}))
	b.SetValue(1, 41) // its unknown fields stay: in 1.0, field 3 is one
	out, _, err := b.Encode(nil, V1, nil)
	if err != nil {
		t.Fatal(err)
	}
	one.Samples[0].Value = 41
	want := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{other, one, other}}
	equal(t, "request", must(unpackV1(t, out).Marshal()), must(want.Marshal()))
}

func TestSeriesWithoutWhatWasDroppedIsLeftOut(t *testing.T) {
	for v, load := range map[Version][]byte{V1: loadV1(t, 3, 0), V2: loadV2(t, 3, 0)} {
		b := decoded(t, v, "", load)
		b.Drop(1)
		for _, to := range []Version{V1, V2} {
			out, kept, err := b.Encode(nil, to, nil)
			if err != nil {
				t.Fatal(err)
			}
			kept.Metadata = 0
			equal(t, "kept", kept, Counts{Samples: 2})
			if n := len(decoded(t, to, "", out).Series); n != 2 {
				t.Errorf("%d to %d: %d series", v, to, n)
			}
		}
		b.Drop(0)
		b.Drop(2)
		if _, kept, err := b.Encode(nil, v, nil); err != nil || kept != (Counts{}) {
			t.Errorf("version %d: all dropped, kept %+v, %v", v, kept, err)
		}
	}
}

func TestStartTimestampMovesInPlaceOrSplices(t *testing.T) {
	for _, c := range []struct{ from, to int64 }{{1000, 2000}, {1000, 1 << 40}, {1000, 0}, {0, 1000}, {1000, -1}} {
		t.Run(fmt.Sprintf("%d to %d", c.from, c.to), func(t *testing.T) {
			req := &writev2.Request{Symbols: []string{"", "a", "b"}, Timeseries: []writev2.TimeSeries{{
				LabelsRefs: []uint32{1, 2},
				Samples:    []writev2.Sample{{Value: 1, Timestamp: 5000, StartTimestamp: c.from}, {Value: 2, Timestamp: 6000, StartTimestamp: 1}},
			}}}
			b := decoded(t, V2, "", packV2(t, req))
			b.SetStart(0, c.to)
			out, _, err := b.Encode(nil, V2, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Timeseries[0].Samples[0].StartTimestamp = c.to
			equal(t, "request", unpackV2(t, out).String(), req.String())
		})
	}
}

func TestCreatedTimestampStaysWhereItsReceiversLook(t *testing.T) {
	req := func(samples ...writev2.Sample) *writev2.Request {
		return &writev2.Request{Symbols: []string{"", "a", "b"}, Timeseries: []writev2.TimeSeries{{
			LabelsRefs: []uint32{1, 2}, XXX_unrecognized: []byte{0x30, 0xe8, 0x07}, Samples: samples,
		}}}
	}
	plain := func() *writev2.Request {
		return req(writev2.Sample{Value: 1, Timestamp: 1}, writev2.Sample{Value: 2, Timestamp: 2})
	}
	encode := func(b *Batch) writev2.TimeSeries {
		out, _, err := b.Encode(nil, V2, nil)
		if err != nil {
			t.Fatal(err)
		}
		return unpackV2(t, out).Timeseries[0]
	}
	t.Run("one for all", func(t *testing.T) {
		b := decoded(t, V2, "", packV2(t, plain()))
		b.SetStart(0, 700)
		b.SetStart(1, 700)
		ts := encode(b)
		if created(t, ts.XXX_unrecognized) != 700 || ts.Samples[0].StartTimestamp != 0 {
			t.Fatalf("%v %x", ts.Samples, ts.XXX_unrecognized)
		}
	})
	t.Run("gone", func(t *testing.T) {
		b := decoded(t, V2, "", packV2(t, plain()))
		b.SetStart(0, 0)
		b.SetStart(1, 0)
		if ts := encode(b); len(ts.XXX_unrecognized) != 0 || ts.Samples[0].StartTimestamp != 0 {
			t.Fatalf("%v %x", ts.Samples, ts.XXX_unrecognized)
		}
	})
	t.Run("different from sample to sample", func(t *testing.T) {
		b := decoded(t, V2, "", packV2(t, plain()))
		b.SetStart(1, 700)
		ts := encode(b)
		if len(ts.XXX_unrecognized) != 0 || ts.Samples[0].StartTimestamp != 1000 || ts.Samples[1].StartTimestamp != 700 {
			t.Fatalf("%v %x", ts.Samples, ts.XXX_unrecognized)
		}
	})
}

func TestExemplarsTravelWithTheirSampleTo20(t *testing.T) {
	exemplar := func(ts int64) writev2.Exemplar {
		return writev2.Exemplar{LabelsRefs: []uint32{3, 4}, Value: 1, Timestamp: ts}
	}
	series := func(value uint32, samples int, ex ...writev2.Exemplar) writev2.TimeSeries {
		out := writev2.TimeSeries{LabelsRefs: []uint32{1, value}, Exemplars: ex}
		for i := range samples {
			out.Samples = append(out.Samples, writev2.Sample{Value: 1, Timestamp: int64(10 + i)})
		}
		return out
	}
	req := &writev2.Request{Symbols: []string{"", "a", "b", "trace_id", "x", "c"}, Timeseries: []writev2.TimeSeries{
		series(2, 0, exemplar(9)), series(2, 1, exemplar(5)), series(2, 0, exemplar(3)), series(5, 0, exemplar(1)),
	}}
	b := decoded(t, V2, "", packV2(t, req))
	out, kept, err := b.Encode(nil, V2, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := unpackV2(t, out).Timeseries
	equal(t, "series", len(got), 1)
	equal(t, "exemplars", got[0].Exemplars, []writev2.Exemplar{exemplar(3), exemplar(5), exemplar(9)})
	equal(t, "kept", kept, Counts{Samples: 1, Exemplars: 3})
	equal(t, "left out", b.DroppedExemplars(), 1)

	out, kept, err = b.Encode(nil, V1, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "series to 1.0", len(unpackV1(t, out).Timeseries), 4)
	equal(t, "kept to 1.0", kept, Counts{Samples: 1, Exemplars: 4})
	equal(t, "left out to 1.0", b.DroppedExemplars(), 0)
}

func TestWarmEncodeOfPatchedBatchDoesNotAllocate(t *testing.T) {
	for v, body := range map[Version][]byte{V1: loadV1(t, 500, 0), V2: loadV2(t, 500, 0)} {
		b := decoded(t, v, "", body)
		dst := make([]byte, snappy.MaxEncodedLen(len(b.Message)))
		x := 0.5
		n := testing.AllocsPerRun(20, func() {
			x++
			b.SetValue(7, x)
			if _, _, err := b.Encode(dst, v, nil); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("version %d: %v allocations", v, n)
		}
	}
}
