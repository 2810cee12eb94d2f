package relay

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"pawl/api"
)

// refusing makes an upstream answer with status.
func refusing(up *recorder, status *atomic.Int32) { up.set(func() int { return int(status.Load()) }) }

func (r *running) rejectedIDs() (ids []string) {
	r.t.Helper()
	var list struct{ Items []api.Rejected }
	r.ask("GET", "/api/v1/rejected", &list)
	for _, b := range list.Items {
		ids = append(ids, b.ID)
	}
	return ids
}

// metric is the value of a metric without labels, or with exactly those given.
func (r *running) metric(name string, labels ...string) float64 {
	r.t.Helper()
	families, err := r.opts.Registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var got []string
			for _, l := range m.GetLabel() {
				got = append(got, l.GetName(), l.GetValue())
			}
			if strings.Join(got, " ") == strings.Join(labels, " ") {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	r.t.Fatalf("no metric %s %v", name, labels)
	return 0
}

// Rule: what an upstream refused can be sent again; what it takes leaves the
// store, what it refuses again stays, and both survive a restart.
func TestRefusedBatchesAreSentAgain(t *testing.T) {
	up, dir := newRecorder(t), t.TempDir()
	var status atomic.Int32
	refusing(up, &status)
	status.Store(400)
	r := start(t, dir, up.URL, "")
	for i := range 5 {
		r.push("team", fmt.Sprintf("requests_%d_total", i), t0, float64(10+i))
		r.delivered() // one after another: what goes out side by side may be refused in any order
	}
	ids := r.rejectedIDs()
	if len(ids) != 5 || r.metric("pawl_rejected_samples") != 5 {
		t.Fatalf("rejected: %v", ids)
	}
	r.accounted(5, 0)

	var report api.ResendReport
	r.ask("POST", "/api/v1/rejected/resend?all=true", &report) // still refused
	if len(report.Items) != 5 || report.Items[0].Outcome != api.RefusedAgain || report.Items[0].Status != 400 || report.Stopped != "" {
		t.Errorf("refused again: %+v", report)
	}
	status.Store(503)
	report = api.ResendReport{}
	r.ask("POST", "/api/v1/rejected/resend?all=true", &report) // not asked further
	if len(report.Items) != 1 || report.Items[0].Outcome != api.Failed || !strings.Contains(report.Stopped, "503") {
		t.Errorf("away: %+v", report)
	}
	if got := r.rejectedIDs(); len(got) != 5 {
		t.Errorf("kept: %v", got)
	}
	status.Store(204)
	report = api.ResendReport{}
	r.ask("POST", "/api/v1/rejected/resend?id="+ids[4]+"&id="+ids[2]+"&id=999", &report)
	if len(report.Items) != 3 || report.Items[0].Outcome != api.Accepted || report.Items[1].Outcome != api.Accepted || report.Items[2].Outcome != api.Failed {
		t.Errorf("accepted: %+v", report)
	}
	equal(t, "the oldest", up.of("team requests_0_total"), 10)
	r.accounted(5, 0)
	if a := r.metric("pawl_rejected_samples_total", "outcome", "accepted"); a != 2 || r.metric("pawl_rejected_batches") != 3 {
		t.Errorf("%v accepted, %v kept", a, r.metric("pawl_rejected_batches"))
	}
	r.stop()

	r = start(t, dir, up.URL, "")
	if got := r.rejectedIDs(); len(got) != 3 || got[0] != ids[0] || got[1] != ids[1] || got[2] != ids[3] {
		t.Errorf("after a restart: %v of %v", got, ids)
	}
	var dropped api.Dropped
	r.ask("POST", "/api/v1/rejected/drop?id="+ids[1], &dropped)
	if dropped != (api.Dropped{Batches: 1, Samples: 1}) {
		t.Errorf("dropped %+v", dropped)
	}
	report = api.ResendReport{}
	r.ask("POST", "/api/v1/rejected/resend?all=true&limit=1", &report)
	if len(report.Items) != 1 || report.Items[0].ID != ids[3] || report.Next != ids[3] {
		t.Errorf("first page: %+v", report)
	}
	report = api.ResendReport{}
	r.ask("POST", "/api/v1/rejected/resend?all=true&limit=1&after="+ids[3], &report)
	if len(report.Items) != 1 || report.Items[0].ID != ids[0] || report.Next != "" {
		t.Errorf("last page: %+v", report)
	}
	r.stop()
	r = start(t, dir, up.URL, "")
	if got := r.rejectedIDs(); len(got) != 0 {
		t.Errorf("after another restart: %v", got)
	}
}

func TestARejectedBatchIsReadable(t *testing.T) {
	up := newRecorder(t)
	up.set(func() int { return 422 })
	r := start(t, t.TempDir(), up.URL, "")
	r.push("team", "requests_total", t0, 42)
	r.delivered()
	var b api.RejectedBatch
	r.ask("GET", "/api/v1/rejected/"+r.rejectedIDs()[0], &b)
	if b.RemoteWrite != "1.0" || b.SeriesCount != 1 || len(b.Series) != 1 || b.Series[0].Labels["__name__"] != "requests_total" ||
		len(b.Series[0].Samples) != 1 || b.Series[0].Samples[0].Value != 42 || b.Series[0].Samples[0].Time.UnixMilli() != t0 || !b.BodyKept {
		t.Errorf("%+v", b)
	}
	resp, err := http.Get(r.admin.URL + "/api/v1/rejected/77")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("a batch that is not there: %s", resp.Status)
	}
}

// Rule: batches are not sent again twice at once.
func TestOneResendAtATime(t *testing.T) {
	up := newRecorder(t)
	var status atomic.Int32
	refusing(up, &status)
	status.Store(400)
	r := start(t, t.TempDir(), up.URL, "")
	r.push("", "requests_total", t0, 1)
	r.delivered()
	asked, answer := make(chan struct{}), make(chan struct{})
	up.set(func() int { close(asked); <-answer; return 204 })
	first := make(chan api.ResendReport)
	go func() {
		report, err := r.rejected.resend(t.Context(), api.RejectedQuery{All: true, Limit: 10})
		if err != nil {
			t.Error(err)
		}
		first <- report
	}()
	<-asked
	for _, path := range []string{"resend", "drop"} {
		resp, err := http.Post(r.admin.URL+"/api/v1/rejected/"+path+"?all=true", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s beside another: %s", path, resp.Status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	close(answer)
	if report := <-first; len(report.Items) != 1 || report.Items[0].Outcome != api.Accepted {
		t.Errorf("the first: %+v", report)
	}
}
