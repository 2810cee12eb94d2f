package api

import (
	"net/http"
	"time"
)

// Election says which replica of a pair of senders is forwarded.
type Election struct {
	Tenant   string    `json:"tenant"`
	Cluster  string    `json:"cluster"` // value of the configured cluster label
	Replica  string    `json:"replica"` // the elected one
	Since    time.Time `json:"since"`   // when it was elected, in the journal's time
	LastSeen time.Time `json:"lastSeen"`
	Changes  uint64    `json:"changes"` // how often another replica took over
}

func (s *server) ha(r *http.Request) (any, error) {
	cursor, most, err := window(r)
	if err != nil {
		return nil, err
	}
	found, next, err := s.src.Elections(r.Context(), cursor, most)
	if err != nil {
		return nil, during("list elected replicas", err)
	}
	return page[Election]{Items: listed(found), Next: next}, nil
}
