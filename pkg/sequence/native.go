package sequence

import (
	"encoding/binary"
	"fmt"

	"github.com/prometheus/prometheus/model/histogram"

	"pawl/pkg/correct"
	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// native is what is known of one series of native histograms.
type native struct {
	histogram correct.Native
	counts    [kindSlots]uint32
	since     int64 // election.since of who sent its last sample, 0 none
	dirty     bool
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
	if !n.dirty {
		n.dirty = true
		ns.dirty = append(ns.dirty, id)
	}
	for j := b.Series[i].H0; j < b.Series[i].H1; j++ {
		h := &b.Histograms[j]
		another := e != nil && n.since != e.since
		if another && h.T <= n.histogram.Newest() {
			b.DropHistogram(int(j))
			w.metrics.deduplicated.Inc()
			continue
		}
		if _, err := b.ReadHistogram(int(j), &ns.scratch); err != nil {
			panic(fmt.Sprintf("BUG: a native histogram was accepted and cannot be read: %v", err))
		}
		n.histogram.TakenOver(another)
		out, st, drop, changed, corrections := n.histogram.Apply(w.class.policies[s.policy], h.T, h.ST, &ns.scratch)
		if another && n.histogram.Newest() == h.T {
			n.since = e.since
		}
		if len(corrections) > 0 {
			w.record(b.Tenant, b.Labels(i), corrections, &n.counts)
		}
		switch {
		case w.observe:
		case drop:
			b.DropHistogram(int(j))
			w.metrics.dropped.Inc()
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
func (ns *natives) renew(id uint32) {
	ns.all[id] = &native{dirty: true}
	ns.dirty = append(ns.dirty, id)
}

// nativeVersion is the first byte of a native histogram's record: then counts
// of corrections, the election of who sent its last sample (ms, zigzag), and pkg/correct's own record.
const nativeVersion = 2

func (w *writer) encodeNatives(d *draft) {
	ns := w.natives
	for _, id := range ns.dirty {
		n := ns.all[id]
		if n == nil || !n.dirty {
			continue
		}
		n.dirty = false
		b := binary.AppendVarint(appendCounts([]byte{nativeVersion}, &n.counts), n.since)
		d.put(store.PrefixNative, appendKey(nil, w.table.series.at(id).key), n.histogram.Append(b))
	}
	ns.dirty = ns.dirty[:0]
}

func (w *writer) loadNatives() error {
	return w.state.Load([]byte{store.PrefixNative}, func(key, value []byte) error {
		k, err := storedKey(key)
		if err != nil {
			return err
		}
		id, ok := w.table.find(k)
		if !ok {
			return fmt.Errorf("native histogram %x has a state and no labels", key[1:])
		}
		n, err := decodeNative(value)
		if err != nil {
			return fmt.Errorf("native histogram %x: %w", key[1:], err)
		}
		w.natives.all[id] = n
		return nil
	})
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
