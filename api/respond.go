package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
)

type errorType string

// The first four are what the description promises; forbidden is for browsers only (see protect).
const (
	badData     errorType = "bad_data"
	internal    errorType = "internal"
	notFound    errorType = "not_found"
	unavailable errorType = "unavailable"
	forbidden   errorType = "forbidden"
)

type envelope struct {
	Status    string    `json:"status"`
	Data      any       `json:"data,omitempty"`
	ErrorType errorType `json:"errorType,omitempty"`
	Error     string    `json:"error,omitempty"`
}

// answer is what most handlers are: data, or an error.
type answer func(r *http.Request) (any, error)

// json makes a handler of an answer that takes the given parameters and no others.
func (s *server) json(fn answer, params ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := readParams(w, r, params); err != nil {
			s.fail(w, r, err)
			return
		}
		data, err := fn(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		s.write(w, r, http.StatusOK, envelope{Status: "success", Data: data})
	}
}

// fail answers with an error, and logs it when the fault is ours.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	kind := kindOf(err)
	code := http.StatusInternalServerError
	switch kind {
	case badData:
		code = http.StatusBadRequest
		if tooLarge(err) {
			code = http.StatusRequestEntityTooLarge
		}
	case notFound:
		code = http.StatusNotFound
	case unavailable:
		code = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "5")
	case internal:
		s.o.Logger.Error("admin request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	s.failWith(w, r, code, kind, err.Error())
}

func (s *server) failWith(w http.ResponseWriter, r *http.Request, code int, kind errorType, text string) {
	s.write(w, r, code, envelope{Status: "error", ErrorType: kind, Error: text})
}

func (s *server) write(w http.ResponseWriter, r *http.Request, code int, e envelope) {
	var b bytes.Buffer // first, so that a failure can still be told
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // {job=~"a&b"} should read as such
	if err := enc.Encode(e); err != nil {
		s.o.Logger.Error("encode an answer", "path", r.URL.Path, "err", err)
		code = http.StatusInternalServerError
		b.Reset()
		fmt.Fprintf(&b, `{"status":"error","errorType":%q,"error":"the answer cannot be written as JSON"}`+"\n", internal)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes()) // the client may be gone; nothing is left to do
}

// protect is around everything. Web pages of other origins may not make a browser
// that reaches a loopback listener reload or forget: it has no other protection.
func (s *server) protect(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.failWith(w, r, http.StatusForbidden, forbidden, "a web page of another origin may not ask for this")
	}))
	next = origin.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v) // net/http's own way to close the connection
			}
			s.o.Logger.Error("admin request panicked", "method", r.Method, "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
			s.failWith(w, r, http.StatusInternalServerError, internal, "internal error; the log has the details")
		}()
		next.ServeHTTP(w, r)
	})
}
