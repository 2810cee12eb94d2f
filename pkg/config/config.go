// Package config reads the relay's one YAML file. Reading is strict: an unknown
// key, a key given twice or a setting that would have no meaning is an error,
// all problems are reported at once, and each names its line and key.
//
// A Config that Load, Parse or ForURL returned is complete and checked, and must
// not be changed afterwards: a reload builds another one.
package config

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
)

// Config is the whole file.
type Config struct {
	// RemoteWrite is the upstream, in Prometheus' own remote_write schema. Exactly
	// one item: a batch stays one batch, and its acknowledgement is one answer.
	// Two settings are settled here whatever the file says: 429 is always retried
	// (dropping acknowledged samples is not ours to choose), and redirects are
	// never followed (the upstream's address comes from this file only).
	RemoteWrite []*promconfig.RemoteWriteConfig `yaml:"remote_write"`

	Receive Receive `yaml:"receive"`
	Journal Journal `yaml:"journal"`
	Correct Correct `yaml:"correct"`

	// HA elects one of two replicas before correcting; nil: off. See decisions.go.
	HA *HA `yaml:"ha,omitempty"`

	Storage Storage `yaml:"storage"`

	notes []string // what Warnings says that the values alone no longer show
}

// Receive bounds what one sender, and all of them together, may make the relay hold.
type Receive struct {
	// TenantHeader is the HTTP header that names the tenant; its value is part of a
	// series' identity and is forwarded. Default X-Scope-OrgID (Mimir's; Thanos:
	// THANOS-TENANT). "" turns tenants off: the header is neither read nor forwarded.
	TenantHeader string `yaml:"tenant_header"`

	// MaxBodyBytes is the largest request body, compressed, in bytes; larger is
	// answered with 413. Default 16MB: eight times what a Prometheus with ten times the default batch sends.
	MaxBodyBytes Bytes `yaml:"max_body_bytes"`

	// MaxDecodedBytes is the largest message after decompression, in bytes, checked
	// in the snappy header before anything is allocated; larger is answered with 413. Default 64MB.
	MaxDecodedBytes Bytes `yaml:"max_decoded_bytes"`

	// MaxLabels is the largest number of labels of one series; more is answered with
	// 413. Default 128: Mimir takes 30, Thanos any number, so the relay is not the first to refuse.
	MaxLabels int `yaml:"max_labels_per_series"`

	// MaxLabelValueBytes is the longest label value in bytes; longer is answered with
	// 413. Default 64KB: Mimir takes 2KB, so the relay is not the first to refuse.
	MaxLabelValueBytes Bytes `yaml:"max_label_value_bytes"`

	// MaxInFlight is how many requests are worked on at once, from their body's last
	// byte to their answer; one more is answered with 503 and Retry-After. Default 256:
	// five senders of Prometheus' 50 shards.
	MaxInFlight int `yaml:"max_in_flight"`

	// MaxInFlightBytes bounds, in bytes, what all requests that are read or worked on
	// hold at once: bodies as they come in, and messages by the length that their snappy
	// header announces and what is known of each sample, before anything is allocated. More
	// is answered with 503 and Retry-After, a request that takes more alone with 413. Default 128MB: 256 requests of Prometheus' default size (2,000 samples,
	// 0.4MB decompressed) and room for one of the largest.
	MaxInFlightBytes Bytes `yaml:"max_in_flight_bytes"`

	// MaxConnections bounds the connections of the write listener, and the requests whose
	// bodies are being read. Over it, the oldest connection that has not brought a whole
	// request yet is closed, or the one that has been idle longest. Default 1024: each
	// takes about 30 KB.
	MaxConnections int `yaml:"max_connections"`

	// MaxTenantSamples is how many samples and native histograms per second one tenant may
	// send, with bursts of ten seconds' worth; over it, 429 with Retry-After, which a
	// default Prometheus drops. Default 0: no such bound, and never 429.
	MaxTenantSamples int `yaml:"max_tenant_samples_per_second"`
}

// Journal is the append log that an accepted request is in before it is acknowledged.
type Journal struct {
	// MaxBytes bounds the journal on disk, in bytes. Full means 503 with Retry-After;
	// nothing acknowledged is dropped. Default 16GB: an upstream away for hours.
	MaxBytes Bytes `yaml:"max_bytes"`

	// Sync says when appended requests are forced to the disk. Default always.
	Sync Sync `yaml:"sync"`
}

// Storage says how much of the disk is to be left alone. Badger dies of SIGBUS on a
// full disk, so the relay stops accepting before it is full.
type Storage struct {
	// MinFreeBytes: with less than that free, in bytes, writes are answered with 503. Default 512MB.
	MinFreeBytes Bytes `yaml:"min_free_bytes"`
	// MaxUsedPercent: with more than that of the file system used, in percent (1 to
	// 100), writes are answered with 503. Default 90.
	MaxUsedPercent int `yaml:"max_used_percent"`
	// BallastBytes is the size of a file that only takes room, in bytes, given up when
	// the relay has to start on a full disk. Default 256MB. 0: none.
	BallastBytes Bytes `yaml:"ballast_bytes"`
}

// Default is the configuration of an empty file: everything but the upstream, which has no default.
func Default() Config {
	return Config{
		Receive: Receive{
			TenantHeader:       "X-Scope-OrgID",
			MaxBodyBytes:       16 * MB,
			MaxDecodedBytes:    64 * MB,
			MaxLabels:          128,
			MaxLabelValueBytes: 64 * KB,
			MaxInFlight:        256,
			MaxInFlightBytes:   128 * MB,
			MaxConnections:     1024,
		},
		Journal: Journal{MaxBytes: 16 * GB, Sync: Sync{}},
		Correct: Correct{
			Mode:        ModeCorrect,
			JoinWait:    model.Duration(5 * time.Second),
			ForgetAfter: model.Duration(720 * time.Hour),
		},
		Storage: Storage{
			MinFreeBytes:   512 * MB,
			MaxUsedPercent: 90,
			BallastBytes:   256 * MB,
		},
	}
}

// Load reads the file at path. Relative paths of files that it names (CA,
// certificates, passwords) are taken from the directory that the file is in.
func Load(path string) (*Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c, err := Parse(b, path)
	if err != nil {
		return nil, err
	}
	for _, rw := range c.RemoteWrite {
		rw.SetDirectory(filepath.Dir(path))
	}
	return c, nil
}

// Parse reads a configuration from b. name stands before every problem, as in
// "relay.yml:12: correct.rules[2].match: ...". The error joins all problems, each
// of them a *Problem; none of them shows a secret.
func Parse(b []byte, name string) (*Config, error) {
	c := Default()
	p := problems{file: name}
	if root := p.document(b); root != nil {
		p.config(root, &c)
	}
	if !p.unreadable {
		c.settle(&p)
		c.validate(&p)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return &c, nil
}

// ForURL is the configuration of --remote-write.url: every default, one upstream, remote write 1.0.
func ForURL(rawURL string) (*Config, error) {
	c := Default()
	p := problems{file: "--remote-write.url"}
	if rw := p.upstreamFor(rawURL); rw != nil {
		c.RemoteWrite = []*promconfig.RemoteWriteConfig{rw}
		c.settle(&p)
		c.validate(&p)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return &c, nil
}
