package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/storage/remote/azuread"
	"github.com/prometheus/prometheus/storage/remote/googleiam"
	"github.com/prometheus/sigv4"

	"pawl/pkg/rewrite"
)

// maxAnswer bounds what is read of an upstream's answer, in bytes.
const maxAnswer = 4 << 10

// verdict is what an answer means for the batch.
type verdict uint8

const (
	taken   verdict = iota // the upstream has it
	retry                  // not now: 5xx, 429, 408, the network
	held                   // not until somebody mends the configuration: 401, 404, a redirect, ...
	refused                // never: 400, 409, 413, 422, ...
)

func (v verdict) String() string { return [...]string{"ok", "retry", "held", "refused"}[v] }

// answer is an upstream's answer, judged.
type answer struct {
	verdict    verdict
	status     int           // 0 without an answer
	body       string        // what it said, cut
	retryAfter time.Duration // 0 when it did not ask
	note       string        // taken, but something is odd
	err        error         // nil when taken
}

// writeBuffer holds an ordinary request with its headers, in bytes, so that it
// goes out with one write: with net/http's 4 KB it takes a write for the
// headers, one for every 32 KB, and a buffer of 32 KB that is thrown away. It is
// held once for each connection, of which there are at most max_shards.
const writeBuffer = 128 << 10

// client speaks remote write to one URL. Prometheus' own client hides the
// status code and Retry-After of an answer, which decide here what is retried
// and what is refused for good; so only its configuration is reused.
type client struct {
	http    *http.Client
	url     string
	display string // the URL without secrets
	version rewrite.Version
	timeout time.Duration
	headers http.Header
	tenant  string
}

func newClient(rc *config.RemoteWriteConfig, tenantHeader, userAgent string) (*client, error) {
	hc, err := promconfig.NewClientFromConfig(rc.HTTPClientConfig, "remote_write")
	if err != nil {
		return nil, err
	}
	// With credentials the transport is hidden behind others, and keeps its own size.
	if t, ok := hc.Transport.(*http.Transport); ok {
		t.WriteBufferSize = writeBuffer
	}
	if hc.Transport, err = authenticated(rc, hc.Transport); err != nil {
		return nil, err
	}
	// A redirected POST may lose its body or reach somebody else's host.
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c := &client{
		http: hc, url: rc.URL.String(), display: display(rc.URL.URL), timeout: time.Duration(rc.RemoteTimeout),
		headers: http.Header{}, tenant: tenantHeader, version: rewrite.V1,
	}
	for k, v := range rc.Headers {
		c.headers.Set(k, v)
	}
	contentType, protocol := "application/x-protobuf", "0.1.0"
	if rc.ProtobufMessage == "io.prometheus.write.v2.Request" {
		c.version = rewrite.V2
		contentType, protocol = "application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"
	}
	c.headers.Set("Content-Encoding", "snappy")
	c.headers.Set("Content-Type", contentType)
	c.headers.Set("X-Prometheus-Remote-Write-Version", protocol)
	c.headers.Set("User-Agent", userAgent)
	return c, nil
}

// authenticated wraps what common's HTTP client does not know: the clouds' own.
func authenticated(rc *config.RemoteWriteConfig, rt http.RoundTripper) (http.RoundTripper, error) {
	switch {
	case rc.SigV4Config != nil:
		return sigv4.NewSigV4RoundTripper(rc.SigV4Config, rt)
	case rc.AzureADConfig != nil:
		return azuread.NewAzureADRoundTripper(rc.AzureADConfig, rt)
	case rc.GoogleIAMConfig != nil:
		return googleiam.NewRoundTripper(rc.GoogleIAMConfig, rt)
	}
	return rt, nil
}

// display is a URL that can be printed: neither password nor query.
func display(u *url.URL) string {
	d := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return d.String()
}

// send makes one attempt and judges its outcome.
func (c *client) send(ctx context.Context, tenant string, body []byte, sent rewrite.Counts, attempt int) answer {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return answer{verdict: held, err: err}
	}
	for k, v := range c.headers {
		req.Header[k] = v
	}
	if c.tenant != "" && tenant != "" {
		req.Header.Set(c.tenant, tenant)
	}
	if attempt > 0 {
		req.Header.Set("Retry-Attempt", strconv.Itoa(attempt))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{verdict: retry, err: withoutURL(err)}
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer) // so that the connection is used again
	return c.judge(resp, strings.TrimSpace(string(text)), sent)
}

// judge decides what an answer means.
func (c *client) judge(resp *http.Response, text string, sent rewrite.Counts) answer {
	a := answer{status: resp.StatusCode, body: text, retryAfter: parseRetryAfter(resp.Header.Get("Retry-After"), time.Now())}
	switch code := resp.StatusCode; {
	case code/100 == 2:
		return c.judgeTaken(resp, a, sent)
	case code/100 == 5, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout:
		a.verdict = retry
	case code/100 == 3, code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusNotFound,
		code == http.StatusMethodNotAllowed, code == http.StatusProxyAuthRequired, code == http.StatusUnsupportedMediaType:
		a.verdict = held
	case code/100 == 4:
		a.verdict = refused
	default:
		a.verdict = held
	}
	a.err = fmt.Errorf("the upstream answered %d %s: %q%s", resp.StatusCode, http.StatusText(resp.StatusCode), text, remedy(resp.StatusCode))
	return a
}

// judgeTaken looks twice at a 2xx for a 2.0 message: a receiver that knows
// only 1.0 reads nothing from it and says 2xx all the same (Prometheus 2.x,
// Thanos 0.42); the Written headers, which 2.0 demands, tell them apart.
func (c *client) judgeTaken(resp *http.Response, a answer, sent rewrite.Counts) answer {
	if c.version != rewrite.V2 {
		return a
	}
	const prefix = "X-Prometheus-Remote-Write-"
	s, h, e := resp.Header.Get(prefix+"Samples-Written"), resp.Header.Get(prefix+"Histograms-Written"), resp.Header.Get(prefix+"Exemplars-Written")
	if s == "" && h == "" && e == "" && sent.Samples+sent.Histograms > 0 {
		a.verdict = held
		a.err = errors.New("the upstream answered 2xx to remote write 2.0 without saying how much it wrote, so it understood nothing of it; set protobuf_message: prometheus.WriteRequest under remote_write")
		return a
	}
	if n, _ := strconv.Atoi(s); n < sent.Samples {
		a.note = fmt.Sprintf("wrote %d of %d samples", n, sent.Samples)
	}
	if n, _ := strconv.Atoi(h); n < sent.Histograms {
		a.note += fmt.Sprintf(" wrote %d of %d histograms", n, sent.Histograms)
	}
	return a
}

// remedy says what to do about an answer that waits for somebody.
func remedy(code int) string {
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return "; check the credentials under remote_write and reload"
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return "; check remote_write.url (Prometheus: /api/v1/write, Mimir: /api/v1/push, Thanos: /api/v1/receive) and reload"
	case http.StatusUnsupportedMediaType:
		return "; set protobuf_message: prometheus.WriteRequest under remote_write and reload"
	}
	if code/100 == 3 {
		return "; redirects are not followed, put the final URL into remote_write.url and reload"
	}
	return ""
}

// withoutURL drops the URL that net/http puts in front of its errors: it may
// hold a secret in its query.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
