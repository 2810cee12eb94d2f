package api

import (
	"fmt"
	"html/template"
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func (s *server) router() chi.Router {
	r := chi.NewRouter()
	r.Use(middleware.GetHead)
	r.NotFound(func(w http.ResponseWriter, req *http.Request) {
		s.failWith(w, req, http.StatusNotFound, notFound, fmt.Sprintf("no such path: %s", req.URL.Path))
	})
	r.MethodNotAllowed(s.methodNotAllowed(r))

	r.Get("/", s.index)
	r.Get("/-/healthy", s.healthy)
	r.Get("/-/ready", s.ready)
	r.Post("/-/reload", s.reload)
	r.Put("/-/reload", s.reload) // as Prometheus does
	r.Method(http.MethodGet, "/metrics", promhttp.HandlerFor(s.o.Gatherer, promhttp.HandlerOpts{}))
	r.Route("/api/v1", func(r chi.Router) {
		r.Get("/openapi.yaml", s.description)
		r.Get("/status", s.json(s.status))
		r.Get("/config", s.json(s.config))
		r.Get("/series", s.json(s.series, "match[]", "tenant", "limit", "after"))
		r.Post("/series/forget", s.json(s.forget, "match[]"))
		r.Get("/corrections", s.json(s.corrections, "match[]", "kind", "start", "end", "limit", "after"))
		r.Get("/corrections/summary", s.json(s.summary, "by", "match[]", "kind", "start", "end", "limit"))
		r.Get("/ha", s.json(s.ha, "limit", "after"))
		r.Get("/rejected", s.json(s.rejected, "limit", "after"))
		r.Get("/rejected/{id}", s.json(s.rejectedBatch, "limit"))
		r.Post("/rejected/resend", s.json(s.resend, "id", "all", "limit", "after"))
		r.Post("/rejected/drop", s.json(s.drop, "id", "all"))
	})
	r.Route("/debug/pprof", func(r chi.Router) {
		// Not cmdline: --remote-write.url may hold a password.
		r.Get("/", pprof.Index)
		r.Get("/profile", pprof.Profile)
		r.Get("/trace", pprof.Trace)
		r.Get("/symbol", pprof.Symbol)
		r.Post("/symbol", pprof.Symbol)
		r.Get("/{profile}", pprof.Index)
	})
	return r
}

// methodNotAllowed says which methods there are.
func (s *server) methodNotAllowed(routes chi.Routes) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut} {
			if !routes.Match(chi.NewRouteContext(), m, r.URL.Path) {
				continue
			}
			if m == http.MethodGet {
				allowed = append(allowed, m, http.MethodHead)
			} else {
				allowed = append(allowed, m)
			}
		}
		allow := strings.Join(allowed, ", ")
		w.Header().Set("Allow", allow)
		s.failWith(w, r, http.StatusMethodNotAllowed, badData, fmt.Sprintf("%s does not take %s; use %s", r.URL.Path, r.Method, allow))
	}
}

func (s *server) description(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openAPI)
}

func (s *server) healthy(w http.ResponseWriter, _ *http.Request) {
	plain(w, http.StatusOK, "Pawl is Healthy.\n")
}

func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	st, err := s.src.Status(r.Context())
	if err != nil {
		st = Status{NotReady: err.Error()}
	}
	if !st.Ready {
		plain(w, http.StatusServiceUnavailable, "Pawl is not ready: "+st.NotReady+".\n")
		return
	}
	plain(w, http.StatusOK, "Pawl is Ready.\n")
}

// reload answers success with an empty body, as Prometheus does.
func (s *server) reload(w http.ResponseWriter, r *http.Request) {
	if err := readParams(w, r, nil); err != nil {
		s.fail(w, r, err)
		return
	}
	if err := s.src.Reload(); err != nil {
		s.failWith(w, r, http.StatusInternalServerError, internal, fmt.Sprintf("failed to reload config, the old one stays: %v", err))
	}
}

func plain(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text))
}

// index lists what there is. The page proper comes in its place.
func (s *server) index(w http.ResponseWriter, r *http.Request) {
	page, err := template.New("index").Parse(indexHTML)
	if err != nil {
		panic(fmt.Sprintf("BUG: the start page: %v", err))
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	if err := page.Execute(w, s.o.Version); err != nil {
		s.o.Logger.Debug("write the start page", "err", err) // the client has gone
	}
}

const indexHTML = `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Pawl</title><style>body{font-family:sans-serif;margin:2em;max-width:50em}li{margin:.4em 0}</style></head>
<body>
<h1>Pawl</h1>
<p>A Prometheus remote-write relay that turns broken counters into series that only move forward.{{with .}} Version {{.}}.{{end}}</p>
<ul>
<li><a href="/api/v1/status">/api/v1/status</a>: how it is doing
<li><a href="/api/v1/series">/api/v1/series</a>: what it remembers of every series
<li><a href="/api/v1/corrections">/api/v1/corrections</a>: what it corrected, and why
<li><a href="/api/v1/corrections/summary?by=kind,job">/api/v1/corrections/summary?by=kind,job</a>: the same, counted and summed
<li><a href="/api/v1/ha">/api/v1/ha</a>: which replica of every pair is forwarded
<li><a href="/api/v1/rejected">/api/v1/rejected</a>: what the upstream refused for good
<li><a href="/api/v1/config">/api/v1/config</a>: the configuration in force
<li><a href="/api/v1/openapi.yaml">/api/v1/openapi.yaml</a>: this API, described
<li><a href="/metrics">/metrics</a>, <a href="/-/healthy">/-/healthy</a>, <a href="/-/ready">/-/ready</a>, <a href="/debug/pprof/">/debug/pprof/</a>
<li><code>POST /api/v1/series/forget?match[]=</code>, <code>POST /api/v1/rejected/resend?id=</code>, <code>POST /api/v1/rejected/drop?id=</code>, <code>POST /-/reload</code>
</ul>
</body>
</html>
`
