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

// read brings the body in, bounded, and checks it completely. What the request
// holds on the way is charged to c.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, c *claim, v rewrite.Version) (*sequence.Request, *refusal) {
	if r.ContentLength > int64(c.set.MaxBodyBytes) {
		return nil, bodyTooLarge(c.set.MaxBodyBytes)
	}
	if why := c.take(memory, firstRead); why != nil {
		return nil, why
	}
	body := http.MaxBytesReader(w, r.Body, int64(c.set.MaxBodyBytes))
	first := h.firsts.Get().(*[firstRead]byte)
	defer h.firsts.Put(first)
	n, err := io.ReadFull(body, first[:])
	complete := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !complete {
		return nil, unreadable(err, c)
	}
	// What cannot be accepted shows in the first bytes, and is not read on.
	message, why := judgeHeader(first[:n], r.ContentLength, complete, c)
	if why != nil {
		return nil, why
	}
	req := sequence.Borrow(message)
	req.Body = append(req.Body, first[:n]...)
	if !complete {
		why = readOn(req, body, c)
	}
	if why == nil {
		why = h.decode(req, c, v)
	}
	if why != nil {
		req.Release()
		return nil, why
	}
	return req, nil
}

// readOn reads the body to its end; its buffer grows with what has come.
func readOn(req *sequence.Request, body io.Reader, c *claim) *refusal {
	for b := req.Body; ; {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		if held := int64(cap(b)); held > c.held[memory] {
			if why := c.take(memory, held-c.held[memory]); why != nil {
				return why
			}
		}
		n, err := body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		req.Body = b
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return unreadable(err, c)
		}
	}
}

// judgeHeader looks at the decompressed length that a body's first bytes
// announce, in bytes, and gives it. complete tells that they are all of it.
func judgeHeader(b []byte, announced int64, complete bool, c *claim) (n int, why *refusal) {
	n, err := snappy.DecodedLen(b)
	if complete {
		announced = int64(len(b))
	}
	switch {
	case err != nil:
		return 0, &refusal{malformed, errors.New("the body does not begin as a snappy block does"), 0}
	case n > int(c.set.MaxDecodedBytes):
		return 0, &refusal{tooLarge,
			fmt.Errorf("the snappy header announces %d bytes, %d are allowed (receive.max_decoded_bytes)", n, int64(c.set.MaxDecodedBytes)), 0}
	case announced >= 0 && float64(n) > float64(announced)*snappyRatio:
		return 0, &refusal{malformed,
			fmt.Errorf("the snappy header announces %d bytes, more than a body of %d can hold", n, announced), 0}
	}
	// Whether there will be room is seen now, but it is taken only when the
	// whole body is there: a slow client must not hold what it only announces.
	if ok, crowded := c.budget.has(c.tenant, memory, int64(n), memory.most(c.set)); !ok {
		return 0, scarce(memory, memory.most(c.set), crowded)
	}
	return n, nil
}

// decode takes the request from those that are read to those that are worked
// on, and checks it completely.
func (h *Handler) decode(req *sequence.Request, c *claim, v rewrite.Version) *refusal {
	c.settle(reading, 0)
	if refusal := c.take(working, 1); refusal != nil {
		return refusal
	}
	n, err := snappy.DecodedLen(req.Body)
	if err == nil {
		if refusal := c.take(memory, int64(n)); refusal != nil {
			return refusal
		}
		req.Time = time.Now().UnixMilli()
		limits := limitsOf(c.set)
		limits.Memory = h.memory.Load()
		err = req.Batch.Decode(v, c.tenant, req.Body, limits)
		// What is known of each series and sample takes memory too.
		c.settle(memory, int64(cap(req.Body)+req.Batch.Footprint()))
	}
	if b := &req.Batch; err == nil && len(b.Series)+len(b.Metadata) == 0 && len(b.Message) > 0 {
		// Protobuf skips what it does not know: a 2.0 body called 1.0 would be
		// acknowledged and nothing of it read.
		err = fmt.Errorf("the body of %d bytes has neither series nor metadata of the message that Content-Type names; remote write 2.0 is %s", len(b.Message), typeV2)
	}
	var large *rewrite.TooLargeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &large):
		return &refusal{tooLarge, err, 0}
	}
	return &refusal{malformed, err, 0}
}
