package sequence

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"pawl/pkg/config"
	"pawl/pkg/correct"
	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// Of a pair of senders one replica is elected, by Mimir's convention: series that carry both labels of the ha
// section pass if they are the elected replica's, without its label; those of any other are left out. Who came
// first is elected; when nothing of it came for the failover timeout of journal time, the next request of
// another one elects that. It is decided series by series, in the journal's order: a replay elects the same.

// election is which replica of one tenant's cluster is forwarded.
type election struct {
	replica string
	since   int64  // journal time, ms, at which it was elected
	last    int64  // journal time, ms, of the last request that held something of it
	changes uint64 // how often another replica took over
	left    int64  // newest timestamp (ms) that was left out since
	from    int64  // left, when this one took over: a scrape up to then may have been left out in part
}

// elections are all of them; the writer's.
type elections struct {
	labels    rewrite.PairLabels // none: off
	timeoutMS int64
	all       map[string]*election // by tenant, a zero byte, cluster
	gone      []string             // those no longer there since the last draft
	key       []byte               // scratch

	next int // of the batch at hand, the member that comes next
	// Who was asked for last; it is mostly the one that is asked for next.
	cluster, replica []byte
	found            *election
	elected          bool
}

func newElections() *elections { return &elections{all: map[string]*election{}} }

// adopt puts the ha section of a rules record in force. Where the labels change, everyone is elected anew. While
// nothing is corrected, nothing is elected either: what is observed goes out as it came, whoever sent it.
func (x *elections) adopt(ha *config.HA, observe bool) {
	var labels rewrite.PairLabels
	if ha != nil && !observe {
		labels = rewrite.PairLabels{Cluster: ha.ClusterLabel, Replica: ha.ReplicaLabel}
		x.timeoutMS = time.Duration(ha.FailoverTimeout).Milliseconds()
	}
	if labels == x.labels {
		return
	}
	x.labels = labels
	for key := range x.all {
		x.drop(key)
	}
}

func (x *elections) drop(key string) {
	delete(x.all, key)
	x.gone = append(x.gone, key)
}

// begin looks through a batch for pairs. That was done when the batch came in already, if the rules have not changed since.
func (x *elections) begin(b *rewrite.Batch) {
	b.SeekReplicas(x.labels)
	x.next, x.cluster, x.replica, x.found, x.elected = 0, nil, nil, nil, false
}

// admit tells whether series i of the batch at hand is to go on; i only grows. e is its election, nil if it is of no pair.
func (w *writer) admit(b *rewrite.Batch, i int) (e *election, ok bool) {
	x := w.pairs
	if x.next >= b.Members() {
		return nil, true
	}
	at, cluster, replica := b.Member(x.next)
	if at != i {
		return nil, true
	}
	x.next++
	if x.cluster == nil || !bytes.Equal(cluster, x.cluster) || !bytes.Equal(replica, x.replica) {
		x.cluster, x.replica = cluster, replica
		x.found, x.elected = w.elect(b.Tenant, cluster, replica)
	}
	if !x.elected {
		w.leaveOut(b, i, x.found)
		return nil, false
	}
	return x.found, true
}

// elect finds the election of a cluster, or holds one, and tells whether this replica is elected.
func (w *writer) elect(tenant string, cluster, replica []byte) (e *election, elected bool) {
	x := w.pairs
	x.key = append(append(append(x.key[:0], tenant...), 0), cluster...)
	e = x.all[string(x.key)]
	switch {
	case e == nil || w.clock-e.last > w.forgetMS: // whether it was purged or not
		e = &election{since: w.clock}
		x.all[string(x.key)] = e
		w.metrics.clusters.Set(float64(len(x.all)))
	case e.replica == string(replica):
		e.last = w.clock
		return e, true
	case w.clock-e.last < x.timeoutMS:
		return e, false
	default:
		e.since, e.from, e.left = w.clock, e.left, 0
		e.changes++
		w.metrics.electionChanges.Inc()
		w.log.Debug("another replica is elected", "tenant", tenant, "cluster", string(cluster), "replica", string(replica), "instead_of", e.replica,
			"silent_for", time.Duration(w.clock-e.last)*time.Millisecond)
	}
	e.replica, e.last = string(replica), w.clock
	return e, true
}

// leaveOut drops a series that the elected replica of e sends as well.
func (w *writer) leaveOut(b *rewrite.Batch, i int, e *election) {
	s := &b.Series[i]
	for _, x := range b.Samples[s.S0:s.S1] {
		e.left = max(e.left, min(x.T, w.clock)) // a clock that is ahead must not keep anything out for long
	}
	b.DropSeries(i)
	w.account.Deduplicated += uint32(s.S1 - s.S0 + s.H1 - s.H0)
}

// takeOver is the way of a counter's first samples since another replica was elected: those of the time that
// the replica before told are left out, the first one after is held against its last one.
func (w *writer) takeOver(b *rewrite.Batch, i int, id uint32, s *series, c *correct.Counter, e *election) {
	sr, first, apply := &b.Series[i], true, application((*correct.Counter).TakeOver)
	for j := sr.S0; j < sr.S1; j++ {
		sample := correct.Sample{T: b.Samples[j].T, V: b.Samples[j].V, ST: b.Samples[j].ST}
		if first && sample.T <= c.T {
			w.skip(b, int(j))
			continue
		}
		w.correct(b, i, int(j), id, s, c, sample, apply)
		if c.T == sample.T {
			first, apply = false, (*correct.Counter).Apply
		}
	}
	if first { // as if nothing had come since the election
		s.seen = uint32(max(0, e.since/1000-1))
	}
}

// skip leaves out one sample of a time that the replica before has told.
func (w *writer) skip(b *rewrite.Batch, j int) {
	b.Drop(j)
	w.account.Deduplicated++
}

// turn is what a histogram knows of the failovers of its senders.
type turn struct {
	since  int64 // election.since of who sent its last sample, 0 none
	behind int64 // samples up to here (ms) were told by the replica before, or left out in part: they are left out
	first  int64 // timestamp (ms) of the first samples of the replica in force, 0 before they came
}

// passes tells whether a sample of a histogram's part that e's replica sent is to be taken.
func (t *turn) passes(e *election, newest func() int64, sample correct.Sample) bool {
	if e == nil {
		return true
	}
	if t.since != e.since {
		*t = turn{since: e.since, behind: max(newest(), e.from)}
	}
	if sample.T <= t.behind {
		return false
	}
	if t.first == 0 && sample.V == sample.V {
		t.first = sample.T
	}
	return true
}

func (t *turn) append(b []byte) []byte {
	b = binary.AppendVarint(b, t.since)
	b = binary.AppendVarint(b, t.behind)
	return binary.AppendVarint(b, t.first)
}

func (r *stateReader) turn() turn {
	return turn{since: r.varint(), behind: r.varint(), first: r.varint()}
}

// electionVersion is the first byte of an election's record: then since, last, left, from (ms, zigzag), changes, and the replica.
const electionVersion = 2

// encodeElections copies all of them: there are few, and each moves with every request.
func (w *writer) encodeElections(put func(key string, value []byte), remove func(key string)) {
	x := w.pairs
	for key, e := range x.all {
		if w.clock-e.last > w.forgetMS {
			x.drop(key)
			continue
		}
		b := binary.AppendVarint([]byte{electionVersion}, e.since)
		b = binary.AppendVarint(b, e.last)
		b = binary.AppendVarint(b, e.left)
		b = binary.AppendVarint(b, e.from)
		b = binary.AppendUvarint(b, e.changes)
		put(key, append(b, e.replica...))
	}
	for _, key := range x.gone {
		if _, back := x.all[key]; !back {
			remove(key)
		}
	}
	x.gone = nil
	w.metrics.clusters.Set(float64(len(x.all)))
}

// loadElections reads those of the last good checkpoint.
func (w *writer) loadElections() error {
	err := w.state.Load([]byte{store.PrefixElection}, func(key, value []byte) error {
		if len(value) == 0 || value[0] != electionVersion {
			return fmt.Errorf("election %q: version %v is unknown to this release", key[1:], value[:min(1, len(value))])
		}
		in := stateReader{b: value[1:]}
		e := &election{since: in.varint(), last: in.varint(), left: in.varint(), from: in.varint(), changes: in.uvarint()}
		if in.short {
			return fmt.Errorf("election %q: %w", key[1:], errShort)
		}
		e.replica = string(in.b)
		w.pairs.all[string(key[1:])] = e
		return nil
	})
	w.metrics.clusters.Set(float64(len(w.pairs.all)))
	return err
}

// Election is which replica of a pair is forwarded.
type Election struct {
	Tenant, Cluster, Replica string
	Since, Last              int64  // journal time, ms: when it was elected, and when something last came from it
	Changes                  uint64 // how often another replica took over
}

// Elections lists them by tenant and cluster.
func (s *Sequencer) Elections(ctx context.Context) (all []Election, err error) {
	err = s.writer.ask(ctx, func() {
		for key, e := range s.writer.pairs.all {
			tenant, cluster, _ := strings.Cut(key, "\x00")
			all = append(all, Election{tenant, cluster, e.replica, e.since, e.last, e.changes})
		}
	})
	slices.SortFunc(all, func(a, b Election) int {
		return cmp.Or(strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Cluster, b.Cluster))
	})
	return all, err
}
