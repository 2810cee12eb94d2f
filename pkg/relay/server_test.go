package relay

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang/snappy"
)

// Rule (RELIABILITY.md, security): timeouts and bounds of connections are set
// on both listeners; who is slow or idle is closed within 30 s.
func TestBothServersAreBounded(t *testing.T) {
	r := start(t, t.TempDir(), newDiscard(t).URL, "")
	for name, s := range map[string]*http.Server{"write": r.WriteServer(), "admin": r.AdminServer()} {
		for what, d := range map[string]time.Duration{"header": s.ReadHeaderTimeout, "body": s.ReadTimeout, "idle": s.IdleTimeout} {
			if d <= 0 || d > 30*time.Second {
				t.Errorf("%s listener: %s timeout of %v, want one of at most 30 s", name, what, d)
			}
		}
		if s.WriteTimeout <= 0 || s.MaxHeaderBytes <= 0 || s.ConnState == nil {
			t.Errorf("%s listener: no bound on answers (%v), headers (%d) or connections (%v)", name, s.WriteTimeout, s.MaxHeaderBytes, s.ConnState == nil)
		}
	}
}

// Rule (RELIABILITY.md, security): admin, pprof and reload are on their own listener, and on no other.
func TestTheWriteListenerHasNothingOfTheAdmins(t *testing.T) {
	h := start(t, t.TempDir(), newDiscard(t).URL, "").WriteHandler()
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/-/reload", "/api/v1/config", "/api/v1/status", "/api/v1/series", "/api/v1/series/forget",
		"/api/v1/corrections", "/api/v1/rejected", "/api/v1/rejected/drop", "/api/v1/rejected/resend"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
			if w.Code != http.StatusNotFound {
				t.Errorf("%s %s is answered %d by the write listener", method, path, w.Code)
			}
		}
	}
}

// Rule (the write listener's contract): Prometheus', Mimir's and Thanos' paths take writes, by POST alone, and nothing else is there.
func TestTheWriteListenersPaths(t *testing.T) {
	up := newRecorder(t)
	r := start(t, t.TempDir(), up.URL, "")
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"POST", "/api/v1/write", 204}, {"POST", "/api/v1/push", 204}, {"POST", "/api/v1/receive", 204},
		{"GET", "/api/v1/write", 405}, {"PUT", "/api/v1/push", 405},
		{"GET", "/-/healthy", 200}, {"GET", "/-/ready", 200}, {"GET", "/metrics", 200},
		{"POST", "/-/reload", 404}, {"GET", "/api/v1/status", 404}, {"GET", "/debug/pprof/", 404}, {"GET", "/", 404},
	} {
		req, err := http.NewRequest(c.method, r.write.URL+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.status == 204 {
			req.Body = io.NopCloser(bytes.NewReader(snappy.Encode(nil, nil)))
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("%s %s is answered %d, want %d", c.method, c.path, resp.StatusCode, c.status)
		}
	}
}
