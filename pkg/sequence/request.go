package sequence

import (
	"sync"
	"sync/atomic"

	"pawl/pkg/rewrite"
	"pawl/pkg/store"
)

// Request is one remote-write request on its way through the relay, or a
// control record of the relay's own. It is pooled: Release ends its life.
type Request struct {
	Body  []byte        // the compressed body as it came in, or a control record's payload
	Batch rewrite.Batch // decoded from Body, for batches
	Time  int64         // when it was received, ms

	kind  store.RecordKind
	seq   uint64
	held  int64      // what it was weighed at, bytes
	giant int64      // what it is counted with among the large ones in use, bytes; 0: it is not one
	done  chan error // the committer's answer; nil for what came from disk
}

func newRequest() *Request { return &Request{done: make(chan error, 1)} }

var (
	requests = sync.Pool{New: func() any { return newRequest() }}
	large    giants
)

// Borrow takes an empty request for a message of n bytes, decompressed; 0 if
// that is not known.
func Borrow(n int) *Request {
	var r *Request
	if n > maxPooled {
		r = large.take(n)
	} else {
		r = requests.Get().(*Request)
	}
	r.Body, r.seq, r.kind = r.Body[:0], 0, 0
	return r
}

// Release gives the request's memory back.
func (r *Request) Release() {
	switch {
	case r.giant > 0:
		large.put(r)
	case r.holds() <= maxPooled:
		requests.Put(r)
	}
}

// holds is what the request holds in memory, in bytes: its body, its message,
// and what is known of each series and sample in it.
func (r *Request) holds() int64 { return int64(cap(r.Body) + r.Batch.Footprint()) }

// weigh is what the request holds from now on.
func (r *Request) weigh() int64 {
	r.held = r.holds()
	return r.held
}

// seekReplicas looks a batch through for pairs by the rules of this moment: beside the writer, and for nothing if
// other rules are in force when the request's turn comes.
func (r *Request) seekReplicas(labels *atomic.Pointer[rewrite.PairLabels]) {
	if labels == nil || r.kind != store.KindBatch1 && r.kind != store.KindBatch2 {
		return
	}
	if l := labels.Load(); l != nil {
		r.Batch.SeekReplicas(*l)
	}
}

// record is the request as the journal keeps it.
func (r *Request) record() store.Record {
	return store.Record{
		Time: r.Time, Kind: r.kind, Tenant: r.Batch.Tenant,
		Samples: uint32(len(r.Batch.Samples) + len(r.Batch.Histograms)), Payload: r.Body,
	}
}

// batchKind is the kind of record that a batch of a version becomes.
func batchKind(v rewrite.Version) store.RecordKind {
	if v == rewrite.V2 {
		return store.KindBatch2
	}
	return store.KindBatch1
}
