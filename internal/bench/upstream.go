package bench

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/golang/snappy"
)

// ServeUpstream is the counting upstream: it reads every request, counts its
// samples and answers as a receiver does. GET /stats gives the counts; POST
// /answer?status=503 makes it refuse from then on, status=204 take again. It
// prints its address and runs until in ends.
func ServeUpstream(in io.Reader, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: newUpstream()}
	go func() {
		_, _ = io.Copy(io.Discard, in) // ends when the measuring process does, however it does
		_ = srv.Close()
	}()
	fmt.Fprintln(out, l.Addr())
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Received is what an upstream has counted.
type Received struct {
	Sum
	Requests int64 `json:"requests"`
	Bytes    int64 `json:"bytes"` // compressed
	Bad      int64 `json:"bad"`   // requests that could not be read
}

type upstream struct {
	mu     sync.Mutex
	got    Received
	status int
	buffer sync.Pool
}

func newUpstream() *upstream {
	return &upstream{status: http.StatusNoContent, buffer: sync.Pool{New: func() any { return new(buffers) }}}
}

type buffers struct{ body, message []byte }

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/stats":
		u.mu.Lock()
		got := u.got
		u.mu.Unlock()
		_ = json.NewEncoder(w).Encode(got)
	case "/answer":
		status, err := strconv.Atoi(r.URL.Query().Get("status"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		u.mu.Lock()
		u.status = status
		u.mu.Unlock()
	default:
		u.write(w, r)
	}
}

func (u *upstream) write(w http.ResponseWriter, r *http.Request) {
	b := u.buffer.Get().(*buffers)
	defer u.buffer.Put(b)
	var err error
	b.body, err = readAll(b.body[:0], r.Body, r.ContentLength)
	u.mu.Lock()
	status := u.status
	u.mu.Unlock()
	if status/100 != 2 {
		w.WriteHeader(status)
		return
	}
	var sum Sum
	field := byte(1)
	if strings.Contains(r.Header.Get("Content-Type"), "v2") {
		field = 5
	}
	if err == nil {
		if b.message, err = snappy.Decode(b.message[:cap(b.message)], b.body); err == nil {
			err = count(b.message, field, &sum)
		}
	}
	u.mu.Lock()
	if err != nil {
		u.got.Bad++
	} else {
		u.got.Sum = u.got.plus(sum)
		u.got.Requests++
		u.got.Bytes += int64(len(b.body))
	}
	u.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if field == 5 {
		w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", strconv.FormatInt(sum.Samples, 10))
		w.Header().Set("X-Prometheus-Remote-Write-Histograms-Written", "0")
		w.Header().Set("X-Prometheus-Remote-Write-Exemplars-Written", "0")
	}
	w.WriteHeader(status)
}

// readAll reads r to its end into b.
func readAll(b []byte, r io.Reader, announced int64) ([]byte, error) {
	if n := int(announced) + 1; announced >= 0 && cap(b) < n {
		b = make([]byte, 0, n)
	}
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

var errMessage = errors.New("no remote-write message")

// count adds the float samples of a message to sum; field is the number of
// TimeSeries in it. Samples are field 2 of both versions' TimeSeries.
func count(m []byte, field byte, sum *Sum) error {
	for len(m) > 0 {
		num, body, _, rest, ok := cut(m)
		if !ok {
			return errMessage
		}
		m = rest
		if num != uint64(field) {
			continue
		}
		for len(body) > 0 {
			num, inner, _, rest, ok := cut(body)
			if !ok {
				return errMessage
			}
			body = rest
			if num == 2 {
				if err := countSample(inner, sum); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func countSample(m []byte, sum *Sum) error {
	var t, bits uint64
	for len(m) > 0 {
		num, _, v, rest, ok := cut(m)
		if !ok {
			return errMessage
		}
		m = rest
		switch num {
		case 1:
			bits = v
		case 2:
			t = v
		}
	}
	sum.add(int64(t), bits)
	return nil
}

// cut takes one protobuf field off m: its bytes, or its number.
func cut(m []byte) (num uint64, body []byte, v uint64, rest []byte, ok bool) {
	tag, n := binary.Uvarint(m)
	if n <= 0 {
		return 0, nil, 0, nil, false
	}
	m = m[n:]
	switch tag & 7 {
	case 0:
		v, n = binary.Uvarint(m)
		if n <= 0 {
			return 0, nil, 0, nil, false
		}
		return tag >> 3, nil, v, m[n:], true
	case 1:
		if len(m) < 8 {
			return 0, nil, 0, nil, false
		}
		return tag >> 3, nil, binary.LittleEndian.Uint64(m), m[8:], true
	case 2:
		l, n := binary.Uvarint(m)
		if n <= 0 || l > uint64(len(m)-n) {
			return 0, nil, 0, nil, false
		}
		return tag >> 3, m[n : n+int(l)], 0, m[n+int(l):], true
	case 5:
		if len(m) < 4 {
			return 0, nil, 0, nil, false
		}
		return tag >> 3, nil, uint64(binary.LittleEndian.Uint32(m)), m[4:], true
	}
	return 0, nil, 0, nil, false
}
