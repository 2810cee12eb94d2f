package forward

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/relabel"

	"pawl/pkg/rewrite"
)

// Rule (configuration.md): authentication, TLS and headers under remote_write mean what they mean in a Prometheus. An upstream whose certificate
// nobody vouches for gets nothing.
func TestTheUpstreamIsAuthenticatedAndAuthenticates(t *testing.T) {
	var got []http.Header
	u := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got = append(got, r.Header)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer u.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: u.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	known := func(rc *config.RemoteWriteConfig) { rc.HTTPClientConfig.TLSConfig.CAFile = ca }
	for name, c := range map[string]struct {
		change func(*config.RemoteWriteConfig)
		header map[string]string // of the request; nil: none may arrive
	}{
		"a certificate that nobody vouches for": {func(*config.RemoteWriteConfig) {}, nil},
		"no credentials":                        {known, map[string]string{"Authorization": ""}},
		"basic auth": {func(rc *config.RemoteWriteConfig) {
			known(rc)
			rc.HTTPClientConfig.BasicAuth = &commonconfig.BasicAuth{Username: "ali", Password: "sesame"}
		}, map[string]string{"Authorization": "Basic YWxpOnNlc2FtZQ=="}}, // RFC 7617: base64 of ali:sesame
		"a bearer token and a header": {func(rc *config.RemoteWriteConfig) {
			known(rc)
			rc.HTTPClientConfig.Authorization = &commonconfig.Authorization{Type: "Bearer", Credentials: "t0ken"}
			rc.Headers = map[string]string{"X-Mine": "yes"}
		}, map[string]string{"Authorization": "Bearer t0ken", "X-Mine": "yes"}},
	} {
		t.Run(name, func(t *testing.T) {
			got = nil
			f := newForwarder(t, remoteWrite(t, u.URL, c.change), NewMark(0), &rejects{})
			ans := f.upstream.Load().client.send(t.Context(), "team-a", []byte("x"), rewrite.Counts{Samples: 1}, 0)
			if c.header == nil {
				if ans.verdict != retry || len(got) != 0 {
					t.Errorf("%v (%v), %d requests arrived", ans.verdict, ans.err, len(got))
				}
				return
			}
			if ans.verdict != taken || len(got) != 1 {
				t.Fatalf("%v (%v), %d requests arrived", ans.verdict, ans.err, len(got))
			}
			for k, v := range c.header {
				if got[0].Get(k) != v {
					t.Errorf("%s: %q arrived, want %q", k, got[0].Get(k), v)
				}
			}
			if got[0].Get("X-Scope-OrgID") != "team-a" {
				t.Errorf("tenant %q arrived", got[0].Get("X-Scope-OrgID"))
			}
		})
	}
}

// Rule: write_relabel_configs decide what the upstream gets, and a batch that they leave nothing of is settled without a request.
func TestWriteRelabelConfigsDecideWhatIsSent(t *testing.T) {
	u := newUpstream(t, always(http.StatusNoContent))
	drop := &relabel.Config{
		SourceLabels: model.LabelNames{"__name__"}, Regex: relabel.MustNewRegexp("secret"), Action: relabel.Drop, Separator: ";",
		NameValidationScheme: model.UTF8Validation,
	}
	mark := NewMark(0)
	f := newForwarder(t, remoteWrite(t, u.URL, func(rc *config.RemoteWriteConfig) { rc.WriteRelabelConfigs = []*relabel.Config{drop} }), mark, &rejects{})
	in := make(chan Item, 2)
	in <- Item{Seq: 1, Batch: batch(t, "secret", "", 1)}
	in <- Item{Seq: 2, Batch: batch(t, "shown", "", 2)}
	close(in)
	if err := f.Run(t.Context(), in, 1); err != nil {
		t.Fatal(err)
	}
	if mark.Low() != 2 {
		t.Errorf("settled up to %d, want 2", mark.Low())
	}
	if len(u.bodies) != 1 {
		t.Fatalf("%d requests were sent, want 1", len(u.bodies))
	}
	if ts := series(t, u.bodies[0]); len(ts) != 1 || ts[0].Labels[0].Value != "shown" {
		t.Errorf("sent %v", ts)
	}
}
