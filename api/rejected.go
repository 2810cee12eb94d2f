package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
)

// Rejected is a batch that the upstream refused for good.
type Rejected struct {
	ID      string    `json:"id"`
	Time    time.Time `json:"time"`
	Tenant  string    `json:"tenant"`
	Status  int       `json:"status"` // HTTP
	Answer  string    `json:"answer"` // of the upstream, cut
	Samples int       `json:"samples"`
	Bytes   int       `json:"bytes"` // compressed
}

// RejectedBatch is a rejected batch with what is in it.
type RejectedBatch struct {
	Rejected
	RemoteWrite string           `json:"remoteWrite"` // the version it is written in: 1.0 or 2.0
	BodyKept    bool             `json:"bodyKept"`    // false: it alone was over the store's bound, so it cannot be sent again
	SeriesCount int              `json:"seriesCount"` // also those beyond the limit
	Series      []RejectedSeries `json:"series"`
}

// RejectedSeries is what a rejected batch holds of one series.
type RejectedSeries struct {
	Labels     map[string]string   `json:"labels"`
	Samples    []RejectedSample    `json:"samples"`
	Histograms []RejectedHistogram `json:"histograms"`
}

// RejectedSample is one sample, as it was sent: corrected.
type RejectedSample struct {
	Time  time.Time `json:"time"`
	Value Float     `json:"value"`
}

// RejectedHistogram is one native histogram sample.
type RejectedHistogram struct {
	Time time.Time `json:"time"`
	Text string    `json:"text"` // as Prometheus writes it
}

// RejectedQuery selects rejected batches: those named, or all.
type RejectedQuery struct {
	IDs   []string
	All   bool
	After string // cursor into all, "" for the first page
	Limit int    // at most so many of all
}

// ResendReport is what became of batches that were sent again.
type ResendReport struct {
	Items   []ResendResult `json:"items"`
	Stopped string         `json:"stopped,omitempty"` // why the rest was not tried
	Next    string         `json:"next,omitempty"`    // cursor of the following page of all; "" after the last
}

// The outcomes of a ResendResult.
const (
	Accepted     = "accepted" // the upstream has it; it is not kept any more
	RefusedAgain = "refused"  // for good; it is kept
	Failed       = "failed"   // the upstream could not be asked, or the batch cannot be sent; it is kept
)

// ResendResult is the answer to one batch.
type ResendResult struct {
	ID      string `json:"id"`
	Outcome string `json:"outcome"`
	Status  int    `json:"status"` // HTTP; 0 without an answer
	Answer  string `json:"answer"` // of the upstream, or why it was not asked
	Samples int    `json:"samples"`
}

// Dropped is how much was let go.
type Dropped struct {
	Batches int `json:"batches"`
	Samples int `json:"samples"`
}

func (s *server) rejected(r *http.Request) (any, error) {
	cursor, most, err := window(r)
	if err != nil {
		return nil, err
	}
	found, next, err := s.src.Rejected(r.Context(), cursor, most)
	if err != nil {
		return nil, during("list rejected batches", err)
	}
	return page[Rejected]{Items: listed(found), Next: next}, nil
}

func (s *server) rejectedBatch(r *http.Request) (any, error) {
	most, err := limit(r)
	if err != nil {
		return nil, err
	}
	b, err := s.src.RejectedBatch(r.Context(), chi.URLParam(r, "id"), most)
	if err != nil {
		return nil, during("read a rejected batch", err)
	}
	b.Series = listed(b.Series)
	for i := range b.Series {
		in := &b.Series[i]
		in.Labels, in.Samples, in.Histograms = notNil(in.Labels), listed(in.Samples), listed(in.Histograms)
	}
	return b, nil
}

func (s *server) resend(r *http.Request) (any, error) {
	q, err := rejectedQuery(r)
	if err != nil {
		return nil, err
	}
	if q.After, q.Limit, err = window(r); err != nil {
		return nil, err
	}
	report, err := s.src.Resend(r.Context(), q)
	if err != nil {
		return nil, during("resend rejected batches", err)
	}
	report.Items = listed(report.Items)
	return report, nil
}

func (s *server) drop(r *http.Request) (any, error) {
	q, err := rejectedQuery(r)
	if err != nil {
		return nil, err
	}
	d, err := s.src.Drop(r.Context(), q)
	if err != nil {
		return nil, during("drop rejected batches", err)
	}
	return d, nil
}

// rejectedQuery reads which batches are meant; never all by forgetting to say.
func rejectedQuery(r *http.Request) (q RejectedQuery, err error) {
	q.IDs = words(r.Form["id"])
	if s := r.Form.Get("all"); s != "" {
		if q.All, err = strconv.ParseBool(s); err != nil {
			return q, bad("all: %q is neither true nor false", s)
		}
	}
	switch {
	case q.All && len(q.IDs) > 0:
		return q, bad("id and all=true exclude one another")
	case !q.All && len(q.IDs) == 0:
		return q, bad("which batches? give id= (an id of /api/v1/rejected, several with commas or repeated), or all=true")
	case len(q.IDs) > maxLimit:
		return q, bad("%d ids; at most %d are allowed", len(q.IDs), maxLimit)
	}
	return q, nil
}
