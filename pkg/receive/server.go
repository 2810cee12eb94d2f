package receive

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Timeouts bound how long one connection may take for what.
type Timeouts struct {
	Header time.Duration // from the connection, or the request's first byte, to the end of its headers
	Body   time.Duration // the same to the end of its body
	Write  time.Duration // from the end of the headers to the end of the answer
	Idle   time.Duration // between two requests
}

// DefaultTimeouts close a slow or idle client within 30 s, a busy machine's delay included.
func DefaultTimeouts() Timeouts {
	return Timeouts{Header: 10 * time.Second, Body: 25 * time.Second, Write: time.Minute, Idle: 25 * time.Second}
}

const (
	// maxHeaderBytes bounds a request's headers, in bytes.
	maxHeaderBytes = 64 << 10

	// maxStreams bounds the requests at once on one HTTP/2 connection.
	maxStreams = 64
)

// NewServer makes a server with every bound that a connection needs: timeouts,
// the size of headers, and at most as many connections as limit says, nil for
// any number.
func NewServer(h http.Handler, t Timeouts, limit *Connections) *http.Server {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: t.Header, ReadTimeout: t.Body, WriteTimeout: t.Write, IdleTimeout: t.Idle,
		MaxHeaderBytes: maxHeaderBytes, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
	}
	if limit != nil {
		srv.ConnState = limit.track
	}
	return srv
}

// Connections bounds how many connections a server has. Over the bound it
// closes the oldest that has not brought a whole request yet (a slow client, or
// one that only connects), else the one that has been idle longest, else the
// new one. So those who only hold connections cannot keep honest senders out.
type Connections struct {
	limit  atomic.Int64
	closed atomic.Int64 // how many were closed for the bound

	mu   sync.Mutex
	open map[net.Conn]*connection
}

type connection struct {
	served bool // it has brought a whole request
	idle   bool // between two requests
	since  time.Time
}

// NewConnections allows at most so many.
func NewConnections(limit int) *Connections {
	c := &Connections{open: map[net.Conn]*connection{}}
	c.Limit(limit)
	return c
}

// Limit changes the bound, for connections from now on.
func (c *Connections) Limit(n int) { c.limit.Store(int64(n)) }

// Open is how many connections there are.
func (c *Connections) Open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// Closed is how many connections were closed for the bound.
func (c *Connections) Closed() int64 { return c.closed.Load() }

// track is http.Server's ConnState.
func (c *Connections) track(nc net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		c.open[nc] = &connection{since: time.Now()}
		if int64(len(c.open)) > c.limit.Load() {
			c.makeRoom(nc)
		}
	case http.StateActive:
		if k := c.open[nc]; k != nil {
			k.idle = false
		}
	case http.StateIdle:
		if k := c.open[nc]; k != nil {
			k.served, k.idle, k.since = true, true, time.Now()
		}
	case http.StateClosed, http.StateHijacked:
		delete(c.open, nc)
	}
}

// makeRoom closes one connection.
func (c *Connections) makeRoom(newest net.Conn) {
	victim, rank, since := newest, 0, time.Time{}
	for nc, k := range c.open {
		r := 0
		switch {
		case nc == newest:
			continue
		case !k.served:
			r = 2
		case k.idle:
			r = 1
		}
		if r > rank || r == rank && r > 0 && k.since.Before(since) {
			victim, rank, since = nc, r, k.since
		}
	}
	delete(c.open, victim)
	c.closed.Add(1)
	go func() { _ = victim.Close() }() // TLS says goodbye first, which may take a while
}
