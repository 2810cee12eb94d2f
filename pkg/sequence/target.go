package sequence

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"pawl/pkg/correct"
	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// A target is what is scraped as one: the series of a tenant with the same job
// and instance. When a process starts again, all of its counters do, at the same
// timestamp, and those that are too small to fall do not show it. What the
// others show is told to them (correct.Word), and so is what a series'
// own `_created` says. A word takes effect with the sample after the one that it is about, so no value
// depends on which of the two came first; see docs/decisions/0014.
//
// Nothing here is looked at by a healthy sample: a target is found from a fall.

// target is one of them.
type target struct {
	key     rewrite.Key
	members []uint32 // places of its counters, parts of histograms too
	stale   int      // so many of them were forgotten since
	restart restart
	start   startTime
	dirty   bool
}

// restart is the step of a target's series that it may have restarted in.
type restart struct {
	prev, t int64 // ms; t 0: none yet
	fell    int   // series that were seen to fall in it
	need    int   // at so many the target is looked through
	told    bool
}

// startTime is what process_start_time_seconds said.
type startTime struct {
	place uint32 // of its series + 1; 0 none
	t     int64  // ms, timestamp at which it moved, 0 never
	at    int64  // ms, to where
	// Up to here (ms) several processes count as answering for the target in turn: it went back.
	several int64
}

// targets are all of them; the writer's.
type targets struct {
	all   []*target // nil: free
	byKey map[rewrite.Key]uint32
	of    []uint32 // by the place of a series: its target's place + 1, 0 none
	spare []uint32
	dirty []*target
	gone  []rewrite.Key // those without a series since the last draft
}

func newTargets() *targets { return &targets{byKey: map[rewrite.Key]uint32{}} }

const (
	// restartShare of the series that had to fall must have, and restartFell at the least; where the process'
	// own start time moved in the same step, restartShareStarted do, and one is enough. A start time that
	// moved alone proves nothing: values may live on in files, and exporters outlive what they export.
	restartShare, restartFell               = 0.75, 3
	restartShareStarted, restartFellStarted = 0.5, 1
)

// severalMS (ms) is how long a target's restarts tell nothing after its start time went back.
const severalMS = 3600_000

// startMetric is the gauge that client libraries export, in s since the epoch.
const startMetric = "process_start_time_seconds"

// belong notes which target a series is of. It is called at first sight, and whenever its kind is decided anew.
func (w *writer) belong(b *rewrite.Batch, i int, id uint32, s *series) {
	ts := w.targets
	if s.flags&(isCounter|isSign) == 0 {
		return
	}
	if ts.target(id) != nil && s.flags&isSign == 0 {
		return
	}
	var job, instance string
	start := false
	b.EachLabel(i, func(name, value []byte) {
		switch string(name) {
		case model.MetricNameLabel:
			start = string(value) == startMetric
		case model.JobLabel:
			job = string(value)
		case model.InstanceLabel:
			instance = string(value)
		}
	})
	if ts.target(id) == nil {
		ts.join(id, b.Tenant, job, instance)
	}
	if tg := ts.target(id); tg != nil && start {
		tg.start.place = id + 1
	}
}

// join puts a series into its target, which is made when it is the first.
func (ts *targets) join(id uint32, tenant, job, instance string) {
	if job == "" || instance == "" {
		return
	}
	place := ts.placeOf(targetKey(tenant, job, instance))
	for uint32(len(ts.of)) <= id {
		ts.of = append(ts.of, 0)
	}
	ts.of[id] = place + 1
	tg := ts.all[place]
	ts.compact(tg)
	tg.members = append(tg.members, id)
}

func targetKey(tenant, job, instance string) rewrite.Key {
	return rewrite.KeyOf(tenant, labels.FromStrings(model.InstanceLabel, instance, model.JobLabel, job))
}

func (ts *targets) placeOf(key rewrite.Key) uint32 {
	place, ok := ts.byKey[key]
	if ok {
		return place
	}
	tg := &target{key: key}
	if n := len(ts.spare); n > 0 {
		place, ts.spare = ts.spare[n-1], ts.spare[:n-1]
		ts.all[place] = tg
	} else {
		place = uint32(len(ts.all))
		ts.all = append(ts.all, tg)
	}
	ts.byKey[key] = place
	return place
}

func (ts *targets) target(id uint32) *target {
	if id >= uint32(len(ts.of)) || ts.of[id] == 0 {
		return nil
	}
	return ts.all[ts.of[id]-1]
}

// leave takes a forgotten series out; with the last one its target goes.
func (ts *targets) leave(id uint32) {
	tg := ts.target(id)
	if tg == nil {
		return
	}
	place := ts.of[id] - 1
	ts.of[id] = 0
	if tg.start.place == id+1 {
		tg.start.place = 0
	}
	if tg.stale++; tg.stale == len(tg.members) {
		ts.drop(place)
	}
}

func (ts *targets) drop(place uint32) {
	tg := ts.all[place]
	delete(ts.byKey, tg.key)
	ts.all[place] = nil
	ts.spare = append(ts.spare, place)
	ts.gone = append(ts.gone, tg.key)
}

// several tells whether several processes answered for a series' target shortly before t (ms).
func (ts *targets) several(id uint32, t int64) bool {
	tg := ts.target(id)
	return tg != nil && tg.start.several > t
}

// compact drops members that were forgotten.
func (ts *targets) compact(tg *target) {
	if tg.stale == 0 {
		return
	}
	kept := tg.members[:0]
	for _, id := range tg.members {
		if ts.target(id) == tg {
			kept = append(kept, id)
		}
	}
	tg.members, tg.stale = kept, 0
}

func (ts *targets) touch(tg *target) {
	if !tg.dirty {
		tg.dirty = true
		ts.dirty = append(ts.dirty, tg)
	}
}

// votes is what a series of a target has to say: a counter, or the histogram of which it is the total.
type votes interface {
	Vote(prev, t int64) correct.Vote
	Step() (prev, t int64)
}

// voice is who speaks for a series; nil where another part speaks for its histogram, or nobody does.
func (w *writer) voice(s *series) votes {
	switch {
	case s.counter == 0 || s.flags&isFree != 0:
		return nil
	case s.flags&isPart == 0:
		return w.table.counters.at(s.counter - 1)
	}
	g := w.groups.all[s.counter-1]
	if total := g.histogram.Total(); total != int(s.part) {
		return nil
	}
	return &g.histogram
}

// fell is told that a series was corrected; where it fell as after a restart, its target may have restarted.
func (w *writer) fell(id uint32, v votes) {
	tg := w.targets.target(id)
	if tg == nil {
		return
	}
	prev, t := v.Step()
	r := &tg.restart
	if t < r.t || t == r.t && (prev != r.prev || r.told) || v.Vote(prev, t) != correct.VoteFell {
		return
	}
	w.targets.touch(tg)
	if t > r.t {
		*r = restart{prev: prev, t: t, need: restartFellStarted}
	}
	if r.fell++; r.fell >= r.need {
		w.survey(tg)
	}
}

// groupFell is fell for a histogram that was judged.
func (w *writer) groupFell(g *group) {
	if total := g.histogram.Total(); total >= 0 && total < len(g.members) {
		w.fell(g.members[total], &g.histogram)
	}
}

// survey looks through a target whether it restarted, and tells its series if it did.
func (w *writer) survey(tg *target) {
	w.targets.compact(tg)
	r := &tg.restart
	fell, of := 0, 0
	for _, id := range tg.members {
		if v := w.voice(w.table.series.at(id)); v != nil {
			switch v.Vote(r.prev, r.t) {
			case correct.VoteFell:
				fell++
				of++
			case correct.VoteStood:
				of++
			}
		}
	}
	share, least := restartShare, restartFell
	if st := tg.start; st.t == r.t && st.at > r.prev && st.at <= r.t {
		share, least = restartShareStarted, restartFellStarted
	}
	if need := max(least, int(math.Ceil(share*float64(of)))); fell < need || tg.start.several > r.t {
		r.need = max(need, r.fell+1)
		return
	}
	r.told = true
	w.metrics.targetRestarts.Inc()
	for _, id := range tg.members {
		w.tell(id, correct.Word{T: r.t, Fell: uint32(fell), Of: uint32(of)}, r.prev)
	}
}

// tell gives a series word of a restart. prev is the timestamp of the sample
// that it must have had before; noPrev: any.
func (w *writer) tell(id uint32, word correct.Word, prev int64) {
	s := w.table.series.at(id)
	v := w.voice(s)
	if v == nil {
		return
	}
	if before, t := v.Step(); prev != noPrev && t != prev && (t != word.T || before != prev) {
		return
	}
	if s.flags&isPart != 0 {
		gid := s.counter - 1
		w.touchGroup(gid)
		w.groups.all[gid].histogram.Tell(word)
		return
	}
	w.touch(id)
	tr := w.table.troubles[id]
	var rest *correct.Case
	if tr != nil {
		rest = tr.rest
	}
	if rest = w.table.counters.at(s.counter-1).Tell(rest, word); rest == nil {
		return
	}
	if tr == nil {
		tr = &trouble{}
		w.table.troubles[id] = tr
		s.flags |= isTroubled
	}
	tr.rest = rest
}

const noPrev = math.MinInt64

// sign looks at a gauge that says when something started.
func (w *writer) sign(b *rewrite.Batch, i int, id uint32, s *series) {
	c := w.table.counterOf(s)
	for j := b.Series[i].S0; j < b.Series[i].S1; j++ {
		t, v := b.Samples[j].T, b.Samples[j].V
		if seen := c.Seen(); seen && v == c.Raw || !(v > 0 && v < math.MaxInt64/1000) {
			continue // as ever
		}
		from, moved := c.Note(t, v)
		tg := w.targets.target(id)
		at := int64(v * 1000)
		switch {
		case tg != nil && tg.start.place == id+1:
			w.started(tg, t, at, from, moved)
		case moved && at <= t:
			w.created(b, i, correct.Word{T: t, Start: at})
		}
	}
}

// started is told that a process' start time is another one than before.
func (w *writer) started(tg *target, t, at int64, from float64, moved bool) {
	if from == 0 {
		return // the first
	}
	w.targets.touch(tg)
	if !moved {
		tg.start.several = t + severalMS
		return
	}
	tg.start.t, tg.start.at = t, at
	if r := &tg.restart; r.t == t && !r.told {
		w.survey(tg)
	}
}

// created gives word of a `_created` that moved to its counter, or its histogram.
func (w *writer) created(b *rewrite.Batch, i int, word correct.Word) {
	ls := b.Labels(i)
	base, _ := split([]byte(ls.Get(model.MetricNameLabel)))
	if gid, ok := w.groups.byKey[groupKey(b.Tenant, string(base), ls)]; ok {
		w.touchGroup(gid)
		w.groups.all[gid].histogram.Tell(word)
		return
	}
	lb := labels.NewBuilder(ls)
	lb.Set(model.MetricNameLabel, string(base)+"_total")
	if id, ok := w.table.find(rewrite.KeyOf(b.Tenant, lb.Labels())); ok && w.table.series.at(id).flags&isPart == 0 {
		w.tell(id, word, noPrev)
	}
}

// targetVersion is the first byte of a target's record: then prev, t (ms, zigzag), fell, need, told,
// and when its start time moved, to where, and until when several processes tell it (ms, zigzag).
const targetVersion = 1

// encodeTargets copies what is known of the targets that changed. Which series are in one follows from their labels.
func (w *writer) encodeTargets(d *draft) {
	ts := w.targets
	for _, key := range ts.gone {
		if _, back := ts.byKey[key]; !back {
			d.delete(store.PrefixTarget, appendKey(nil, key))
		}
	}
	ts.gone = nil
	for _, tg := range ts.dirty {
		tg.dirty = false
		if place, ok := ts.byKey[tg.key]; !ok || ts.all[place] != tg {
			continue
		}
		r, told := tg.restart, byte(0)
		if r.told {
			told = 1
		}
		b := binary.AppendVarint([]byte{targetVersion}, r.prev)
		b = binary.AppendVarint(b, r.t)
		b = binary.AppendUvarint(b, uint64(r.fell))
		b = append(binary.AppendUvarint(b, uint64(r.need)), told)
		b = binary.AppendVarint(b, tg.start.t)
		b = binary.AppendVarint(b, tg.start.at)
		d.put(store.PrefixTarget, appendKey(nil, tg.key), binary.AppendVarint(b, tg.start.several))
	}
	ts.dirty = ts.dirty[:0]
}

// loading finds the targets of the series of a checkpoint, by their identities on disk.
type loading struct {
	ts     *targets
	places map[string]uint32 // by tenant, job and instance
	key    []byte
}

// series notes which target a series is of, if it should turn out to be a counter.
func (l *loading) series(id uint32, identity []byte) error {
	if len(identity) == 0 || identity[0] != identityVersion {
		return fmt.Errorf("version %v of an identity is unknown to this release", identity[:min(1, len(identity))])
	}
	in := stateReader{b: identity[1:]}
	tenant, job, instance := in.bytes(), []byte(nil), []byte(nil)
	for len(in.b) > 0 {
		switch name, value := in.bytes(), in.bytes(); string(name) {
		case model.JobLabel:
			job = value
		case model.InstanceLabel:
			instance = value
		}
	}
	if in.short {
		return errShort
	}
	for uint32(len(l.ts.of)) <= id {
		l.ts.of = append(l.ts.of, 0)
	}
	if len(job) == 0 || len(instance) == 0 {
		return nil
	}
	l.key = append(append(append(append(append(l.key[:0], tenant...), 0), job...), 0), instance...)
	place, ok := l.places[string(l.key)]
	if !ok {
		place = l.ts.placeOf(targetKey(string(tenant), string(job), string(instance)))
		l.places[string(l.key)] = place
	}
	l.ts.of[id] = place + 1
	return nil
}

// settle makes members of those that are counters, and lets go of targets without any.
func (l *loading) settle(w *writer) {
	for id, place := range l.ts.of {
		switch {
		case place == 0:
		case w.table.series.at(uint32(id)).counter == 0:
			l.ts.of[id] = 0
		default:
			tg := l.ts.all[place-1]
			tg.members = append(tg.members, uint32(id))
		}
	}
	for place, tg := range l.ts.all {
		if len(tg.members) == 0 {
			l.ts.drop(uint32(place))
		}
	}
	l.ts.gone = nil
}

// loadTargets reads those of the last good checkpoint.
func (w *writer) loadTargets() error {
	return w.state.Load([]byte{store.PrefixTarget}, func(key, value []byte) error {
		k, err := storedKey(key)
		if err != nil {
			return err
		}
		if len(value) == 0 || value[0] != targetVersion {
			return fmt.Errorf("target %x: version %v is unknown to this release", key[1:], value[:min(1, len(value))])
		}
		in := stateReader{b: value[1:]}
		r := restart{prev: in.varint(), t: in.varint(), fell: int(in.uvarint()), need: int(in.uvarint())}
		r.told = in.uvarint() != 0
		st := startTime{t: in.varint(), at: in.varint(), several: in.varint()}
		if in.short || len(in.b) != 0 {
			return fmt.Errorf("target %x: %w", key[1:], errShort)
		}
		place, ok := w.targets.byKey[k]
		if !ok {
			return fmt.Errorf("target %x has a state and no series", key[1:])
		}
		tg := w.targets.all[place]
		tg.restart, tg.start = r, st
		return nil
	})
}

// storedKey is the key behind the prefix.
func storedKey(b []byte) (rewrite.Key, error) {
	if len(b) != 1+keyLen {
		return rewrite.Key{}, fmt.Errorf("key of %d bytes, want %d", len(b), 1+keyLen)
	}
	return decodeKey(b[1:]), nil
}
