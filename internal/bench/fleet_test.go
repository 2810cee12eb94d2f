package bench

import (
	"bytes"
	"math"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// read decodes a request's body by Prometheus' own types.
func read(t *testing.T, p Proto, body []byte) (series []labels.Labels, samples []prompb.Sample) {
	t.Helper()
	message, err := snappy.Decode(nil, body)
	if err != nil {
		t.Fatal(err)
	}
	b := labels.NewScratchBuilder(0)
	if p == V1 {
		var req prompb.WriteRequest
		if err := req.Unmarshal(message); err != nil {
			t.Fatal(err)
		}
		for _, ts := range req.Timeseries {
			series = append(series, ts.ToLabels(&b, nil))
			samples = append(samples, ts.Samples...)
		}
		return series, samples
	}
	var req writev2.Request
	if err := req.Unmarshal(message); err != nil {
		t.Fatal(err)
	}
	for _, ts := range req.Timeseries {
		ls, err := ts.ToLabels(&b, req.Symbols)
		if err != nil {
			t.Fatal(err)
		}
		series = append(series, ls)
		for _, s := range ts.Samples {
			samples = append(samples, prompb.Sample{Value: s.Value, Timestamp: s.Timestamp})
		}
	}
	return series, samples
}

func TestTheMixIsThatOfTheIssue(t *testing.T) {
	f := &Fleet{Series: 10_000}
	share := map[kind]int{}
	length := 0
	seen := map[string]bool{}
	for i := range f.Series {
		share[f.place(i).kind]++
		ls := f.labels(i)
		ls.Range(func(l labels.Label) { length += len(l.Name) + len(l.Value) })
		if seen[ls.String()] {
			t.Fatalf("series %d is not the only %s", i, ls)
		}
		seen[ls.String()] = true
	}
	if share[counterKind] != 4000 || share[bucketKind]+share[sumKind]+share[countKind] != 4500 || share[gaugeKind] != 1500 {
		t.Errorf("kinds %v, want 40 %% counters, 45 %% parts of histograms, 15 %% gauges", share)
	}
	if mean := length / f.Series; mean < 180 || mean > 220 {
		t.Errorf("label sets have %d bytes, want about 200", mean)
	}
}

func TestBothVersionsSayTheSame(t *testing.T) {
	f := &Fleet{Series: 1000}
	ids := make([]uint32, f.Series)
	for i := range ids {
		ids[i] = uint32(i)
	}
	b1, b2 := newBatch(f, ids, V1), newBatch(f, ids, V2)
	for scrape := range 3 {
		var sum1, sum2 Sum
		b1.advance(f, 1_700_000_000_000, 15_000, &sum1)
		b2.advance(f, 1_700_000_000_000, 15_000, &sum2)
		if sum1 != sum2 || sum1.Samples != int64(f.Series) {
			t.Fatalf("scrape %d: sums %v and %v, want the same over %d samples", scrape, sum1, sum2, f.Series)
		}
		series1, samples1 := read(t, V1, b1.compress(nil))
		series2, samples2 := read(t, V2, b2.compress(nil))
		for i := range ids {
			if !labels.Equal(series1[i], f.labels(i)) || !labels.Equal(series1[i], series2[i]) || samples1[i].Value != samples2[i].Value || samples1[i].Timestamp != samples2[i].Timestamp {
				t.Fatalf("series %d: %s %v in 1.0, %s %v in 2.0, want %s", i, series1[i], samples1[i], series2[i], samples2[i], f.labels(i))
			}
		}
		for p, m := range map[byte][]byte{1: b1.message, 5: b2.message} {
			var counted Sum
			if err := count(m, p, &counted); err != nil || counted != sum1 {
				t.Errorf("the upstream counts %v (%v) where %v were sent", counted, err, sum1)
			}
		}
	}
}

// play gives the values of all series at every scrape.
func play(f *Fleet, scrapes int) [][]float64 {
	all := make([][]float64, f.Series)
	for i := range all {
		v, p := 0.0, f.place(i)
		for s := range scrapes {
			v = f.next(i, p, v, s)
			all[i] = append(all[i], v)
		}
	}
	return all
}

func TestAHealthyFleetOnlyGrowsAndItsHistogramsAddUp(t *testing.T) {
	f := &Fleet{Series: 1000}
	all := play(f, 20)
	for i, vs := range all {
		p := f.place(i)
		for s := range vs {
			if p.kind != gaugeKind && s > 0 && vs[s] < vs[s-1] {
				t.Fatalf("series %d falls from %g to %g", i, vs[s-1], vs[s])
			}
			if p.kind == bucketKind && p.part > 0 && vs[s] < all[i-1][s] {
				t.Fatalf("bucket %d counts less than the one before it", i)
			}
			if p.kind == countKind && vs[s] != all[i-2][s] {
				t.Fatalf("_count %d is %g, its +Inf bucket %g", i, vs[s], all[i-2][s])
			}
			if !p.idle && vs[s] == 0 {
				// a bucket may see nothing for a while; its 0 is written, which is legal
				if p.kind != bucketKind {
					t.Fatalf("series %d is 0", i)
				}
			}
		}
	}
}

func TestFaultsHitTheirShare(t *testing.T) {
	for _, share := range []int{10, 50, 100} {
		f := &Fleet{Series: 20_000, Busy: true, Once: share, OnceAt: 5}
		hit, busy := 0, 0
		for i, vs := range play(f, 6) {
			if f.place(i).idle || f.place(i).kind == bucketKind && vs[4] < 100 {
				continue
			}
			busy++
			if vs[5] < vs[4] {
				hit++
			}
		}
		if got := 100 * float64(hit) / float64(busy); math.Abs(got-float64(share)) > 3 {
			t.Errorf("%.1f %% fell, want %d %%", got, share)
		}
	}
}

func TestShardsKeepEverySeriesInOrder(t *testing.T) {
	l := NewLoad(&Fleet{Series: 5000}, V1, "", 4, 500, 0)
	seen := map[uint32]int{}
	for s, sh := range l.shards {
		for _, b := range sh.batches {
			for _, slot := range b.series {
				if was, ok := seen[slot.id]; ok {
					t.Fatalf("series %d is in shards %d and %d", slot.id, was, s)
				}
				seen[slot.id] = s
			}
		}
	}
	if len(seen) != 5000 {
		t.Errorf("%d series are sent, want 5000", len(seen))
	}
}

func TestTimestampsKeepTheirLength(t *testing.T) {
	for _, ts := range []uint64{1_100_000_000_000, 1_800_000_000_000, 4_000_000_000_000} {
		m := make([]byte, timestampLen)
		putTimestamp(m, ts)
		var sum, want Sum
		want.add(int64(ts), 0)
		if err := countSample(append([]byte{2 << 3}, m...), &sum); err != nil || sum != want {
			t.Errorf("%d is read back as something else (%v)", ts, err)
		}
	}
	if !bytes.Equal(appendBytes(nil, 1, []byte("ab")), []byte{10, 2, 'a', 'b'}) {
		t.Error("a field of bytes is tag, length, bytes")
	}
}
