//go:build e2e

package e2e

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"
)

// slowProxy stands before an upstream and gives a relay that is killed something to lose:
// every request waits before it goes on and again before its answer comes back, and
// every seventh is answered with 503. It gives the URL of the upstream's write path.
func slowProxy(t *testing.T, upstream *prometheus) string {
	t.Helper()
	target, err := url.Parse(upstream.url)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.ErrorLog = log.New(io.Discard, "", 0) // a killed relay's requests break off: that is the test
	var n atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		time.Sleep(20 * time.Millisecond)
		if n.Add(1)%7 == 0 {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		answer := httptest.NewRecorder()
		forward.ServeHTTP(answer, req)
		time.Sleep(20 * time.Millisecond) // stored, but the relay does not know
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/api/v1/write"
}
