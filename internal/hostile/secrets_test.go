package hostile

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
)

// secret is the word that must not come out; every secret of the configuration has it.
const secret = "c4nary-s3cret"

// everything is all that the relay tells anybody: both listeners, and its log.
func (r *relay) everything() map[string]string {
	all := map[string]string{}
	for _, path := range []string{"/metrics", "/-/ready", "/-/healthy"} {
		_, all["write "+path] = get(r.t, http.DefaultClient, "http://"+r.write+path)
	}
	for _, path := range []string{"/metrics", "/", "/api/v1/config", "/api/v1/status", "/api/v1/series", "/api/v1/corrections", "/api/v1/rejected",
		"/api/v1/corrections/summary", "/api/v1/nothing", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2"} {
		_, all["admin "+path] = get(r.t, http.DefaultClient, "http://"+r.admin+path)
	}
	resp, err := http.Post("http://"+r.admin+"/-/reload", "", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	all["reload"] = string(b)
	all["log"] = r.log.String()
	return all
}

func wantNowhere(t *testing.T, all map[string]string) {
	t.Helper()
	for where, text := range all {
		// In base 64 too, as basic auth writes it.
		for _, form := range []string{secret, base64.RawStdEncoding.EncodeToString([]byte("u:" + secret))[:16]} {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("%s tells the secret: …%q…", where, text[max(0, i-60):min(len(text), i+60)])
			}
		}
	}
}

// Rule: no secret comes out, by the config endpoint, a log at debug, an error, a
// metric or the status; whatever the upstream does, also when a bad
// configuration is loaded, and when one is refused at start.
func TestNoSecretComesOutOfTheBinary(t *testing.T) {
	var status atomic.Int64
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(int(status.Load())) }))
	defer up.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	host := strings.TrimPrefix(up.URL, "http://")
	storage := "storage: {ballast_bytes: 0, min_free_bytes: 1MB, max_used_percent: 100}\n"
	for name, text := range map[string]string{
		"basic auth":   "remote_write: [{url: 'http://%s/write', basic_auth: {username: u, password: %s}}]\n",
		"bearer token": "remote_write: [{url: 'http://%s/write', authorization: {credentials: %s}}]\n",
		"header":       "remote_write: [{url: 'http://%s/write', headers: {X-Api-Key: %s}}]\n",
		"in the URL":   "remote_write: [{url: 'http://u:%[2]s@%[1]s/write?key=%[2]s'}]\n",
		"oauth2":       "remote_write: [{url: 'http://%[1]s/write', oauth2: {client_id: u, client_secret: %[2]s, token_url: 'http://%[1]s/token'}}]\n",
		"sigv4":        "remote_write: [{url: 'http://%s/write', sigv4: {region: eu, access_key: a, secret_key: %s}}]\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := writeFile(t, filepath.Join(dir, "relay.yml"), fmt.Sprintf(text, host, secret)+storage)
			r := start(t, dir, nil, "--config.file="+path, "--log.level=debug")
			r.ready()
			for i, code := range []int64{401, 302, 503, 400} {
				status.Store(code)
				r.send(t, "", sample("x_total", int64(i)))
			}
			wantNowhere(t, r.everything())
			// An upstream that is away, then a configuration that is refused.
			writeFile(t, path, fmt.Sprintf(text, closed.Addr(), secret)+storage)
			wantNowhere(t, r.everything())
			writeFile(t, path, fmt.Sprintf(text, closed.Addr(), secret)+"receive: {max_in_flight: x}\n")
			wantNowhere(t, r.everything())
			_ = r.cmd.Process.Kill()
			<-r.over
			// The same file is refused at start, and by check-config.
			cmd := command(t, dir, "--config.file="+path)
			out, _ := cmd.CombinedOutput()
			check := exec.Command(cmd.Path, "check-config", path)
			said, _ := check.CombinedOutput()
			wantNowhere(t, map[string]string{"start": string(out), "check-config": string(said)})
			if !bytes.Contains(out, []byte("max_in_flight")) {
				t.Errorf("it was to be refused: %s", out)
			}
		})
	}
}

func sample(name string, k int64, extra ...prompb.Label) []byte {
	req := &prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
		Labels:  append([]prompb.Label{{Name: "__name__", Value: name}}, extra...),
		Samples: []prompb.Sample{{Timestamp: 1_790_000_000_000 + k*15_000, Value: float64(k)}},
	}}}
	msg, err := req.Marshal()
	if err != nil {
		panic(err)
	}
	return snappy.Encode(nil, msg)
}

// send writes one request as a tenant and returns the answer.
func (r *relay) send(t *testing.T, tenant string, body []byte) (int, string) {
	t.Helper()
	req := newRequest(r, body)
	if tenant != "" {
		req.Header.Set("X-Scope-OrgID", tenant)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// Rule: nothing from input becomes a path or the label of a metric, and what of
// it stands in a log is quoted, one line a reason and interval.
func TestNothingFromInputBecomesAPathOrAMetric(t *testing.T) {
	const mark = "h0stile"
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.Header.Get("X-Scope-OrgID"), "refused"):
			http.Error(w, mark+"\nlevel=ERROR msg=forged", http.StatusBadRequest)
		case strings.Contains(r.Header.Get("X-Scope-OrgID"), "locked"):
			w.WriteHeader(http.StatusForbidden)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer up.Close()
	dir := t.TempDir()
	r := start(t, dir, nil, "--remote-write.url="+up.URL, "--log.level=debug")
	r.ready()
	_, before := get(t, http.DefaultClient, "http://"+r.write+"/metrics")
	tenants := []string{"../../" + mark, "/etc/" + mark, mark + "-refused", mark + "-locked", "a|b/../" + mark, `"` + mark + `{}=,`, "%2e%2e%2f" + mark, "$(" + mark + ")"}
	for i, tenant := range tenants {
		for k := range int64(3) {
			for _, name := range []string{mark + "_total", "../" + mark, mark + "\nlevel=ERROR msg=forged", mark + "\x1b[31m"} {
				r.send(t, tenant, sample(name, k, prompb.Label{Name: "../" + mark, Value: "../../" + mark + "\nlevel=ERROR msg=forged"},
					prompb.Label{Name: "le", Value: mark}))
			}
		}
		// And what is malformed, or too large, or no protocol of ours.
		r.send(t, tenant, []byte(mark+"\nlevel=ERROR msg=forged"))
		r.send(t, tenant, sample(mark, int64(i), prompb.Label{Name: "x", Value: strings.Repeat(mark, 20_000)}))
		req := newRequest(r, nil)
		req.Header.Set("Content-Type", "text/"+mark)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
		}
	}
	r.eventually("the refused ones set aside", func() bool {
		_, m := get(t, http.DefaultClient, "http://"+r.write+"/metrics")
		return !strings.Contains(m, `pawl_forwarded_batches_total{outcome="rejected"} 0`)
	})
	_, after := get(t, http.DefaultClient, "http://"+r.write+"/metrics")
	if strings.Contains(after, mark) {
		t.Errorf("a metric has input in it: %q", after[strings.Index(after, mark)-200:][:400])
	}
	if was, is := strings.Count(before, "\npawl_"), strings.Count(after, "\npawl_"); is > was+40 {
		t.Errorf("%d series of the relay's own became %d", was, is)
	}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if strings.Contains(path, mark) {
			t.Errorf("a path has input in it: %q", path)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Error(err)
	}
	log := r.log.String()
	for _, line := range strings.Split(log, "\n") {
		if strings.HasPrefix(line, "level=ERROR") || strings.Contains(line, "\x1b") {
			t.Errorf("a line of the log was forged: %q", line)
		}
	}
	for _, reason := range []string{"malformed", "too_large", "media_type"} {
		if n := strings.Count(log, "reason="+reason); n < 1 || n > 4 {
			t.Errorf("%d lines for %s, want one in ten seconds", n, reason)
		}
	}
}

// Rule: the upstream is where the configuration says: no redirect is followed,
// no header of a sender changes it, and its answers are read up to a bound.
func TestTheUpstreamIsWhereTheConfigurationSays(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s went elsewhere", r.Method, r.URL)
	}))
	defer elsewhere.Close()
	var asked, gave atomic.Int64
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := asked.Add(1); n <= 4 {
			http.Redirect(w, r, elsewhere.URL, []int{301, 302, 307, 308}[n-1])
			return
		}
		if r.Host == strings.TrimPrefix(elsewhere.URL, "http://") || r.Header.Get("X-Forwarded-Host") != "" || r.Header.Get("Authorization") != "" {
			t.Errorf("the sender's headers came through: %v", r.Header)
		}
		if asked.Load() == 5 { // an answer without end
			w.WriteHeader(http.StatusServiceUnavailable)
			for range 10_000 {
				n, err := w.Write(make([]byte, 64<<10))
				gave.Add(int64(n))
				if err != nil {
					return
				}
			}
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer up.Close()
	r := start(t, t.TempDir(), nil, "--remote-write.url="+up.URL)
	r.ready()
	req := newRequest(r, sample("x_total", 1))
	host := strings.TrimPrefix(elsewhere.URL, "http://")
	for k, v := range map[string]string{"X-Forwarded-Host": host, "X-Original-URL": elsewhere.URL, "Forwarded": "host=" + host, "Authorization": "Bearer x", "Location": elsewhere.URL} {
		req.Header.Set(k, v)
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	r.eventually("delivered", func() bool {
		_, m := get(t, http.DefaultClient, "http://"+r.write+"/metrics")
		return strings.Contains(m, `pawl_forwarded_batches_total{outcome="delivered"} 1`)
	})
	if n := gave.Load(); n > 32<<20 {
		t.Errorf("%d bytes of an endless answer were taken", n)
	}
}
