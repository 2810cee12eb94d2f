package rewrite

import "time"

// recall is a Batch's place in a Memory while it decodes a request.
type recall struct {
	m     *Memory // nil: nothing is remembered
	now   int64   // ms
	page  *page
	at, n uint32 // the label set that came next the last time; n are known
	hash  uint64 // of the last label set that was not known
	fresh []labelBlock
}

// freshMost is how many new label sets are gathered before they are learned.
const freshMost = 256

// begin starts a request under lim.
func (r *recall) begin(lim *Limits) {
	m := lim.Memory
	lim.Memory = nil // a Batch that is done with must not hold on to it
	r.m, r.page, r.at, r.n, r.fresh = m, nil, 0, 0, r.fresh[:0]
	if m == nil {
		return
	}
	if m.maxLabels != lim.MaxLabels || m.maxValue != lim.MaxLabelValueBytes {
		r.m = nil
		return
	}
	r.now = time.Now().UnixMilli()
}

// end keeps what was new in the request.
func (r *recall) end() {
	if r.m == nil {
		return
	}
	r.learn()
	r.m.maybeSweep(r.now)
	r.m, r.page = nil, nil
}

func (r *recall) learn() {
	if len(r.fresh) > 0 {
		r.m.learn(r.fresh, r.now)
		r.fresh = r.fresh[:0]
	}
}

// series tries to recall the label set at the beginning of body, a TimeSeries
// message. n is its length in bytes; where it is not known, n is 0 and unknown
// the length that learned is to be told, 0 if it cannot be remembered.
func (r *recall) series(tenant uint64, body []byte) (k Key, n, unknown int) {
	if r.at < r.n {
		e := &r.page.known[r.at]
		if n := int(e.len); n < len(body) && body[n] != v1Labels<<3|wireBytes && r.m.hash.sum(tenant, body[:n]) == e.hash {
			r.at++
			return e.key, n, 0
		}
	}
	unknown = blockLen(body)
	if unknown < leastBlock || unknown > mostBlock || unknown == len(body) {
		return Key{}, 0, 0
	}
	r.hash = r.m.hash.sum(tenant, body[:unknown])
	p, at := r.m.find(r.hash, int32(unknown))
	if p == nil {
		return Key{}, 0, unknown // the place stays: what was inserted now may be followed by what came next then
	}
	if p != r.page {
		r.page, r.n = p, p.n.Load()
		if p.seen.Load() != r.now {
			p.seen.Store(r.now)
		}
	}
	r.at = at + 1
	return p.known[at].key, unknown, 0
}

// learned notes that the label set that was not known is good, and what key it gave.
func (r *recall) learned(n int, k Key) {
	if len(r.fresh) == freshMost {
		r.learn()
	}
	r.fresh = append(r.fresh, labelBlock{hash: r.hash, key: k, len: int32(n)})
}

// blockLen is the length of the Label messages that body begins with, in bytes.
func blockLen(body []byte) int {
	p := 0
	for p < len(body) && body[p] == v1Labels<<3|wireBytes {
		_, p1, reason := length(body, p+1)
		if reason != "" {
			return 0
		}
		p = p1
	}
	return p
}
