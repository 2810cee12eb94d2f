//go:build rig

package rig

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// ledger is the file of what was acknowledged: one line each, synced before
// the sender goes on. It is what the relay is held to.
type ledger struct {
	mu sync.Mutex
	f  *os.File
}

func openLedger(t *testing.T, path string) *ledger {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &ledger{f: f}
}

func (l *ledger) acknowledged(shard, n int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := fmt.Fprintf(l.f, "%d %d\n", shard, n); err != nil {
		return err
	}
	return l.f.Sync()
}

// read is what the ledger holds, by shard.
func (l *ledger) read() (map[int]map[int]bool, error) {
	b, err := os.ReadFile(l.f.Name())
	if err != nil {
		return nil, err
	}
	all := map[int]map[int]bool{}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		var shard, n int
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &shard, &n); err != nil {
			return nil, fmt.Errorf("ledger: %q: %w", lines.Text(), err)
		}
		if all[shard] == nil {
			all[shard] = map[int]bool{}
		}
		all[shard][n] = true
	}
	return all, nil
}

// sender sends a shard's requests one after the other, each until it is
// acknowledged; some it sends once more after that.
type sender struct {
	shard  *shard
	url    string
	tenant string // "" for none
	ledger *ledger
	rand   *rand.Rand
	pause  time.Duration // between two requests

	mu       sync.Mutex // held while a request is under way
	sent     []*request
	retries  atomic.Int64
	repeated atomic.Int64
	abort    atomic.Bool // the test has failed: give up
	err      error       // final
}

// client has a connection for each sender and patience for a relay that is starting.
var client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// run sends until ctx is done; what it has begun it ends, a scrape that is cut in two as well.
func (s *sender) run(ctx context.Context) {
	for ctx.Err() == nil || s.shard.rest != nil {
		s.mu.Lock()
		q := s.shard.next()
		s.sent = append(s.sent, q)
		s.err = s.deliver(q)
		if s.err == nil {
			s.err = s.ledger.acknowledged(s.shard.number, q.n)
		}
		if s.err == nil && s.rand.IntN(30) == 0 {
			s.repeated.Add(1)
			s.err = s.deliver(s.sent[max(0, len(s.sent)-1-s.rand.IntN(3))])
		}
		failed := s.err != nil
		s.mu.Unlock()
		if failed {
			return
		}
		time.Sleep(s.pause/2 + rand.N(s.pause+1))
	}
}

// deliver sends one request until it is acknowledged.
func (s *sender) deliver(q *request) error {
	for deadline := time.Now().Add(2 * time.Minute); ; {
		status, answer, err := post(s.url, s.tenant, q)
		switch {
		case err == nil && status/100 == 2:
			return nil
		case err == nil && status != http.StatusServiceUnavailable:
			return fmt.Errorf("request %d of shard %d was answered %d: %s", q.n, s.shard.number, status, answer)
		case s.abort.Load() || time.Now().After(deadline):
			return fmt.Errorf("request %d of shard %d has found no relay: %d %s %w", q.n, s.shard.number, status, answer, err)
		}
		s.retries.Add(1)
		time.Sleep(10*time.Millisecond + rand.N(20*time.Millisecond))
	}
}

func post(url, tenant string, q *request) (status int, answer string, err error) {
	req, err := http.NewRequest(http.MethodPost, url+"/api/v1/write", bytes.NewReader(q.body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("Content-Type", "application/x-protobuf;proto="+q.message)
	if tenant != "" {
		req.Header.Set("X-Scope-OrgID", tenant)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1000))
	return resp.StatusCode, string(b), err
}
