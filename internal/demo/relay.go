package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pawl/api"
	"pawl/pkg/config"
	"pawl/pkg/relay"
)

// settings are the relay's. Of the disk only what a checkpoint needs is kept free:
// the demo writes a few megabytes and removes them.
const settings = `
remote_write:
  - url: %s/api/v1/write
receive:
  tenant_header: ""
storage:
  min_free_bytes: 52MB
  max_used_percent: 100
  ballast_bytes: 0
`

// relayProcess is the real relay, run within this process behind its own two listeners.
type relayProcess struct {
	writeURL, adminURL string // http://host:port, without a path
	write, admin       *httpServer
	quiesce            func()
	cancel             context.CancelFunc
	done               chan struct{} // closed when Run has returned
	err                error         // what it returned; read it after done
}

// startRelay runs a relay that keeps its data under dir and forwards to
// upstreamURL, and returns when it is ready.
func startRelay(ctx context.Context, dir, upstreamURL string, o Options) (*relayProcess, error) {
	cfg, err := config.Parse(fmt.Appendf(nil, settings, upstreamURL), "the demo's configuration")
	if err != nil {
		return nil, err
	}
	r, err := relay.New(relay.Options{
		Config: cfg, StoragePath: filepath.Join(dir, "relay"), Logger: o.Logger,
		Registry: prometheus.NewRegistry(), Version: o.Version,
	})
	if err != nil {
		return nil, fmt.Errorf("start the relay: %w", err)
	}
	running, cancel := context.WithCancel(context.Background())
	p := &relayProcess{quiesce: r.Quiesce, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = r.Run(running)
	}()
	if p.write, err = listen(o.WriteAddress, r.WriteHandler(), o.Logger); err != nil {
		return nil, errors.Join(fmt.Errorf("relay's write listener: %w", err), p.stop())
	}
	if p.admin, err = listen(o.AdminAddress, r.AdminHandler(), o.Logger); err != nil {
		return nil, errors.Join(fmt.Errorf("relay's admin listener: %w", err), p.stop())
	}
	p.writeURL, p.adminURL = p.write.url, p.admin.url
	if err := p.awaitReady(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("wait for the relay to be ready: %w", err), p.stop())
	}
	return p, nil
}

// awaitReady asks as an orchestrator would.
func (p *relayProcess) awaitReady(ctx context.Context) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.writeURL+"/-/ready", nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return errors.New("it stopped")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// stop ends the relay as SIGTERM does: no more requests, then drain.
func (p *relayProcess) stop() error {
	p.quiesce()
	var errs []error
	for _, s := range []*httpServer{p.write, p.admin} {
		if s != nil {
			errs = append(errs, s.stop())
		}
	}
	p.cancel()
	<-p.done
	return errors.Join(append(errs, p.err)...)
}

// corrections reads the whole log of corrections from the admin API, newest first.
func (p *relayProcess) corrections(ctx context.Context) ([]api.Correction, error) {
	var all []api.Correction
	for after := ""; ; {
		var page struct {
			Items []api.Correction `json:"items"`
			Next  string           `json:"next"`
		}
		q := url.Values{"limit": {"500"}}
		if after != "" {
			q.Set("after", after)
		}
		if err := get(ctx, p.adminURL+"/api/v1/corrections?"+q.Encode(), &page); err != nil {
			return nil, fmt.Errorf("read the corrections log: %w", err)
		}
		all = append(all, page.Items...)
		if after = page.Next; after == "" {
			return all, nil
		}
	}
}

// get reads the data of an answer in Prometheus' envelope.
func get(ctx context.Context, address string, data any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", address, err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", address, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", address, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s: %s", address, res.Status, body)
	}
	answer := struct {
		Data any `json:"data"`
	}{data}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("read the answer of %s: %w", address, err)
	}
	return nil
}
