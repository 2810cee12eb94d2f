package bench

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Without a relay between them the upstream must count exactly what the generator says it sent.
func TestWhatIsSentIsCounted(t *testing.T) {
	for _, p := range []Proto{V1, V2} {
		u := newUpstream()
		srv := httptest.NewServer(u)
		l := NewLoad(&Fleet{Series: 3000}, p, srv.URL+"/api/v1/write", 4, 200, 0)
		if err := l.Scrapes(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		if u.got.Sum != l.Sent() || u.got.Samples != 9000 || u.got.Bad != 0 {
			t.Errorf("remote write %s: sent %v, counted %+v", p, l.Sent(), u.got)
		}
		l.Close()
		srv.Close()
	}
}

func TestFollowGoesOnWhereTheOtherStopped(t *testing.T) {
	f := &Fleet{Series: 300}
	u := newUpstream()
	srv := httptest.NewServer(u)
	defer srv.Close()
	whole := NewLoad(f, V1, srv.URL, 2, 100, 0)
	defer whole.Close()
	if err := whole.Scrapes(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	cut := NewLoad(f, V1, srv.URL, 3, 70, 0)
	defer cut.Close()
	before := whole.Sent()
	cut.Follow(whole.start, 3)
	if err := cut.Scrapes(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := whole.Scrapes(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if got := before.plus(cut.Sent()); got != whole.Sent() {
		t.Error("the fourth scrape differs from that of a load that sent all four")
	}
}

func TestARefusedRequestIsSentAgain(t *testing.T) {
	u := newUpstream()
	var refusals atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refusals.Add(1) <= 2 {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		u.ServeHTTP(w, r)
	}))
	defer srv.Close()
	l := NewLoad(&Fleet{Series: 100}, V1, srv.URL, 1, 100, 0)
	defer l.Close()
	if err := l.Scrapes(t.Context(), 1); err != nil || u.got.Sum != l.Sent() {
		t.Errorf("err %v, sent %v, counted %v", err, l.Sent(), u.got.Sum)
	}
}

func TestAMalformedRequestEndsTheRun(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "series 3: no labels", http.StatusBadRequest)
	}))
	defer srv.Close()
	l := NewLoad(&Fleet{Series: 100}, V1, srv.URL, 1, 100, 0)
	defer l.Close()
	if err := l.Scrapes(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "no labels") {
		t.Errorf("err %v, want the relay's own words", err)
	}
}

// The rate stands whether answers keep up or not, and a late start counts as waiting.
func TestAPacedRunCountsTheWaitForItsTurn(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(30 * time.Millisecond)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer srv.Close()
	l := NewLoad(&Fleet{Series: 100}, V1, srv.URL, 1, 100, 0)
	defer l.Close()
	ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	answers, err := l.Paced(ctx, 100) // one every 10 ms over a connection that takes 30 ms each
	if err != nil {
		t.Fatal(err)
	}
	last := answers[len(answers)-1]
	if last.Took < 100*time.Millisecond {
		t.Errorf("the last of %d answers took %s from when it was due; the queue before it must count", len(answers), last.Took)
	}
}

// Rule: what is resident most of the time is told apart from what a checkpoint takes for a moment.
func TestMediansOfWhatWasLookedAt(t *testing.T) {
	held := looks{{rss: 900, anon: 300}, {rss: 200, anon: 100}, {rss: 210, anon: 90}}
	if resident, anonymous := held.medians(); resident != 210 || anonymous != 100 {
		t.Errorf("medians are %d and %d, want 210 and 100", resident, anonymous)
	}
	if resident, anonymous := (looks{}).medians(); resident != 0 || anonymous != 0 {
		t.Errorf("medians of nothing are %d and %d", resident, anonymous)
	}
}
