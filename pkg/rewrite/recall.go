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

	// Series that are new come side by side: after one, the next ones are looked for together.
	news   int // how many there were in a row
	ahead  [lookAhead]sought
	ah, an int // the next of them, and how many there are
}

// lookAhead is how many label sets are looked for together at most.
const lookAhead = 8

// freshMost is how many new label sets are gathered before they are learned.
const freshMost = 256

// begin starts a request under lim.
func (r *recall) begin(lim *Limits) {
	m := lim.Memory
	lim.Memory = nil // a Batch that is done with must not hold on to it
	r.m, r.page, r.at, r.n, r.fresh = m, nil, 0, 0, r.fresh[:0]
	r.news, r.ah, r.an = 0, 0, 0
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
	r.m, r.page, r.ahead = nil, nil, [lookAhead]sought{}
}

func (r *recall) learn() {
	if len(r.fresh) > 0 {
		r.m.learn(r.fresh, r.now)
		r.fresh = r.fresh[:0]
	}
}

// series tries to recall the label set at the beginning of message[from:end], a TimeSeries
// message. n is its length in bytes; where it is not known, n is 0 and unknown
// the length that learned is to be told, 0 if it cannot be remembered.
func (r *recall) series(tenant uint64, message []byte, from, end int32) (k Key, n, unknown int) {
	body := message[from:end]
	if r.at < r.n {
		p, at := r.page, r.at&pageMask
		if n := int(p.lens[at]); n < len(body) && body[n] != v1Labels<<3|wireBytes && r.m.hash.sum(tenant, body[:n]) == p.hashes[at] {
			r.at++
			r.news = 0
			return p.keys[at], n, 0
		}
	}
	for r.ah < r.an && r.ahead[r.ah].from < from {
		r.ah++
	}
	if r.ah == r.an || r.ahead[r.ah].from != from {
		if !r.seek(tenant, message, from, end) {
			return Key{}, 0, 0
		}
	}
	s := &r.ahead[r.ah]
	r.ah++
	r.hash = s.hash
	if s.page == nil {
		r.news++
		return Key{}, 0, int(s.n) // the place stays: what was inserted now may be followed by what came next then
	}
	r.news = 0
	if s.page != r.page {
		r.page, r.n = s.page, s.page.n.Load()
		if s.page.seen.Load() != r.now {
			s.page.seen.Store(r.now)
		}
	}
	r.at = s.at + 1
	return s.page.keys[s.at], int(s.n), 0
}

// seek looks for the label set of message[from:end], and after new ones for those of the next series with it. It reports
// false where there is none that can be remembered.
func (r *recall) seek(tenant uint64, message []byte, from, end int32) bool {
	r.ah, r.an = 0, 0
	for {
		body := message[from:end]
		n := blockEnd(body)
		if n >= leastBlock && n <= mostBlock && n < len(body) {
			r.ahead[r.an] = sought{from: from, n: int32(n), hash: r.m.hash.sum(tenant, body[:n])}
			r.an++
		} else if r.an == 0 {
			return false
		}
		if r.news < 2 || r.an == lookAhead || int(end) == len(message) || message[end] != v1Timeseries<<3|wireBytes {
			break
		}
		p0, p1, reason := length(message, int(end)+1)
		if reason != "" {
			break // it is told when its turn comes
		}
		from, end = int32(p0), int32(p1)
	}
	r.m.find(r.ahead[:r.an])
	return true
}

// learned notes that the label set that was not known is good, and what key it gave.
func (r *recall) learned(n int, k Key) {
	if len(r.fresh) == freshMost {
		r.learn()
	}
	r.fresh = append(r.fresh, labelBlock{hash: r.hash, key: k, len: uint16(n)})
}

// blockEnd is the length of the Label messages that body begins with, in bytes, found from behind where one sample comes after them, as
// mostly: so their lengths need not be added up. They are where what stands in front of it may be another sample. It is another length
// where something else looks like the sample, as the end of a last label with none behind it: such a series is read in full each time.
func blockEnd(body []byte) int {
	if n := beforeSample(body); n > 0 && beforeSample(body[:n]) == 0 {
		return n
	}
	return blockLen(body)
}

// beforeSample is what is in front of a sample that body seems to end with, 0 if it does not: one with a value and a time of six
// bytes, or with a value of 0, which is left out.
func beforeSample(body []byte) int {
	for _, sample := range [...]int{18, 9} {
		if n := len(body) - sample; n > 0 && body[n] == v1Samples<<3|wireBytes && int(body[n+1]) == sample-2 {
			return n
		}
	}
	return 0
}

// blockLen is the length of the Label messages that body begins with, in bytes.
func blockLen(body []byte) int {
	p := 0
	for p < len(body) && body[p] == v1Labels<<3|wireBytes {
		if p+1 < len(body) && body[p+1] < 0x80 {
			if p += 2 + int(body[p+1]); p > len(body) {
				return 0
			}
			continue
		}
		_, p1, reason := length(body, p+1)
		if reason != "" {
			return 0
		}
		p = p1
	}
	return p
}
