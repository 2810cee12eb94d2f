package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/labels"

	"pawl/pkg/config"
)

type nothing struct{}

func (nothing) Gather() ([]*dto.MetricFamily, error) { return nil, nil }

func selectors(sets [][]*labels.Matcher) string {
	var all []string
	for _, set := range sets {
		var s []string
		for _, m := range set {
			s = append(s, m.String())
		}
		all = append(all, strings.Join(s, ","))
	}
	return strings.Join(all, " or ")
}

func TestSeriesAreAskedForAsTheQuerySays(t *testing.T) {
	src := full()
	get(t, src, "/api/v1/series", nil)
	if q := src.askedSeries; len(q.Matchers) != 0 || q.Tenant != nil || q.Limit != 100 || q.After != "" {
		t.Errorf("without parameters: %+v", q)
	}
	get(t, src, "/api/v1/series?"+url.Values{
		"match[]": {`up{job=~"a|b"}`, `{"http.requests"}`}, "tenant": {""}, "limit": {"7"}, "after": {"cursor=/+"},
	}.Encode(), nil)
	q := src.askedSeries
	if got, want := selectors(q.Matchers), `job=~"a|b",__name__="up" or __name__="http.requests"`; got != want {
		t.Errorf("matchers %s, want %s", got, want)
	}
	if q.Tenant == nil || *q.Tenant != "" || q.Limit != 7 || q.After != "cursor=/+" {
		t.Errorf("%+v", q)
	}
}

func TestCorrectionsAreAskedForAsTheQuerySays(t *testing.T) {
	for _, path := range []string{"/api/v1/corrections", "/api/v1/corrections/summary"} {
		src := full()
		get(t, src, path+"?match[]=up&kind=loss,reset&kind=jitter&kind=loss&start=1767366245.5&end=2026-01-02T16:04:06.25%2B01:00", nil)
		q := src.askedCorrections
		if got, want := q.Kinds, []string{"loss", "reset", "jitter"}; !slices.Equal(got, want) {
			t.Errorf("kinds %q, want %q", got, want)
		}
		if want := time.UnixMilli(1767366245500); !q.Start.Equal(want) {
			t.Errorf("start %s, want %s", q.Start, want)
		}
		if want := time.UnixMilli(1767366246250); !q.End.Equal(want) {
			t.Errorf("end %s, want %s", q.End, want)
		}
		if selectors(q.Matchers) != `__name__="up"` {
			t.Errorf("matchers %s", selectors(q.Matchers))
		}
	}
}

func TestASummaryIsGroupedByKindUnlessAskedOtherwise(t *testing.T) {
	for query, want := range map[string][]string{
		"": {"kind"}, "?by=": {"kind"}, "?by=kind,job": {"kind", "job"}, "?by=job&by=tenant,%20le,job": {"job", "tenant", "le"},
	} {
		src := full()
		var got struct{ By []string }
		get(t, src, "/api/v1/corrections/summary"+query, &got)
		if !slices.Equal(src.askedBy, want) || !slices.Equal(got.By, want) {
			t.Errorf("%q: asked %q, told %q, want %q", query, src.askedBy, got.By, want)
		}
	}
}

func TestASummaryPutsFirstWhatWouldHaveMisledMost(t *testing.T) {
	row := func(job string, count int, increase float64) SummaryRow {
		return SummaryRow{By: map[string]string{"job": job}, Count: count, FalseIncrease: Float(increase)}
	}
	src := &fake{rows: []SummaryRow{row("d", 1, 5), row("c", 2, 5), row("b", 2, 5), row("e", 9, 1), row("a", 1, -80), row("f", 1, math.NaN())}}
	var got summary
	get(t, src, "/api/v1/corrections/summary?by=job&limit=4", &got)
	var order string
	for _, r := range got.Rows {
		order += r.By["job"]
	}
	if order != "abcd" || got.Groups != 6 {
		t.Errorf("%s of %d, want abcd of 6", order, got.Groups)
	}
}

func TestForgettingTakesSelectorsFromQueryAndForm(t *testing.T) {
	for _, r := range []*http.Request{
		request("POST", "/api/v1/series/forget?match[]=up&match[]=down", ""),
		request("POST", "/api/v1/series/forget", "match[]=up&match[]=down"),
		request("POST", "/api/v1/series/forget?match[]=down", "match[]=up"),
	} {
		src := full()
		resp, b := ask(New(src, Options{}), r)
		if resp.StatusCode != 200 || string(b) != `{"status":"success","data":{"forgotten":7}}`+"\n" {
			t.Errorf("%s %s", resp.Status, b)
		}
		if got := selectors(src.askedForget); got != `__name__="up" or __name__="down"` {
			t.Errorf("asked to forget %s", got)
		}
	}
}

func TestRejectedBatchesAreSelectedByNameOrAllNeverByForgetting(t *testing.T) {
	for _, c := range []struct {
		target, body string
		want         RejectedQuery
	}{
		{"/api/v1/rejected/resend?id=5&id=6,7", "", RejectedQuery{IDs: []string{"5", "6", "7"}, Limit: defaultLimit}},
		{"/api/v1/rejected/resend", "all=true&limit=3&after=9", RejectedQuery{All: true, Limit: 3, After: "9"}},
		{"/api/v1/rejected/drop?id=5", "", RejectedQuery{IDs: []string{"5"}}},
		{"/api/v1/rejected/drop?all=1", "", RejectedQuery{All: true}},
	} {
		src := full()
		resp, b := ask(New(src, Options{}), request("POST", c.target, c.body))
		if resp.StatusCode != http.StatusOK || !reflect.DeepEqual(src.askedRejected, c.want) {
			t.Errorf("%s %s: %s %s asked %+v, want %+v", c.target, c.body, resp.Status, b, src.askedRejected, c.want)
		}
	}
	for _, target := range []string{"/api/v1/rejected/resend", "/api/v1/rejected/drop", "/api/v1/rejected/drop?all=false", "/api/v1/rejected/drop?all=true&id=5", "/api/v1/rejected/drop?all=perhaps"} {
		src := full()
		refused(t, src, request("POST", target, ""), http.StatusBadRequest, "bad_data")
		if !reflect.DeepEqual(src.askedRejected, RejectedQuery{}) {
			t.Errorf("%s was passed on", target)
		}
	}
	src := full()
	get(t, src, "/api/v1/rejected/5?limit=7", nil)
	if src.askedID != "5" || src.askedLimit != 7 {
		t.Errorf("asked for %q, %d", src.askedID, src.askedLimit)
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	long := strings.Repeat("x", maxCursor+1)
	for _, c := range []struct {
		method, target string
		code           int
		kind, text     string
	}{
		{"GET", "/api/v1/serie", 404, "not_found", "no such path: /api/v1/serie"},
		{"GET", "/debug/pprof/a/b", 404, "not_found", "no such path"},
		{"POST", "/api/v1/status", 405, "bad_data", "/api/v1/status does not take POST; use GET, HEAD"},
		{"GET", "/api/v1/series/forget", 405, "bad_data", "/api/v1/series/forget does not take GET; use POST"},
		{"DELETE", "/-/reload", 405, "bad_data", "/-/reload does not take DELETE; use POST, PUT"},
		{"GET", "/api/v1/series?match=up", 400, "bad_data", `unknown query parameter "match"; known here: match[], tenant, limit, after`},
		{"GET", "/api/v1/status?x=1", 400, "bad_data", `unknown query parameter "x": none is known here`},
		{"GET", "/api/v1/series?limit=1&limit=2", 400, "bad_data", `query parameter "limit" is given 2 times`},
		{"GET", "/api/v1/series?limit=1;after=2", 400, "bad_data", "the query cannot be read: "},
		{"GET", "/api/v1/series?a=%zz", 400, "bad_data", "the query cannot be read: "},
		{"GET", "/api/v1/series?limit=0", 400, "bad_data", `limit: "0" is not a whole number from 1 to 1000`},
		{"GET", "/api/v1/series?limit=1001", 400, "bad_data", `limit: "1001" is not`},
		{"GET", "/api/v1/series?limit=1e2", 400, "bad_data", `limit: "1e2" is not`},
		{"GET", "/api/v1/rejected?limit=-1", 400, "bad_data", `limit: "-1" is not`},
		{"GET", "/api/v1/series?after=" + long, 400, "bad_data", "after: 1025 bytes"},
		{"GET", "/api/v1/series?match[]=%7B", 400, "bad_data", `match[]: "{" is not a PromQL selector: `},
		{"GET", "/api/v1/series?match[]=rate(a[5m])", 400, "bad_data", `match[]: "rate(a[5m])" is not a PromQL selector: `},
		{"GET", "/api/v1/series?match[]=", 400, "bad_data", `match[]: "" is not a PromQL selector: `},
		{"GET", "/api/v1/series?x" + strings.Repeat("&match[]=a", 101), 400, "bad_data", `unknown query parameter "x"`},
		{"GET", "/api/v1/series?" + strings.Repeat("&match[]=a", 101), 400, "bad_data", `101 times match[]; at most 100 are allowed`},
		{"GET", "/api/v1/corrections?kind=losses", 400, "bad_data", `kind: "losses" is not one of: reset, hidden_reset, loss`},
		{"GET", "/api/v1/corrections?start=yesterday", 400, "bad_data", `start: "yesterday" is neither a time such as 2026-01-02T15:04:05Z nor seconds since 1970`},
		{"GET", "/api/v1/corrections?end=NaN", 400, "bad_data", `end: "NaN" is neither`},
		{"GET", "/api/v1/corrections?end=1e18", 400, "bad_data", `end: "1e18" is neither`},
		{"GET", "/api/v1/corrections?start=2&end=1", 400, "bad_data", `end: 1970-01-01T00:00:01Z is before start (1970-01-01T00:00:02Z)`},
		{"GET", "/api/v1/corrections/summary?by=a,b,c,d,e,f,g,h,i,j,k", 400, "bad_data", "by: 11 names; at most 10 are allowed"},
		{"POST", "/api/v1/series/forget", 400, "bad_data", "match[] is missing"},
		{"POST", "/api/v1/series/forget?match[]=%7Bjob=~%22.*%22%7D", 400, "bad_data", `match[]: "{job=~\".*\"}" accepts every series; to forget all of them write {__name__=~".+"}`},
		{"POST", "/api/v1/series/forget?match[]=up&match[]=%7B%7D", 400, "bad_data", `match[]: "{}" accepts every series`},
		{"POST", "/-/reload?x=1", 400, "bad_data", `unknown query parameter "x"`},
	} {
		src := full()
		got := refused(t, src, request(c.method, c.target, ""), c.code, c.kind)
		if !strings.HasPrefix(got, c.text) {
			t.Errorf("%s %s: %q, want %q...", c.method, c.target, got, c.text)
		}
		if src.askedForget != nil || src.reloads != 0 {
			t.Errorf("%s %s: refused, but done", c.method, c.target)
		}
	}
}

func TestAMethodThatIsNotAllowedIsAnsweredWithThoseThatAre(t *testing.T) {
	for target, want := range map[string]string{"/api/v1/series": "GET, HEAD", "/-/reload": "POST, PUT", "/debug/pprof/symbol": "GET, HEAD, POST", "/": "GET, HEAD"} {
		resp, _ := ask(New(full(), Options{}), request("PATCH", target, ""))
		if got := resp.Header.Get("Allow"); resp.StatusCode != 405 || got != want {
			t.Errorf("%s: %s, Allow %q, want %q", target, resp.Status, got, want)
		}
	}
}

func TestABodyIsBounded(t *testing.T) {
	refused(t, full(), request("POST", "/api/v1/series/forget", "match[]="+strings.Repeat("x", maxBodyBytes)), 413, "bad_data")
	r := request("POST", "/api/v1/series/forget?match[]=up", `{"match":"up"}`)
	r.Header.Set("Content-Type", "application/json")
	if text := refused(t, full(), r, 400, "bad_data"); !strings.Contains(text, "application/x-www-form-urlencoded") {
		t.Error(text)
	}
}

func TestTheSourcesErrorsKeepTheirKind(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		kind string
		logs bool
	}{
		{errDisk, 500, "internal", true},
		{fmt.Errorf("page: %w", BadData(errors.New("after: not a cursor of this relay"))), 400, "bad_data", false},
		{fmt.Errorf("now: %w", Unavailable(errors.New("replaying the journal"))), 503, "unavailable", false},
	} {
		for _, target := range []string{"/api/v1/status", "/api/v1/series", "/api/v1/corrections", "/api/v1/corrections/summary", "/api/v1/rejected"} {
			var log bytes.Buffer
			resp, b := ask(New(&fake{err: c.err}, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}), request("GET", target, ""))
			var e struct{ ErrorType, Error string }
			if err := json.Unmarshal(b, &e); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != c.code || e.ErrorType != c.kind || !strings.HasSuffix(e.Error, c.err.Error()) || (c.code != 500 && e.Error != c.err.Error()) {
				t.Errorf("%s, %v: %s %s", target, c.err, resp.Status, b)
			}
			if got := strings.Count(log.String(), "\n"); got > 1 || (got == 1) != c.logs {
				t.Errorf("%s, %v: logged %q", target, c.err, log.String())
			}
			if (resp.Header.Get("Retry-After") != "") != (c.code == 503) {
				t.Errorf("%s, %v: Retry-After %q", target, c.err, resp.Header.Get("Retry-After"))
			}
		}
	}
}

func TestReloadAnswersAsPrometheusDoesAndSaysWhatIsWrong(t *testing.T) {
	for _, method := range []string{"POST", "PUT"} {
		src := full()
		if resp, b := ask(New(src, Options{}), request(method, "/-/reload", "")); resp.StatusCode != 200 || len(b) != 0 || src.reloads != 1 {
			t.Errorf("%s: %s %q, %d reloads", method, resp.Status, b, src.reloads)
		}
	}
	_, bad := config.Parse([]byte("remote_write: []\nreceive:\n  max_in_flight: 0\n"), "relay.yml")
	var log bytes.Buffer
	ask(New(&fake{err: bad}, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}), request("POST", "/-/reload", ""))
	if log.Len() > 0 {
		t.Errorf("logged a second time: %s", log.String())
	}
	text := refused(t, &fake{err: bad}, request("POST", "/-/reload", ""), 500, "internal")
	for _, want := range []string{"the old one stays", "relay.yml:1: remote_write", "relay.yml:3: receive.max_in_flight"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not contain %q", text, want)
		}
	}
}

func TestReadyFollowsTheSource(t *testing.T) {
	for _, c := range []struct {
		src  *fake
		code int
		body string
	}{
		{full(), 200, "Pawl is Ready.\n"},
		{&fake{status: Status{NotReady: "the relay is starting"}}, 503, "Pawl is not ready: the relay is starting.\n"},
		{&fake{status: Status{Ready: true}, err: errDisk}, 503, fmt.Sprintf("Pawl is not ready: %v.\n", errDisk)},
	} {
		if resp, b := ask(New(c.src, Options{}), request("GET", "/-/ready", "")); resp.StatusCode != c.code || string(b) != c.body {
			t.Errorf("%s %s, want %d %s", resp.Status, b, c.code, c.body)
		}
		if resp, _ := ask(New(c.src, Options{}), request("GET", "/-/healthy", "")); resp.StatusCode != 200 {
			t.Errorf("healthy: %s", resp.Status)
		}
	}
}

func TestNothingFoundIsAnEmptyListNotNull(t *testing.T) {
	for _, target := range []string{"/api/v1/series", "/api/v1/corrections", "/api/v1/rejected"} {
		if _, b := ask(New(&fake{}, Options{}), request("GET", target, "")); string(b) != `{"status":"success","data":{"items":[]}}`+"\n" {
			t.Errorf("%s: %s", target, b)
		}
	}
}

func TestTheLastPageHasNoNext(t *testing.T) {
	src := full()
	var p page[Series]
	get(t, src, "/api/v1/series", &p)
	if p.Next != "abc" || len(p.Items) != 3 {
		t.Errorf("%+v", p)
	}
	src.next = ""
	if _, b := ask(New(src, Options{}), request("GET", "/api/v1/series", "")); bytes.Contains(b, []byte(`"next"`)) {
		t.Errorf("%s", b)
	}
}

func TestValuesReadBackBitForBit(t *testing.T) {
	for _, v := range []float64{0, math.Copysign(0, -1), 1, 72932, 0.1, 1e300, 5e-324, -1e21, 1 << 53, math.Inf(1), math.Inf(-1), math.NaN()} {
		b, err := json.Marshal(Float(v))
		if err != nil {
			t.Fatal(err)
		}
		var back Float
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if math.Float64bits(float64(back)) != math.Float64bits(v) && !(math.IsNaN(v) && math.IsNaN(float64(back))) {
			t.Errorf("%v is %s is %v", v, b, back)
		}
	}
	for text, v := range map[string]float64{`"NaN"`: math.NaN(), `"+Inf"`: math.Inf(1), `"-Inf"`: math.Inf(-1), "72932": 72932} {
		if b, _ := json.Marshal(Float(v)); string(b) != text {
			t.Errorf("%v: %s, want %s", v, b, text)
		}
	}
}

func TestWhatTheSourceGivesComesOutWhole(t *testing.T) {
	src := full()
	var c page[Correction]
	get(t, src, "/api/v1/corrections", &c)
	if !reflect.DeepEqual(c.Items[0], src.corrections[0]) {
		t.Errorf("got %+v, want %+v", c.Items[0], src.corrections[0])
	}
	var st Status
	get(t, src, "/api/v1/status", &st)
	if !reflect.DeepEqual(st, src.status) {
		t.Errorf("got %+v, want %+v", st, src.status)
	}
	var e page[Election]
	get(t, src, "/api/v1/ha", &e)
	if !slices.Equal(e.Items, src.elections) {
		t.Errorf("got %+v, want %+v", e.Items, src.elections)
	}
	var r page[Rejected]
	get(t, src, "/api/v1/rejected", &r)
	if !slices.Equal(r.Items, src.rejected) {
		t.Errorf("got %+v, want %+v", r.Items, src.rejected)
	}
}

func TestMetricsAreThoseOfTheGatherer(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "pawl_test_total", Help: "For the test."})
	reg.MustRegister(c)
	if _, b := ask(New(full(), Options{Gatherer: reg}), request("GET", "/metrics", "")); !bytes.Contains(b, []byte("pawl_test_total 0\n")) {
		t.Errorf("%s", b)
	}
}

func TestTheStartPageLinksToWhatExists(t *testing.T) {
	h := New(full(), Options{Version: "1.2.3<b>"})
	resp, b := ask(h, request("GET", "/", ""))
	if resp.StatusCode != 200 || !bytes.Contains(b, []byte("1.2.3&lt;b&gt;")) {
		t.Fatalf("%s %s", resp.Status, b)
	}
	links := 0
	for rest := range strings.SplitSeq(string(b), `href="`) {
		if target, _, ok := strings.Cut(rest, `"`); ok && strings.HasPrefix(target, "/") {
			links++
			if resp, b := ask(h, request("GET", target, "")); resp.StatusCode != 200 {
				t.Errorf("%s: %s %s", target, resp.Status, b)
			}
		}
	}
	if links < 10 {
		t.Errorf("only %d links", links)
	}
	// And what there is to be asked is linked to.
	err := chi.Walk((&server{}).router(), func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if method == http.MethodGet && path != "/" && !strings.Contains(path, "{") && !strings.HasPrefix(path, "/debug/pprof/") &&
			!bytes.Contains(b, []byte(`href="`+path+`"`)) && !bytes.Contains(b, []byte(`href="`+path+`?`)) {
			t.Errorf("no link to %s", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestHEADIsGETWithoutABody(t *testing.T) {
	for _, target := range []string{"/-/ready", "/api/v1/status", "/metrics"} {
		if resp, _ := ask(New(full(), Options{}), request("HEAD", target, "")); resp.StatusCode != 200 {
			t.Errorf("%s: %s", target, resp.Status)
		}
	}
}

func TestNoSecretComesOut(t *testing.T) {
	const canary = "hunter2canary"
	c, err := config.Parse([]byte(`
remote_write:
  - url: https://u:`+canary+`@host/?token=`+canary+`
    headers: {X-Key: `+canary+`}
    basic_auth: {username: u, password: `+canary+`}
    tls_config: {key: `+canary+`, cert: c}
`), "relay.yml")
	if err != nil {
		t.Fatal(err)
	}
	h := New(&fake{yaml: c.String()}, Options{})
	resp, b := ask(h, request("GET", "/api/v1/config", ""))
	if resp.StatusCode != 200 || bytes.Contains(b, []byte(canary)) || !bytes.Contains(b, []byte("<secret>")) {
		t.Errorf("%s %s", resp.Status, b)
	}
	// The command line may hold --remote-write.url with a password.
	if resp, b := ask(h, request("GET", "/debug/pprof/cmdline", "")); resp.StatusCode != 404 {
		t.Errorf("cmdline: %s %s", resp.Status, b)
	}
}

func TestAPageOfAnotherOriginMayNotAskForChanges(t *testing.T) {
	for _, header := range []http.Header{{"Sec-Fetch-Site": {"cross-site"}}, {"Origin": {"https://elsewhere.example"}}} {
		for _, target := range []string{"/-/reload", "/api/v1/series/forget?match[]=up"} {
			src := full()
			r := request("POST", target, "")
			r.Header = header
			refused(t, src, r, 403, "forbidden")
			if src.reloads != 0 || src.askedForget != nil {
				t.Errorf("%s was done", target)
			}
		}
	}
}

func TestAPanicIsOneAnswerNotTheEnd(t *testing.T) {
	src := full()
	src.panics = true
	var log bytes.Buffer
	h := New(src, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	resp, b := ask(h, request("GET", "/api/v1/status", ""))
	if resp.StatusCode != 500 || bytes.Contains(b, []byte("told to")) || !strings.Contains(log.String(), "the fake was told to") {
		t.Errorf("%s %s, log %s", resp.Status, b, log.String())
	}
}
