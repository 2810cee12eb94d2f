package sequence

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/histogram"

	"pawl/pkg/correct"
	"pawl/pkg/rewrite"
)

// native is what is known of one series of native histograms.
type native struct {
	histogram correct.Native
	counts    [kindSlots]uint32
	since     int64    // election.since of who sent its last sample, 0 none
	mark      pageMark // it is a page of its own
}

// natives are all of them, by the place of their series. A native histogram is
// large and one sample holds all of it, so a map costs nothing beside it.
type natives struct {
	all     map[uint32]*native
	dirty   []uint32
	scratch histogram.FloatHistogram
}

func newNatives() *natives { return &natives{all: map[uint32]*native{}} }

// applyNative corrects the native histograms of series i.
func (w *writer) applyNative(b *rewrite.Batch, i int, id uint32, s *series, e *election) {
	ns := w.natives
	n := ns.all[id]
	if n == nil {
		n = &native{}
		ns.all[id] = n
	}
	w.touchNative(id, n)
	for j := b.Series[i].H0; j < b.Series[i].H1; j++ {
		h := &b.Histograms[j]
		another := e != nil && n.since != e.since
		if another && h.T <= n.histogram.Newest() {
			b.DropHistogram(int(j))
			w.account.Deduplicated++
			continue
		}
		if _, err := b.ReadHistogram(int(j), &ns.scratch); err != nil {
			panic(fmt.Sprintf("BUG: a native histogram was accepted and cannot be read: %v", err))
		}
		n.histogram.TakenOver(another)
		lost := n.histogram.Newest() == math.MinInt64 && w.startsFromZero(s.key)
		if lost {
			n.histogram.FromZero()
		}
		out, st, drop, changed, corrections := n.histogram.Apply(w.class.policies[s.policy], h.T, h.ST, &ns.scratch)
		if another && n.histogram.Newest() == h.T {
			n.since = e.since
		}
		if lost && n.histogram.Newest() != math.MinInt64 {
			w.began(s.key)
		}
		if len(corrections) > 0 {
			w.record(b.Tenant, b.Labels(i), corrections, &n.counts)
		}
		switch {
		case w.observe:
		case drop:
			b.DropHistogram(int(j))
			w.account.Repeated++
		default:
			if changed {
				b.SetHistogram(int(j), out)
				w.metrics.changed.Inc()
			}
			if st != h.ST {
				b.SetHistogramStart(int(j), st)
			}
		}
	}
}

// renew forgets what was known of a native histogram, on disk too.
func (w *writer) renew(id uint32) {
	w.touchNative(id, w.natives.all[id])
	w.natives.all[id] = &native{mark: pageDirty}
}

// nativeVersion is the first byte of a native histogram's record: then counts
// of corrections, the election of who sent its last sample (ms, zigzag), and pkg/correct's own record.
const nativeVersion = 2

func (n *native) append(b []byte) []byte {
	b = binary.AppendVarint(appendCounts(append(b, nativeVersion), &n.counts), n.since)
	return n.histogram.Append(b)
}

func decodeNative(b []byte) (*native, error) {
	if len(b) < 1 || b[0] != nativeVersion {
		return nil, fmt.Errorf("version %v is unknown to this release", b[:min(1, len(b))])
	}
	in, n := stateReader{b: b[1:]}, &native{}
	if err := in.counts(&n.counts); err != nil {
		return nil, err
	}
	n.since = in.varint()
	if in.short {
		return nil, errShort
	}
	h, err := correct.DecodeNative(in.b)
	if err != nil {
		return nil, err
	}
	n.histogram = *h
	return n, nil
}

// describeNative tells a native histogram's count as its value.
func (w *writer) describeNative(in *SeriesInfo, n *native) {
	if in.T, in.Raw, in.Out, in.Known = n.histogram.Last(); in.Known {
		in.Offset, in.Counts = in.Out-in.Raw, countsByKind(&n.counts)
		in.Interleaved = n.histogram.Interleaved()
	}
}
