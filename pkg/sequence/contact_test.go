package sequence

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/sys/unix"

	"pawl/internal/bench"
	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// BenchmarkContact is what the fleet's requests take when all series come for the first, the second and a later time: decoded,
// and applied. CPU time of the thread, in ns a sample.
func BenchmarkContact(b *testing.B) {
	const series, scrapes = 400_000, 5
	for _, v := range []struct {
		proto   bench.Proto
		version rewrite.Version
		kind    store.RecordKind
	}{{bench.V1, rewrite.V1, store.KindBatch1}, {bench.V2, rewrite.V2, store.KindBatch2}} {
		b.Run(string(v.proto), func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var decode, apply [scrapes][]float64 // ns a sample, of each round
			for b.Loop() {
				w := newTestWriter(b)
				lim := rewrite.Limits{MaxDecodedBytes: 32 << 20, MaxLabels: 60, MaxLabelValueBytes: 4 << 10}
				memory := rewrite.NewMemory(func() int { return 1 << 30 }, lim)
				var took, applied [scrapes]time.Duration
				requests, seq := make([]Request, 8), uint64(0) // as many are under way
				(&bench.Fleet{Series: series}).Requests(v.proto, 4, 2000, scrapes, func(scrape int, body []byte) {
					seq++
					r := &requests[seq%uint64(len(requests))]
					r.seq, r.Time, r.kind, r.Body = seq, 1_790_000_000_000+int64(seq), v.kind, append(r.Body[:0], body...)
					lim.Memory = memory
					t0 := threadTime(b)
					if err := r.Batch.Decode(v.version, "", r.Body, lim); err != nil {
						b.Fatal(err)
					}
					t1 := threadTime(b)
					w.apply(r)
					took[scrape] += t1 - t0
					applied[scrape] += threadTime(b) - t1
				})
				for k := range scrapes {
					decode[k] = append(decode[k], float64(took[k].Nanoseconds())/series)
					apply[k] = append(apply[k], float64(applied[k].Nanoseconds())/series)
				}
			}
			for _, k := range []int{0, 1, scrapes - 1} {
				for what, rounds := range map[string][]float64{"decode": decode[k], "apply": apply[k]} {
					slices.Sort(rounds)
					b.ReportMetric(rounds[len(rounds)/4], fmt.Sprintf("%s%d-ns/sample", what, k+1))
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// threadTime is the CPU time that this thread took.
func threadTime(b *testing.B) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// Rule: a new bucket belongs to the histogram of its own labels, also where the series before it in the request differs in a
// label more than the bound: one that it has not, or that this one has not.
func TestANewBucketBelongsToTheHistogramOfItsOwnLabels(t *testing.T) {
	set := labels.FromStrings
	sets := []labels.Labels{
		set("__name__", "x_bucket", "code", "200", "le", "1"),
		set("__name__", "x_bucket", "code", "200", "le", "2"),
		set("__name__", "x_bucket", "le", "1"),
		set("__name__", "x_bucket", "le", "2"),
		set("__name__", "x_bucket", "le", "2", "zone", "a"),
		set("__name__", "x_bucket", "le", "4"),
		set("__name__", "x_bucket", "code", "200", "le", "8"),
		set("__name__", "x_bucket", "code", "200", "le", "16", "zone", "a"),
		set("__name__", "x_bucket", "le", "8"),
		set("__name__", "x_count", "le", "8"),
		set("__name__", "x_bucket", "le", "16"),
	}
	both(t, func(t *testing.T, version rewrite.Version) {
		w := newTestWriter(t)
		r := &Request{seq: 1, kind: store.KindBatch1, Batch: *decodeV1(t, "", nil, sets...)}
		if version == rewrite.V2 {
			body, _, err := r.Batch.Encode(nil, rewrite.V2, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Batch = rewrite.Batch{}
			if err := r.Batch.Decode(rewrite.V2, "", slices.Clone(body), trusted); err != nil {
				t.Fatal(err)
			}
		}
		w.apply(r)
		for i, ls := range sets {
			id, ok := w.table.find(r.Batch.Series[i].Key)
			if !ok {
				t.Fatal("not met")
			}
			s := w.table.series.at(id)
			if ls.Get("__name__") != "x_bucket" {
				continue
			}
			if s.flags&isPart == 0 {
				t.Errorf("%v is part of none", ls)
			} else if got, want := w.groups.all[s.counter-1].key, groupKey("", "x", ls); got != want {
				t.Errorf("%v is part of another histogram", ls)
			}
		}
	})
}
