package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Load is a fleet's samples on their way to one URL, spread over shards by
// series as Prometheus spreads them: each shard sends its series in one order,
// one request at a time, over a connection of its own.
type Load struct {
	fleet    *Fleet
	shards   []*shard
	proto    Proto
	url      string
	client   *http.Client
	start    int64 // ms, of the first scrape
	interval int64 // ms
	apart    *apart
	acked    atomic.Int64
}

type shard struct {
	number  int
	batches []*batch
	at      int // the batch to be sent next
	sum     Sum // of everything that was acknowledged
	body    []byte
}

// scrapeInterval is the time between two scrapes of a target, as the samples
// tell it. It says nothing about how fast they are sent.
const scrapeInterval = 15 * time.Second

// NewLoad prepares the requests of a fleet, size samples each. No shard runs
// further ahead of another than Prometheus lets it with that
// queue_config.capacity, in samples; 0: they run apart without bound. The first
// timestamps lie just ahead of now: a Prometheus that forwards ignores what is
// older than its own start.
func NewLoad(f *Fleet, p Proto, url string, shards, size, capacity int) *Load {
	transport := &http.Transport{MaxIdleConnsPerHost: shards, MaxConnsPerHost: shards, DisableCompression: true}
	l := &Load{
		fleet: f, proto: p, url: url, client: &http.Client{Transport: transport, Timeout: time.Minute},
		start: time.Now().Add(5 * time.Second).UnixMilli(), interval: scrapeInterval.Milliseconds(),
		apart: newApart(shards, size, capacity),
	}
	for s := range shards {
		var ids []uint32
		for i := s; i < f.Series; i += shards {
			ids = append(ids, uint32(i))
		}
		sh := &shard{number: s}
		for len(ids) > 0 {
			n := min(size, len(ids))
			sh.batches = append(sh.batches, newBatch(f, ids[:n], p))
			ids = ids[n:]
		}
		l.shards = append(l.shards, sh)
	}
	return l
}

// Follow makes l go on where another load of the same fleet stopped after a
// number of scrapes.
func (l *Load) Follow(start int64, scrapes int) {
	l.start = start
	var nobody Sum
	for _, sh := range l.shards {
		for _, b := range sh.batches {
			for range scrapes {
				b.advance(l.fleet, l.start, l.interval, &nobody)
			}
		}
	}
}

// Close gives the connections back.
func (l *Load) Close() { l.client.CloseIdleConnections() }

// Sent is what has been acknowledged; ask when nothing is being sent.
func (l *Load) Sent() (s Sum) {
	for _, sh := range l.shards {
		s = s.plus(sh.sum)
	}
	return s
}

// Scrapes sends n scrapes of the whole fleet as fast as they are answered.
func (l *Load) Scrapes(ctx context.Context, n int) error {
	return l.each(func(sh *shard) error {
		for range n * len(sh.batches) {
			if err := l.apart.wait(ctx, sh.number, len(sh.batches[sh.at].series)); err != nil {
				return err
			}
			if err := l.next(ctx, sh); err != nil {
				return err
			}
		}
		return nil
	})
}

// each runs fn for all shards side by side and gives the first error.
func (l *Load) each(fn func(*shard) error) error {
	errs := make(chan error, len(l.shards))
	l.apart.begin()
	for _, sh := range l.shards {
		go func() {
			defer l.apart.end(sh.number)
			errs <- fn(sh)
		}()
	}
	var first error
	for range l.shards {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// next sends the shard's next request.
func (l *Load) next(ctx context.Context, sh *shard) error {
	b := sh.batches[sh.at]
	sh.at = (sh.at + 1) % len(sh.batches)
	var sum Sum
	b.advance(l.fleet, l.start, l.interval, &sum)
	sh.body = b.compress(sh.body)
	if err := l.post(ctx, sh.body); err != nil {
		return err
	}
	sh.sum = sh.sum.plus(sum)
	l.apart.answered(sh.number, len(b.series))
	l.acked.Add(sum.Samples)
	return nil
}

// retryFor is how long a request is repeated that the relay cannot take now.
const retryFor = 30 * time.Second

// post sends a body until it is taken.
func (l *Load) post(ctx context.Context, body []byte) error {
	began := time.Now()
	for attempt := 0; ; attempt++ {
		status, answer, err := l.attempt(ctx, body, attempt)
		if err == nil && status/100 == 2 {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("answer %d: %s", status, answer)
		}
		if status/100 != 5 && status != 0 || ctx.Err() != nil || time.Since(began) > retryFor {
			return fmt.Errorf("send to %s: %w", l.url, err)
		}
		time.Sleep(30 * time.Millisecond)
	}
}

func (l *Load) attempt(ctx context.Context, body []byte, attempt int) (status int, answer string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	contentType, version := "application/x-protobuf", "0.1.0"
	if l.proto == V2 {
		contentType, version = "application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("User-Agent", "Prometheus/3.15.0")
	req.Header.Set("X-Prometheus-Remote-Write-Version", version)
	if attempt > 0 {
		req.Header.Set("Retry-Attempt", strconv.Itoa(attempt))
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	return resp.StatusCode, string(text), err
}

// Answer is one request of a paced run.
type Answer struct {
	Due  time.Time     // when it was to be sent
	Took time.Duration // from then to its answer
}

// Paced sends rate requests a second until ctx is done, whether the answers
// keep up or not: the wait of a request that could not be sent in time counts
// as time to its answer. It returns all answers in no order.
func (l *Load) Paced(ctx context.Context, rate int) ([]Answer, error) {
	var (
		mu  sync.Mutex
		all []Answer
	)
	began := time.Now()
	gap := time.Second * time.Duration(len(l.shards)) / time.Duration(rate)
	offsets := make(map[*shard]time.Duration, len(l.shards))
	for k, sh := range l.shards {
		offsets[sh] = gap * time.Duration(k) / time.Duration(len(l.shards))
	}
	err := l.each(func(sh *shard) error {
		var mine []Answer
		defer func() {
			mu.Lock()
			all = append(all, mine...)
			mu.Unlock()
		}()
		for n := 0; ; n++ {
			due := began.Add(offsets[sh] + time.Duration(n)*gap)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Until(due)):
			}
			if l.apart.wait(ctx, sh.number, len(sh.batches[sh.at].series)) != nil {
				return nil
			}
			// What was begun is finished: the sums must stay right.
			if err := l.next(context.WithoutCancel(ctx), sh); err != nil {
				return err
			}
			mine = append(mine, Answer{due, time.Since(due)})
		}
	})
	return all, err
}
