package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/go-chi/chi/v5"

	"pawl/pkg/correct"
)

func document(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatalf("openapi.yaml is not OpenAPI: %v", err)
	}
	return doc
}

func TestEveryRouteIsDescribedAndEveryDescribedRouteExists(t *testing.T) {
	var served, described []string
	s := &server{src: full()}
	s.o.Gatherer = nothing{}
	err := chi.Walk(s.router(), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		served = append(served, method+" "+route)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range document(t).Paths.Map() {
		for method := range item.Operations() {
			described = append(described, method+" "+path)
		}
	}
	sort.Strings(served)
	sort.Strings(described)
	if !slices.Equal(served, described) {
		t.Errorf("served\n%s\ndescribed\n%s", strings.Join(served, "\n"), strings.Join(described, "\n"))
	}
}

// conforms asks, and holds the answer (and a request that is answered with 200) against the description.
func conforms(t *testing.T, router routers.Router, src Source, r *http.Request) {
	t.Helper()
	r.URL.Scheme, r.URL.Host = "", ""
	route, pathParams, err := router.FindRoute(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	resp, answer := ask(New(src, Options{Gatherer: nothing{}}), r)
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.Form, r.PostForm = nil, nil

	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: pathParams, Route: route}
	if resp.StatusCode == http.StatusOK {
		if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
			t.Errorf("%s %s is answered but not described: %v", r.Method, r.URL, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: resp.StatusCode, Header: resp.Header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	// pprof's binary and the text formats have no schema worth the name.
	out.Options.ExcludeResponseBody = !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") || len(answer) == 0
	if err := openapi3filter.ValidateResponse(t.Context(), out.SetBodyBytes(answer)); err != nil {
		t.Errorf("%s %s: %s is not as described: %v\n%s", r.Method, r.URL, resp.Status, err, answer)
	}
}

var everything = []struct{ method, target, body string }{
	{"GET", "/", ""},
	{"GET", "/metrics", ""},
	{"GET", "/-/healthy", ""},
	{"GET", "/-/ready", ""},
	{"POST", "/-/reload", ""},
	{"PUT", "/-/reload", ""},
	{"GET", "/debug/pprof/", ""},
	{"GET", "/debug/pprof/goroutine?debug=1", ""},
	{"GET", "/debug/pprof/none", ""},
	{"GET", "/debug/pprof/symbol?0x1", ""},
	{"GET", "/api/v1/openapi.yaml", ""},
	{"GET", "/api/v1/status", ""},
	{"GET", "/api/v1/config", ""},
	{"GET", "/api/v1/series", ""},
	{"GET", "/api/v1/series?match[]={job=\"shop\"}&match[]=up&tenant=&limit=1000&after=abc", ""},
	{"POST", "/api/v1/series/forget?match[]=up", ""},
	{"POST", "/api/v1/series/forget", "match[]=up&match[]=down"},
	{"GET", "/api/v1/corrections", ""},
	{"GET", "/api/v1/corrections?match[]=up&kind=loss,reset&start=1&end=2026-01-02T15:04:05Z&limit=1&after=x", ""},
	{"GET", "/api/v1/corrections/summary", ""},
	{"GET", "/api/v1/corrections/summary?by=kind,job&kind=loss&match[]=up&start=1&end=2&limit=5", ""},
	{"GET", "/api/v1/ha?limit=1&after=x", ""},
	{"GET", "/api/v1/rejected?limit=1&after=x", ""},
	{"GET", "/api/v1/rejected/5?limit=10", ""},
	{"POST", "/api/v1/rejected/resend?id=5&id=6", ""},
	{"POST", "/api/v1/rejected/resend?all=true&limit=10&after=5", ""},
	{"POST", "/api/v1/rejected/resend", "id=5"},
	{"POST", "/api/v1/rejected/drop?id=5,6", ""},
	{"POST", "/api/v1/rejected/drop?all=true", ""},
}

func TestEveryAnswerIsAsDescribed(t *testing.T) {
	router, err := gorillamux.NewRouter(document(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, src := range map[string]*fake{
		"everything":     full(),
		"nothing":        {},
		"broken":         {err: errDisk},
		"starting":       {err: Unavailable(errors.New("replaying the journal"))},
		"strange cursor": {err: BadData(errors.New("after: not a cursor"))},
		"not there":      {err: NotFound(errors.New("no batch 5"))},
	} {
		t.Run(name, func(t *testing.T) {
			for _, e := range everything {
				target := strings.NewReplacer("{", "%7B", "}", "%7D", "\"", "%22").Replace(e.target)
				if name == "nothing" && e.target == "/api/v1/status" {
					continue // a relay without a mode is none
				}
				conforms(t, router, src, request(e.method, target, e.body))
			}
		})
	}
	src := full()
	src.panics = true
	conforms(t, router, src, request("GET", "/api/v1/status", ""))
	conforms(t, router, src, request("GET", "/api/v1/series?limit=0", ""))
	conforms(t, router, src, request("GET", "/api/v1/series?lim=1", ""))
	conforms(t, router, src, request("POST", "/api/v1/series/forget", strings.Repeat("x", maxBodyBytes+1)))
	asPage := request("POST", "/-/reload", "")
	asPage.Header.Set("Sec-Fetch-Site", "cross-site")
	conforms(t, router, src, asPage)
}

func TestEveryOperationIsAskedOnce(t *testing.T) {
	router, err := gorillamux.NewRouter(document(t))
	if err != nil {
		t.Fatal(err)
	}
	asked := make(map[string]bool)
	for _, e := range everything {
		r := request(e.method, strings.NewReplacer("{", "%7B", "}", "%7D", "\"", "%22").Replace(e.target), "")
		r.URL.Scheme, r.URL.Host = "", ""
		route, _, err := router.FindRoute(r)
		if err != nil {
			t.Fatalf("%s: %v", e.target, err)
		}
		asked[route.Operation.OperationID] = true
	}
	for path, item := range document(t).Paths.Map() {
		for method, op := range item.Operations() {
			// These take their time, or belong to Go.
			if !asked[op.OperationID] && !slices.Contains([]string{"profileCPU", "trace", "symbolByPost"}, op.OperationID) {
				t.Errorf("%s %s is not among what the tests ask", method, path)
			}
		}
	}
}

func TestWhatIsDescribedIsTakenAndNothingElse(t *testing.T) {
	const unknown = "unknown query parameter"
	values := map[string]string{"match[]": "up", "kind": "loss", "start": "1", "end": "2", "limit": "1", "after": "x", "by": "kind", "tenant": "a", "id": "5", "all": "true"}
	for path, item := range document(t).Paths.Map() {
		if !strings.HasPrefix(path, "/api/") || strings.HasSuffix(path, ".yaml") {
			continue
		}
		for method, op := range item.Operations() {
			described := make(map[string]bool)
			for _, p := range op.Parameters {
				if p.Value.In != "query" {
					continue
				}
				described[p.Value.Name] = true
				if values[p.Value.Name] == "" {
					t.Errorf("%s: the test has no value for %s", path, p.Value.Name)
				}
			}
			for name, value := range values {
				resp, b := ask(New(full(), Options{}), request(method, path+"?"+name+"="+value, ""))
				if isUnknown := bytes.Contains(b, []byte(unknown)); isUnknown == described[name] {
					t.Errorf("%s %s, described: %v, answered %s %s", path, name, described[name], resp.Status, b)
				}
			}
		}
	}
}

func TestTheDescribedKindsAreThoseThatExist(t *testing.T) {
	var exist, described []string
	for _, k := range correct.Kinds() {
		exist = append(exist, k.String())
	}
	for _, k := range document(t).Components.Schemas["Kind"].Value.Enum {
		described = append(described, k.(string))
	}
	sort.Strings(exist)
	sort.Strings(described)
	if !slices.Equal(exist, described) {
		t.Errorf("exist %q, described %q", exist, described)
	}
}

func TestTheServedDescriptionIsTheFile(t *testing.T) {
	resp, b := ask(New(full(), Options{}), request("GET", "/api/v1/openapi.yaml", ""))
	if resp.StatusCode != 200 || !bytes.Equal(b, openAPI) || resp.Header.Get("Content-Type") != "application/yaml" {
		t.Errorf("%s %v, %d bytes", resp.Status, resp.Header, len(b))
	}
}
