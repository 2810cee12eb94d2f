package sequence

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"

	"pawl/internal/proportion"
	"pawl/pkg/forward"
	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// step is one record of a journal: a batch, or keys to forget.
type step struct {
	body   []byte
	forget []byte
	ms     int64
}

// journalOf makes up a journal: counters that restart and lose, histograms whose
// buckets do so together, gauges, native histograms, new series and forgotten
// ones. It fills several pages, and leaves holes in them.
func journalOf(rng *rand.Rand, records int) []step {
	const most = 300
	values, next := make([]float64, most), 0
	ms := int64(1_790_000_000_000)
	var steps []step
	for range records {
		ms += int64(rng.IntN(20_000))
		if rng.IntN(8) == 0 && next > 0 {
			var keys []byte
			for range 1 + rng.IntN(90) { // sometimes all of a page
				keys = appendKey(keys, rewrite.KeyOf("", seriesOf(rng.IntN(next))))
			}
			steps = append(steps, step{forget: keys, ms: ms})
			continue
		}
		next = min(most, next+rng.IntN(60))
		req := &prompb.WriteRequest{}
		from, n := rng.IntN(max(next, 1)), 1+rng.IntN(80)
		for i := from; i < min(from+n, next); i++ {
			switch rng.IntN(12) {
			case 0:
				values[i] = float64(rng.IntN(3))
			case 1:
				values[i] -= values[i] / 4
			default:
				values[i] += float64(rng.IntN(9))
			}
			ts := prompb.TimeSeries{Labels: prompb.FromLabels(seriesOf(i), nil)}
			if i%20 == 19 {
				ts.Histograms = []prompb.Histogram{nativeOf(ms, uint64(values[i]))}
			} else {
				ts.Samples = []prompb.Sample{{Timestamp: ms, Value: math.Floor(values[i])}}
			}
			req.Timeseries = append(req.Timeseries, ts)
		}
		msg, err := req.Marshal()
		if err != nil {
			panic(err)
		}
		steps = append(steps, step{body: snappy.Encode(nil, msg), ms: ms})
	}
	return steps
}

func seriesOf(i int) labels.Labels {
	id := fmt.Sprintf("10.0.0.%d:9100", i/20)
	switch c := i % 20; {
	case c < 8:
		return labels.FromStrings("__name__", fmt.Sprintf("requests_%d_total", c), "instance", id)
	case c < 17:
		return labels.FromStrings("__name__", "duration_seconds_bucket", "instance", id, "le", fmt.Sprint(c))
	case c < 19:
		return labels.FromStrings("__name__", fmt.Sprintf("memory_%d_bytes", c), "instance", id)
	}
	return labels.FromStrings("__name__", "sizes", "instance", id)
}

func nativeOf(ms int64, count uint64) prompb.Histogram {
	return prompb.Histogram{Timestamp: ms, Count: &prompb.Histogram_CountInt{CountInt: count}, Sum: float64(count), Schema: 0,
		ZeroThreshold: 0.01, ZeroCount: &prompb.Histogram_ZeroCountInt{}, PositiveSpans: []prompb.BucketSpan{{Offset: 1, Length: 1}}, PositiveDeltas: []int64{int64(count)}}
}

// played is a writer that a test plays records to.
type played struct {
	*writer
	t    testing.TB
	out  chan forward.Item
	ctx  context.Context
	stop context.CancelFunc
}

// play opens what is in dir, as a start does.
func play(t testing.TB, dir string) *played {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	j, err := store.OpenJournal(dir+"/journal", store.JournalOptions{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.OpenState(dir+"/state", log, nil)
	if err != nil {
		t.Fatal(err)
	}
	good, _ := s.Good()
	p := &played{t: t, out: make(chan forward.Item, 1)}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.writer, err = newWriter(options(j, s, forward.NewMark(good.Seq), p.out), good, newMetrics(prometheus.NewRegistry()))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// end ends it where it stands: of a draft under way some pages may be on disk,
// and it may have become good just now.
func (p *played) end() {
	p.stop()
	if p.draft != nil {
		if err := <-p.checkpointed; err != nil {
			p.t.Fatal(err)
		}
	}
	if err := errors.Join(p.state.Close(), p.journal.Close()); err != nil {
		p.t.Fatal(err)
	}
}

// next applies a record and returns what goes out of it, as bytes.
func (p *played) next(s step) string {
	if p.journal.End() == p.writer.next { // a good checkpoint cuts it
		if err := p.journal.Append([]store.Record{{Kind: store.KindTick}}); err != nil {
			p.t.Fatal(err)
		}
	}
	r := &Request{seq: p.writer.next, Time: s.ms, kind: store.KindForget, Body: s.forget}
	if s.body != nil {
		r.kind, r.Body = store.KindBatch1, s.body
		if err := r.Batch.Decode(rewrite.V1, "", s.body, trusted); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := p.handle(context.Background(), r); err != nil {
		p.t.Fatal(err)
	}
	var went bytes.Buffer
	select {
	case it := <-p.out:
		for _, b := range append(it.Late, it.Batch) {
			if b != nil {
				body, _, err := b.Encode(nil, rewrite.V2, nil)
				if err != nil {
					p.t.Fatal(err)
				}
				msg, _ := snappy.Decode(nil, body)
				fmt.Fprintf(&went, "%x\n", msg)
			}
		}
		p.mark.Done(it.Seq)
	default:
	}
	return went.String()
}

// knows is all that a writer would save, without the places.
func (p *played) knows() map[string]string {
	m := map[string]string{}
	for id := range p.table.series.n {
		if s := p.table.series.at(id); p.table.has(id) {
			who := p.identityOf(id)
			m["series "+FormatKey(s.key)] = fmt.Sprintf("%s %x", who.Labels, p.appendSeries(nil, id, s))
			if n := p.natives.all[id]; n != nil {
				m["native "+FormatKey(s.key)] = fmt.Sprintf("%x", n.append(nil))
			}
		}
	}
	for _, g := range p.groups.all {
		if g != nil {
			var parts []string
			for _, place := range g.members {
				parts = append(parts, FormatKey(p.table.series.at(place).key))
			}
			m["histogram "+FormatKey(g.key)] = fmt.Sprint(parts, g.deadline, g.policy, countsByKind(g.counts)) + fmt.Sprintf("%x", g.histogram.Append(nil))
		}
	}
	return m
}

func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] != want[k] {
			t.Fatalf("%s: %s is\n%s\nwant\n%s", what, k, got[k], want[k])
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			t.Fatalf("%s: %s should not be there", what, k)
		}
	}
}

// finish copies what is left and waits until the draft is good.
func (p *played) finish() {
	p.copySome(math.MaxInt)
	if err := <-p.checkpointed; err != nil {
		p.t.Fatal(err)
	}
	p.endCheckpoint()
}

// Rule: a checkpoint is the state after its record, to the bit, whatever
// requests did while it was being copied and wherever a kill ended another one
// before it; with the rest of the journal it gives the same values and state as
// if nothing had stopped.
func TestCheckpointsTakenWhileRequestsRunAreExact(t *testing.T) {
	seeds := 16
	if testing.Short() {
		seeds = 4
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { playWithStops(t, uint64(seed)) })
	}
}

func playWithStops(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	steps := journalOf(rng, 20+rng.IntN(60))
	calm := play(t, t.TempDir())
	defer calm.end()
	var want []string
	after := []map[string]string{calm.knows()}
	for _, s := range steps {
		want = append(want, calm.next(s))
		after = append(after, calm.knows())
	}
	dir := t.TempDir()
	p := play(t, dir)
	defer func() { p.end() }()
	p.ahead = int(seed % 3) // so that pages are handed over compressed too
	for at := 0; at < len(steps); {
		switch {
		case p.draft == nil && rng.IntN(6) == 0:
			p.beginCheckpoint(p.ctx)
		case p.draft != nil && rng.IntN(3) == 0:
			p.copySome(1 + rng.IntN(3))
		case p.draft != nil && rng.IntN(12) == 0:
			p.finish()
		case rng.IntN(20) == 0:
			p.end()
			p = play(t, dir)
			p.ahead = at % 3
			at = int(p.writer.next - 1)
			same(t, fmt.Sprintf("read back from the checkpoint at record %d", at), p.knows(), after[at])
		default:
			if got := p.next(steps[at]); got != want[at] {
				t.Fatalf("record %d goes out as\n%s\nwant\n%s", at+1, got, want[at])
			}
			at++
		}
	}
	same(t, "at the end", p.knows(), after[len(steps)])
	p.beginCheckpoint(p.ctx)
	if p.draft != nil {
		p.finish()
	}
	p.end()
	p = play(t, dir)
	same(t, "read back after the end", p.knows(), after[p.writer.next-1])
}

// stored is every key of the state's pages, with what is in it.
func (p *played) stored() (keys []string, records int) {
	for _, prefix := range []byte{store.PrefixSeries, store.PrefixLabels, store.PrefixHistogram, store.PrefixNative} {
		err := p.state.Load([]byte{prefix}, func(key, value []byte) error {
			keys = append(keys, fmt.Sprintf("%c%x", key[0], key[1:]))
			return DecodeStored(key, value, func(Stored) error { records++; return nil })
		})
		if err != nil {
			p.t.Fatal(err)
		}
	}
	return keys, records
}

// save makes a checkpoint of what is there.
func (p *played) save() {
	p.beginCheckpoint(p.ctx)
	p.finish()
}

// named is a request of counters called so, with a long label each.
func named(ms int64, label int, names ...string) step {
	req := &prompb.WriteRequest{}
	for _, n := range names {
		req.Timeseries = append(req.Timeseries, prompb.TimeSeries{
			Labels:  []prompb.Label{{Name: "__name__", Value: n}, {Name: "x", Value: noise(n, label)}},
			Samples: []prompb.Sample{{Timestamp: ms, Value: 1}}})
	}
	msg, err := req.Marshal()
	if err != nil {
		panic(err)
	}
	return step{body: snappy.Encode(nil, msg), ms: ms}
}

// noise is n characters that do not compress well.
func noise(seed string, n int) string {
	rng := rand.New(rand.NewPCG(uint64(len(seed)), uint64(seed[len(seed)-1])))
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(rng.IntN(26))
	}
	return string(b)
}

const playMS = 1_790_000_000_000

// Rule: what is forgotten leaves nothing on disk: neither a record in a page of
// others, nor a page without series.
func TestForgottenSeriesLeaveNothingOnDisk(t *testing.T) {
	dir := t.TempDir()
	p := play(t, dir)
	defer func() { p.end() }()
	var names []string
	var keys []byte
	for i := range 3 * pageLen {
		names = append(names, fmt.Sprintf("c_%03d_total", i))
		keys = appendKey(keys, rewrite.KeyOf("", labels.FromStrings("__name__", names[i], "x", noise(names[i], 10))))
	}
	p.next(named(playMS, 10, names...))
	p.save()
	if got, n := p.stored(); len(got) != 6 || n != 6*pageLen {
		t.Fatalf("%d records under %v", n, got)
	}
	p.next(step{forget: keys[:(pageLen+5)*keyLen], ms: playMS + 1})
	p.save()
	if got, n := p.stored(); len(got) != 4 || n != 2*(2*pageLen-5) {
		t.Fatalf("after a page and a part of one were forgotten: %d records under %v", n, got)
	}
	p.end()
	p = play(t, dir)
	if p.table.live != 2*pageLen-5 {
		t.Fatalf("%d series read back", p.table.live)
	}
	p.next(step{forget: keys, ms: playMS + 2})
	p.save()
	if got, _ := p.stored(); len(got) != 0 {
		t.Fatalf("after all were forgotten: %v", got)
	}
}

// Rule: a page of large records is cut into values that the database takes, and
// pieces that are no longer needed go.
func TestALargePageIsCut(t *testing.T) {
	dir := t.TempDir()
	p := play(t, dir)
	defer func() { p.end() }()
	var names []string
	var keys []byte
	const long = 20_000
	for i := range 40 {
		names = append(names, fmt.Sprintf("c_%03d_total", i))
		keys = appendKey(keys, rewrite.KeyOf("", labels.FromStrings("__name__", names[i], "x", noise(names[i], long))))
	}
	p.next(named(playMS, long, names...))
	p.save()
	before, n := p.stored()
	if len(before) < 4 || n != 80 {
		t.Fatalf("%d records under %v, want 80 under more than 3", n, before)
	}
	want := p.knows()
	p.end()
	p = play(t, dir)
	same(t, "read back", p.knows(), want)
	p.next(step{forget: keys[:38*keyLen], ms: playMS + 1})
	p.save()
	if got, n := p.stored(); len(got) != 2 || n != 4 {
		t.Fatalf("%d records under %v, want 4 under 2", n, got)
	}
	p.end()
	p = play(t, dir)
	if p.table.live != 2 {
		t.Fatalf("%d series read back", p.table.live)
	}
}

// Rule: a page that is damaged in a way that no checksum found is an error.
func FuzzDecodeStored(f *testing.F) {
	f.Add([]byte("s\x00\x00\x00\x00"), packed(appendPaged(nil, 3, make([]byte, 20))))
	f.Add([]byte("l\x00\x00\x00\x40"), packed(appendPaged(nil, 0, append(make([]byte, 16), 1, 0, 1, 'a', 1, 'b'))))
	f.Add([]byte("h\x00\x00\x00\x08"), packed(nil))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		// A page is decompressed, which snappy does at most 21-fold, and bounded by what one may hold.
		proportion.Check(t, len(key)+len(value), 1<<20, 200, func() { _ = DecodeStored(key, value, func(Stored) error { return nil }) }) // and does not panic
	})
}

// packed is packPage without its scratch.
func packed(records []byte) []byte {
	value, _ := packPage(nil, records)
	return value
}
