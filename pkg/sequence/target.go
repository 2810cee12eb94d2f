package sequence

import (
	"bytes"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"pawl/pkg/rewrite"
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
	of    arena[uint32] // by the place of a series: its target's place + 1, 0 none
	spare []uint32
	dirty []*target
	gone  []rewrite.Key // those without a series since the last draft
	last  lastTarget
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

// belong notes which target a series with labels l is of. It is called at first sight, and whenever its kind is decided anew.
func (w *writer) belong(tenant string, id uint32, s *series, l *labelsOf) {
	ts := w.targets
	if s.flags&(isCounter|isSign) == 0 {
		return
	}
	if ts.target(id) == nil {
		ts.join(id, tenant, l.job, l.instance)
	} else if s.flags&isSign == 0 {
		return
	}
	if tg := ts.target(id); tg != nil && string(l.name) == startMetric {
		tg.start.place = id + 1
	}
}

// join puts a series into its target, which is made when it is the first.
func (ts *targets) join(id uint32, tenant string, job, instance []byte) {
	if len(job) == 0 || len(instance) == 0 {
		return
	}
	place := ts.placeNamed(tenant, job, instance)
	ts.reach(id)
	*ts.of.at(id) = place + 1
	tg := ts.all[place]
	ts.compact(tg)
	tg.members = append(tg.members, id)
}

// reach makes room for a series' place.
func (ts *targets) reach(id uint32) {
	for ts.of.n <= id {
		ts.of.grow()
	}
}

// lastTarget is the target that was named last: its series come side by side, so few need its key.
type lastTarget struct {
	tenant        string
	job, instance []byte
	place         uint32 // and 1; 0: none
}

// placeNamed is placeOf by what the target is called.
func (ts *targets) placeNamed(tenant string, job, instance []byte) uint32 {
	r := &ts.last
	if r.place == 0 || r.tenant != tenant || !bytes.Equal(r.instance, instance) || !bytes.Equal(r.job, job) {
		r.tenant, r.job, r.instance = tenant, append(r.job[:0], job...), append(r.instance[:0], instance...)
		r.place = ts.placeOf(targetKey(tenant, string(job), string(instance))) + 1
	}
	return r.place - 1
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
	if id >= ts.of.n || *ts.of.at(id) == 0 {
		return nil
	}
	return ts.all[*ts.of.at(id)-1]
}

// leave takes a forgotten series out; with the last one its target goes.
func (ts *targets) leave(id uint32) {
	tg := ts.target(id)
	if tg == nil {
		return
	}
	place := *ts.of.at(id) - 1
	*ts.of.at(id) = 0
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
	ts.last.place = 0 // it may be this one
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
