package demo

import (
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"testing"

	"github.com/prometheus/common/promslog"
)

func testUpstream(t *testing.T) *upstream {
	t.Helper()
	up, err := startUpstream(t.TempDir(), "127.0.0.1:0", promslog.NewNopLogger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := up.stop(); err != nil {
			t.Error(err)
		}
	})
	return up
}

func testSend(t *testing.T, up *upstream, path string, stories ...story) {
	t.Helper()
	for _, st := range stories {
		if err := send(t.Context(), up.url+"/api/v1/write", st, path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheUpstreamStoresBothProtocolsBitForBit(t *testing.T) {
	up := testUpstream(t)
	stories := storiesEndingAt(noon, seed)
	testSend(t, up, pathRaw, stories...)
	for _, st := range stories {
		start, end := st.span()
		for _, se := range st.series {
			got, err := up.samples(t.Context(), start, end, se.matchers(pathRaw)...)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, se.samples) {
				t.Errorf("%s: %s differs from what was sent", st.title, se.name())
			}
		}
	}
}

func TestIncreaseSeesTheWholeStoryAndExtrapolatesNothing(t *testing.T) {
	up := testUpstream(t)
	for _, st := range storiesEndingAt(noon, seed) {
		testSend(t, up, pathRaw, st)
		start, end := st.span()
		asked := st.series[st.asked]
		got, err := up.ask(t.Context(), increaseExpr(asked.selector(pathRaw), start, end), end)
		if err != nil {
			t.Fatal(err)
		}
		if want := promQL(asked.samples); math.Abs(got-want) > extrapolation*want {
			t.Errorf("%s: increase() is %v, counted by hand %v", st.title, got, want)
		}
	}
}

// What Grafana's Prometheus data source asks for.
func TestTheUpstreamAnswersGrafana(t *testing.T) {
	up := testUpstream(t)
	st := kernelPanic(noon)
	testSend(t, up, pathRaw, st)
	start, end := st.span()
	times := url.Values{"start": {unix(start)}, "end": {unix(end)}, "step": {"15"}, "time": {unix(end)}}
	for _, tc := range []struct{ path, query, want string }{
		{path: "/api/v1/query", query: `sum(api_requests_total{path="raw"})`, want: "72932"},
		{path: "/api/v1/query_range", query: "api_requests_total", want: "72933"},
		{path: "/api/v1/labels", want: "path"},
		{path: "/api/v1/label/__name__/values", want: "api_requests_total"},
		{path: "/api/v1/status/buildinfo", want: upstreamVersion},
	} {
		v := url.Values{"query": {tc.query}}
		for k := range times {
			v[k] = times[k]
		}
		res, err := http.Get(up.url + tc.path + "?" + v.Encode())
		if err != nil {
			t.Fatal(err)
		}
		var answer struct {
			Status string
			Data   any
		}
		err = json.NewDecoder(res.Body).Decode(&answer)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || answer.Status != "success" {
			t.Errorf("%s: %s, %q, %v", tc.path, res.Status, answer.Status, err)
			continue
		}
		if !contains(answer.Data, tc.want) {
			t.Errorf("%s: no %q in %v", tc.path, tc.want, answer.Data)
		}
	}
}

func TestTheUpstreamOffersNothingThatItCannotAnswer(t *testing.T) {
	up := testUpstream(t)
	for _, path := range []string{"/", "/api/v1/status/tsdb", "/api/v1/targets", "/api/v1/admin/tsdb/snapshot", "/api/v1/read"} {
		res, err := http.Get(up.url + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s, want 404", path, res.Status)
		}
	}
}

// contains looks for a string anywhere in decoded JSON.
func contains(v any, want string) bool {
	switch v := v.(type) {
	case string:
		return v == want
	case []any:
		for _, e := range v {
			if contains(e, want) {
				return true
			}
		}
	case map[string]any:
		for k, e := range v {
			if k == want || contains(e, want) {
				return true
			}
		}
	}
	return false
}
