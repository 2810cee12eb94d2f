package relay

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Rule: a tenant that the upstream does not let in holds the journal, but
// nobody else's samples, through a restart too; let in, it gets everything in order.
func TestAHeldTenantDoesNotHoldUpTheOthers(t *testing.T) {
	var mu sync.Mutex
	open := false
	up := newRecorder(t)
	gate := newGate(t, up, func(tenant string) int {
		mu.Lock()
		defer mu.Unlock()
		if tenant == "locked-out" && !open {
			return http.StatusForbidden
		}
		return 0
	})
	dir := t.TempDir()
	r := start(t, dir, gate, "")
	const n = 60
	for k := range int64(n) { // more batches than there are workers
		r.push("locked-out", "x_total", t0+k*15_000, float64(k))
		r.push("let-in", "x_total", t0+k*15_000, float64(k))
	}
	arrived := func(tenant string) int { return len(distinct(t, up.of(tenant+" x_total"))) }
	r.eventually("the others' delivered", func() bool { return arrived("let-in") == n })
	if got := arrived("locked-out"); got != 0 {
		t.Fatalf("%d samples of the tenant that is locked out arrived", got)
	}
	r.stop()
	if _, err := os.Stat(filepath.Join(dir, "held")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was kept aside outlives the stop: %v", err)
	}
	r = start(t, dir, gate, "")
	for k := range int64(n) {
		r.push("let-in", "x_total", t0+(n+k)*15_000, float64(n+k))
	}
	r.eventually("the others' delivered after a restart", func() bool { return arrived("let-in") == 2*n })
	mu.Lock()
	open = true
	mu.Unlock()
	r.delivered()
	for tenant, want := range map[string]int{"locked-out": n, "let-in": 2 * n} {
		for i, v := range values(distinct(t, up.of(tenant+" x_total"))) {
			if v != float64(i) || arrived(tenant) != want {
				t.Fatalf("%s: sample %d is %v of %d, want %d rising by 1", tenant, i, v, arrived(tenant), want)
			}
		}
	}
}

// newGate stands before a recorder and answers what bar says; 0: let it pass.
func newGate(t *testing.T, up *recorder, bar func(tenant string) int) string {
	g := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := bar(r.Header.Get("X-Scope-OrgID")); status != 0 {
			w.WriteHeader(status)
			return
		}
		up.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(g.Close)
	return g.URL
}
