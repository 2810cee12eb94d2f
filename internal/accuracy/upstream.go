package accuracy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/prompb"
)

// arrival is one sample as the upstream got it.
type arrival struct {
	t int64
	v float64
	h *histogram.FloatHistogram
}

// upstream is what the relay forwards to: it keeps every sample, in the order
// of arrival, by the labels of its series. It reads with Prometheus' own code.
type upstream struct {
	server *httptest.Server
	url    string

	mu  sync.Mutex
	got map[string][]arrival
	n   int
	err error // of the first request that could not be read
}

func newUpstream() *upstream {
	u := &upstream{got: map[string][]arrival{}}
	u.server = httptest.NewServer(u)
	u.url = u.server.URL
	return u
}

func (u *upstream) close() { u.server.Close() }

// ServeHTTP takes a request of remote write 1.0.
func (u *upstream) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if err := u.take(req.Body); err != nil {
		u.mu.Lock()
		if u.err == nil {
			u.err = err
		}
		u.mu.Unlock()
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (u *upstream) take(body io.Reader) error {
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	raw, err := snappy.Decode(nil, b)
	if err != nil {
		return fmt.Errorf("decompress: %w", err)
	}
	var msg prompb.WriteRequest
	if err := msg.Unmarshal(raw); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, ts := range msg.Timeseries {
		key := keyOf(ts.Labels)
		for _, s := range ts.Samples {
			u.got[key] = append(u.got[key], arrival{t: s.Timestamp, v: s.Value})
		}
		for _, h := range ts.Histograms {
			u.got[key] = append(u.got[key], arrival{t: h.Timestamp, h: h.ToFloatHistogram()})
		}
		u.n += len(ts.Samples) + len(ts.Histograms)
	}
	return nil
}

// arrived is how many samples have arrived, and whether all could be read.
func (u *upstream) arrived() (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.n, u.err
}

// of is what has arrived of a series; it is forgotten.
func (u *upstream) of(key string) []arrival {
	u.mu.Lock()
	defer u.mu.Unlock()
	got := u.got[key]
	delete(u.got, key)
	return got
}

// keyOf is a series' labels as one string.
func keyOf(ls []prompb.Label) (key string) {
	for _, l := range ls {
		key += l.Name + "\xff" + l.Value + "\xff"
	}
	return key
}
