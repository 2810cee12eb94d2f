package receive

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/golang/snappy"

	"pawl/pkg/rewrite"
	"pawl/pkg/sequence"
)

// firstRead is how much is allocated for a body before so much of it has come,
// in bytes: an announced length costs its sender nothing, and a slow client
// holds what it was given for half a minute.
const firstRead = 4 << 10

// snappyRatio: no element of a snappy block gives more than 64 bytes for its 3
// (format_description.txt, 2.2.2).
const snappyRatio = 64.0 / 3

// maxBody is the largest buffer, in bytes, that is kept for the next body.
const maxBody = 1 << 20

// read brings the body in, bounded, and checks it completely. What the request
// holds on the way is charged to c. A request's memory for what is decoded is
// taken only when its whole body is there: a slow client holds what has come.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, c *claim, v rewrite.Version) (*sequence.Request, *refusal) {
	if r.ContentLength > int64(c.set.MaxBodyBytes) {
		return nil, bodyTooLarge(c.set.MaxBodyBytes)
	}
	if why := c.take(memory, firstRead); why != nil {
		return nil, why
	}
	rest := http.MaxBytesReader(w, r.Body, int64(c.set.MaxBodyBytes))
	first := h.firsts.Get().(*[firstRead]byte)
	defer h.firsts.Put(first)
	n, err := io.ReadFull(rest, first[:])
	complete := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !complete {
		return nil, unreadable(err, c)
	}
	// What cannot be accepted shows in the first bytes, and is not read on.
	if why := judgeHeader(first[:n], r.ContentLength, complete, c); why != nil {
		return nil, why
	}
	body := h.bodies.Get().(*[]byte)
	defer h.bodies.Put(body)
	var why *refusal
	*body = append((*body)[:0], first[:n]...)
	if !complete {
		*body, why = readOn(*body, rest, c)
	}
	var req *sequence.Request
	if why == nil {
		req, why = h.decode(body, c, v)
	}
	if cap(*body) > maxBody {
		*body = nil
	}
	return req, why
}

// readOn reads the body to its end; its buffer grows with what has come.
func readOn(b []byte, body io.Reader, c *claim) ([]byte, *refusal) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		if held := int64(cap(b)); held > c.held[memory] {
			if why := c.take(memory, held-c.held[memory]); why != nil {
				return b, why
			}
		}
		n, err := body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return b, unreadable(err, c)
		}
	}
}

// judgeHeader looks at the decompressed length that a body's first bytes
// announce, in bytes. complete tells that they are all of it.
func judgeHeader(b []byte, announced int64, complete bool, c *claim) *refusal {
	n, err := snappy.DecodedLen(b)
	if complete {
		announced = int64(len(b))
	}
	switch {
	case err != nil:
		return &refusal{malformed, errors.New("the body does not begin as a snappy block does"), 0}
	case n > int(c.set.MaxDecodedBytes):
		return &refusal{tooLarge,
			fmt.Errorf("the snappy header announces %d bytes, %d are allowed (receive.max_decoded_bytes)", n, int64(c.set.MaxDecodedBytes)), 0}
	case announced >= 0 && float64(n) > float64(announced)*snappyRatio:
		return &refusal{malformed,
			fmt.Errorf("the snappy header announces %d bytes, more than a body of %d can hold", n, announced), 0}
	}
	// Whether there will be room is seen now, but it is taken only when the
	// whole body is there: a slow client must not hold what it only announces.
	if ok, crowded := c.budget.has(c.tenant, memory, int64(n), memory.most(c.set)); !ok {
		return scarce(memory, memory.most(c.set), crowded)
	}
	return nil
}

// decode takes the request from those that are read to those that are worked
// on, and checks it completely. body becomes the request's, and its own before that the body's.
func (h *Handler) decode(body *[]byte, c *claim, v rewrite.Version) (*sequence.Request, *refusal) {
	c.settle(reading, 0)
	if why := c.take(working, 1); why != nil {
		return nil, why
	}
	n, err := snappy.DecodedLen(*body)
	if err != nil {
		return nil, &refusal{malformed, err, 0}
	}
	if why := c.take(memory, int64(n)); why != nil {
		return nil, why
	}
	req := sequence.Borrow(n)
	req.Body, *body = *body, req.Body
	req.Time = time.Now().UnixMilli()
	limits := limitsOf(c.set)
	limits.Memory, limits.Account = h.memory.Load(), c
	err = req.Batch.Decode(v, c.tenant, req.Body, limits)
	c.settle(memory, int64(cap(req.Body)+req.Batch.Footprint()))
	if why := judge(&req.Batch, err); why != nil {
		req.Release()
		return nil, why
	}
	return req, nil
}

// judge says why a batch that was decoded, or not, is not accepted.
func judge(b *rewrite.Batch, err error) *refusal {
	var large *rewrite.TooLargeError
	var short *refusal // what the claim said
	switch {
	case errors.As(err, &short):
		return short
	case errors.As(err, &large):
		return &refusal{tooLarge, err, 0}
	case err != nil:
		return &refusal{malformed, err, 0}
	case len(b.Series)+len(b.Metadata) == 0 && len(b.Message) > 0:
		// Protobuf skips what it does not know: a 2.0 body called 1.0 would be
		// acknowledged and nothing of it read.
		return &refusal{malformed,
			fmt.Errorf("the body of %d bytes has neither series nor metadata of the message that Content-Type names; remote write 2.0 is %s", len(b.Message), typeV2), 0}
	}
	return nil
}
