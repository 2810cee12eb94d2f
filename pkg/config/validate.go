package config

import (
	"fmt"
	"net/http"
	"strings"
)

const (
	maxMessageBytes = 1 * GB  // of one request: a position in a message must fit 31 bits with room to spare
	maxLabels       = 10_000  // a series of more is a mistake, whoever sends it
	maxInFlight     = 100_000 // each holds a goroutine, a connection and a body
	maxTenantRate   = 1e9     // samples per second: far above what one relay takes
)

// settle writes down what holds whatever the file says, and notes where the file said otherwise.
func (c *Config) settle(p *problems) {
	for i, rw := range c.RemoteWrite {
		if rw == nil {
			continue
		}
		at := fmt.Sprintf("remote_write[%d]", i)
		if _, given := p.lines[at+".queue_config.retry_on_http_429"]; given && !rw.QueueConfig.RetryOnRateLimit {
			c.notes = append(c.notes, at+".queue_config.retry_on_http_429: has no effect: 429 is always retried, for giving up would drop acknowledged samples")
		}
		rw.QueueConfig.RetryOnRateLimit = true
		if _, given := p.lines[at+".follow_redirects"]; given && rw.HTTPClientConfig.FollowRedirects {
			c.notes = append(c.notes, at+".follow_redirects: has no effect: redirects are never followed")
		}
		rw.HTTPClientConfig.FollowRedirects = false
	}
}

// validate reports everything that is wrong with the values.
func (c *Config) validate(p *problems) {
	c.validateRemoteWrite(p)
	c.Receive.validate(p)
	if c.Journal.MaxBytes < c.Receive.MaxBodyBytes {
		p.at("journal.max_bytes", "%s is less than receive.max_body_bytes (%s): one request of that size could never be accepted",
			c.Journal.MaxBytes, c.Receive.MaxBodyBytes)
	}
	c.Correct.validate(p, "correct.")
	if c.HA != nil {
		c.HA.validate(p)
	}
	c.Storage.validate(p)
}

func (c *Config) validateRemoteWrite(p *problems) {
	if n := len(c.RemoteWrite); n != 1 {
		p.at("remote_write", "must have exactly one item, the upstream; found %d", n)
	}
	for i, rw := range c.RemoteWrite {
		at := fmt.Sprintf("remote_write[%d]", i)
		switch {
		case rw != nil:
			p.validateUpstream(rw, at)
		case !p.anyUnder(at):
			p.at(at, "empty")
		}
	}
}

// anyUnder reports whether something at path or within it was found wrong already.
func (p *problems) anyUnder(path string) bool {
	for _, f := range p.found {
		if strings.HasPrefix(f.Path, path) {
			return true
		}
	}
	return false
}

func (r *Receive) validate(p *problems) {
	if why := badTenantHeader(r.TenantHeader); why != "" {
		p.at("receive.tenant_header", "%q %s", r.TenantHeader, why)
	}
	size(p, "receive.max_body_bytes", r.MaxBodyBytes, 1, maxMessageBytes)
	size(p, "receive.max_decoded_bytes", r.MaxDecodedBytes, 1, maxMessageBytes)
	size(p, "receive.max_label_value_bytes", r.MaxLabelValueBytes, 1, maxMessageBytes)
	count(p, "receive.max_labels_per_series", r.MaxLabels, 1, maxLabels)
	count(p, "receive.max_in_flight", r.MaxInFlight, 1, maxInFlight)
	count(p, "receive.max_connections", r.MaxConnections, 1, maxInFlight)
	count(p, "receive.max_tenant_samples_per_second", r.MaxTenantSamples, 0, maxTenantRate)
	if least := r.MaxBodyBytes + r.MaxDecodedBytes; r.MaxInFlightBytes < least && least <= maxMessageBytes {
		p.at("receive.max_in_flight_bytes", "%s is less than receive.max_body_bytes and receive.max_decoded_bytes together (%s): one request of that size could never be accepted",
			r.MaxInFlightBytes, least)
	}
}

func (s *Storage) validate(p *problems) {
	size(p, "storage.min_free_bytes", s.MinFreeBytes, 0, 1024*TB)
	count(p, "storage.max_used_percent", s.MaxUsedPercent, 1, 100)
	size(p, "storage.ballast_bytes", s.BallastBytes, 0, 1*TB)
}

func size(p *problems, path string, v, least, most Bytes) {
	if v < least || v > most {
		p.at(path, "%s is outside of %s to %s", v, least, most)
	}
}

func count(p *problems, path string, v, least, most int) {
	if v < least || v > most {
		p.at(path, "%d is outside of %d to %d", v, least, most)
	}
}

// badTenantHeader says why a header cannot name the tenant, "" if it can.
func badTenantHeader(name string) string {
	for _, r := range name {
		if !strings.ContainsRune("!#$%&'*+-.^_`|~", r) && !('0' <= r && r <= '9') && !('a' <= r && r <= 'z') && !('A' <= r && r <= 'Z') {
			return "is not a name of an HTTP header"
		}
	}
	switch key := http.CanonicalHeaderKey(name); {
	case strings.HasPrefix(key, "X-Prometheus-Remote-Write-"):
		return "has a meaning of its own in remote write"
	case reservedHeaders[key]:
		return "has a meaning of its own in HTTP or remote write"
	}
	return ""
}

// reservedHeaders cannot name a tenant: forwarding them would change what is sent, or to whom.
var reservedHeaders = map[string]bool{
	"Accept-Encoding": true, "Authorization": true, "Connection": true, "Content-Encoding": true, "Content-Length": true,
	"Content-Type": true, "Cookie": true, "Expect": true, "Host": true, "Keep-Alive": true, "Proxy-Authenticate": true,
	"Proxy-Authorization": true, "Retry-Attempt": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	"User-Agent": true, "Www-Authenticate": true,
}
