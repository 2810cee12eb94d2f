package forward

import (
	"sync"
	"time"
)

// seldom lets one log line through every logEvery: what an upstream says of
// batch after batch must not fill the log.
type seldom struct {
	mu   sync.Mutex
	last time.Time
	held int // lines that were not written since
}

// may tells whether to log now, and how many lines were left out before.
func (s *seldom) may() (leftOut int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.last) < logEvery {
		s.held++
		return 0, false
	}
	leftOut, s.held, s.last = s.held, 0, time.Now()
	return leftOut, true
}
