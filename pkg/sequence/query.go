package sequence

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"pawl/pkg/correct"
	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// Position is where the sequencer stands.
type Position struct {
	Applied uint64 // the last record applied to the series
	Series  int
	Good    store.Checkpoint
	GoodAt  time.Time // when it became good, or the start
}

// Position tells where the sequencer stands.
func (s *Sequencer) Position(ctx context.Context) (p Position, err error) {
	err = s.writer.ask(ctx, func() {
		p.Series, p.GoodAt = s.writer.table.live, s.writer.lastGood
	})
	p.Applied = s.writer.applied.Load()
	p.Good, _ = s.writer.state.Good()
	return p, err
}

// SeriesInfo is what is known of one series.
type SeriesInfo struct {
	Place     uint32 // in the table; what a list goes on behind
	Key       rewrite.Key
	Tenant    string
	Labels    labels.Labels
	Counter   bool
	Native    bool   // of native histograms; the values below are their counts
	Source    string // who said what it is: rule, metadata, name, none
	Known     bool   // the fields below have been seen since the state began
	T         int64  // last timestamp, ms
	Raw, Out  float64
	Offset    float64
	Counts    map[string]int // corrections by kind
	LastSeenS int64          // journal time, s

	Interleaved bool // several sources seem to answer for it in turn
}

// Series calls fn for the series that match, in the order of their places,
// which is about that of first sight, from a place on (nil: from the
// beginning), until fn returns false.
func (s *Sequencer) Series(ctx context.Context, match func(tenant string, ls labels.Labels) bool, from *uint32, fn func(SeriesInfo) bool) error {
	const page = 256 // asked of the writer at once, so that it is not held up for long
	var infos []SeriesInfo
	more := true
	flush := func() error {
		if err := s.writer.ask(ctx, func() { s.writer.describe(infos) }); err != nil {
			return err
		}
		for _, in := range infos {
			if more = more && fn(in); !more {
				break
			}
		}
		infos = infos[:0]
		return nil
	}
	var first uint32
	if from != nil {
		first = *from
	}
	err := s.identities(ctx, first, func(place uint32, k rewrite.Key, id identity) (bool, error) {
		if !match(id.Tenant, id.Labels) {
			return true, nil
		}
		infos = append(infos, SeriesInfo{Place: place, Key: k, Tenant: id.Tenant, Labels: id.Labels})
		if len(infos) == page {
			err := flush()
			return more, err
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// describe fills in what the writer knows.
func (w *writer) describe(infos []SeriesInfo) {
	for i := range infos {
		in := &infos[i]
		id, ok := w.table.find(in.Key)
		if !ok {
			continue // forgotten just now
		}
		s := w.table.series.at(id)
		d := w.class.decideBy(in.Tenant, s.told, &labelsOf{name: []byte(in.Labels.Get("__name__")),
			le: value(in.Labels, "le"), quantile: value(in.Labels, "quantile")}, func() labels.Labels { return in.Labels })
		in.Counter, in.Source, in.LastSeenS = d.counter, d.source, int64(s.seen)
		if n := w.natives.all[id]; n != nil {
			in.Native = true
			w.describeNative(in, n)
			continue
		}
		if s.counter == 0 || d.sign { // what is kept of a sign is no counter's
			continue
		}
		if s.flags&isPart != 0 {
			w.describePart(in, s)
			continue
		}
		c := w.table.counters.at(s.counter - 1)
		in.Known = true
		in.T, in.Raw, in.Out = c.T, c.Raw, c.Raw
		tr := w.table.troubles[id]
		if tr == nil {
			continue
		}
		in.Offset, in.Out = tr.rest.Offset(), c.Out(tr.rest)
		in.Interleaved = tr.rest.Interleaved() || w.targets.several(id, c.T)
		in.Counts = countsByKind(&tr.counts)
	}
}

func (w *writer) describePart(in *SeriesInfo, s *series) {
	g := w.groups.all[s.counter-1]
	var t int64
	if t, in.Raw, in.Out, in.Offset, in.Known = g.histogram.Last(int(s.part)); in.Known {
		in.T, in.Counts = t, countsByKind(g.counts)
		in.Interleaved = g.histogram.Interleaved()
	}
}

func countsByKind(counts *[kindSlots]uint32) map[string]int {
	m := map[string]int{}
	if counts == nil {
		return m
	}
	for k, n := range counts {
		if n > 0 {
			m[correct.Kind(k).String()] = int(n)
		}
	}
	return m
}

func value(ls labels.Labels, name string) []byte {
	if v := ls.Get(name); v != "" {
		return []byte(v)
	}
	return nil
}

// identities calls fn for every known series in the order of their places,
// from one on.
func (s *Sequencer) identities(ctx context.Context, from uint32, fn func(uint32, rewrite.Key, identity) (bool, error)) error {
	const at = 16 // pages asked of the writer at once, so that it is not held up for long
	for page, last := from>>pageBits, false; !last; page += at {
		var keys [at]keysOf
		var fresh [at][]*identityPage
		if err := s.writer.ask(ctx, func() { last = s.writer.look(page, keys[:], fresh[:]) }); err != nil {
			return err
		}
		for i := range keys {
			// What was forgotten in between is in none of the sources.
			found, _, err := identitiesOf(s.writer.state, page+uint32(i), &keys[i], new([]byte), fresh[i]...)
			if err != nil {
				return err
			}
			for slot, record := range found {
				place := (page+uint32(i))<<pageBits + uint32(slot)
				if record == nil || place < from {
					continue
				}
				id, err := decodeIdentity(record[keyLen:])
				if err != nil {
					return fmt.Errorf("labels of series %d: %w", place, err)
				}
				if more, err := fn(place, decodeKey(record), id); err != nil || !more {
					return err
				}
			}
		}
	}
	return nil
}

// look tells which series are on some pages, and what is known of their
// identities that the last good checkpoint may not have. It returns whether
// there are no pages behind them.
func (w *writer) look(page uint32, keys []keysOf, fresh [][]*identityPage) (last bool) {
	for i := range keys {
		n := page + uint32(i)
		for id, end := n<<pageBits, min((n+1)<<pageBits, w.table.series.n); id < end; id++ {
			if w.table.has(id) {
				k := &keys[i][id%pageLen]
				k.key, k.taken = w.table.series.at(id).key, true
			}
		}
		fresh[i] = []*identityPage{w.labels.pages[n].snapshot()}
		if w.draft != nil {
			fresh[i] = append(fresh[i], w.draft.labels.pages[n])
		}
	}
	return (page+uint32(len(keys)))<<pageBits >= w.table.series.n
}

// Corrections calls fn for the entries of the log, newest first, beginning
// below the given place (nil: at the newest), until fn returns false.
func (s *Sequencer) Corrections(ctx context.Context, below *Place, fn func(Entry) bool) error {
	var young []Entry
	err := s.writer.ask(ctx, func() {
		if s.writer.draft != nil {
			young = append(young, s.writer.draft.history...)
		}
		young = append(young, s.writer.history...)
	})
	if err != nil {
		return err
	}
	before := func(p Place) bool {
		return below == nil || p.Seq < below.Seq || p.Seq == below.Seq && p.Index < below.Index
	}
	oldest := Place{Seq: ^uint64(0)}
	for i := len(young) - 1; i >= 0; i-- {
		oldest = young[i].Place
		if before(oldest) && !fn(young[i]) {
			return nil
		}
	}
	var from []byte
	if below != nil {
		from = below.append(nil)
	}
	return s.writer.state.Scan([]byte{store.PrefixCorrection}, from, true, func(key, val []byte) (bool, error) {
		e, err := decodeEntry(key[1:], val)
		if err != nil {
			return false, err
		}
		if len(young) > 0 && (e.Place.Seq > oldest.Seq || e.Place.Seq == oldest.Seq && e.Place.Index >= oldest.Index) {
			return true, nil // given from memory already
		}
		return fn(e), nil
	})
}

// Forget drops the state of the series that match and returns their number.
// It goes through the journal: it takes effect after every batch committed
// before it, in a replay too.
func (s *Sequencer) Forget(ctx context.Context, match func(tenant string, ls labels.Labels) bool) (int, error) {
	var keys []byte
	err := s.identities(ctx, 0, func(_ uint32, k rewrite.Key, id identity) (bool, error) {
		if match(id.Tenant, id.Labels) {
			keys = appendKey(keys, k)
		}
		return true, nil
	})
	if err != nil || len(keys) == 0 {
		return 0, err
	}
	return len(keys) / keyLen, s.control(store.KindForget, keys)
}

// FormatKey writes a key as 32 hexadecimal digits.
func FormatKey(k rewrite.Key) string { return hex.EncodeToString(appendKey(nil, k)) }

// Matches tells whether all matchers accept the labels.
func Matches(ms []*labels.Matcher, ls labels.Labels) bool {
	for _, m := range ms {
		if !m.Matches(ls.Get(m.Name)) {
			return false
		}
	}
	return true
}
