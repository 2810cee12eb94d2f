//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/prompb"
	"golang.org/x/sync/errgroup"

	"pawl/internal/accuracy"
)

const (
	sliName  = "pulp_api_request_duration_milliseconds"
	sliHours = 4
	// sliConnections: the parts of a histogram travel apart, as a Prometheus' shards send them.
	sliConnections = 4
)

// incident draws pools until the incident happens in one, for a quarter of an
// hour in all; it does in about every fourth.
func incident() (seed uint64, pool []accuracy.HistTrace) {
	for seed = rand.Uint64N(1 << 32); ; seed++ {
		if pool = accuracy.GunicornPool(seed, sliHours); accuracy.PoolOverfull(pool) > 60 {
			return seed, pool
		}
	}
}

// sli is the incident's query, by the label that tells the two ways apart.
func sli(by, path string) string {
	rate := func(le string) string {
		return fmt.Sprintf(`sum%s(rate(%s_bucket{le=%q,exported_job="pulp-api",http_method=~"PUT|POST|PATCH",path=%q}[1h]))`, by, sliName, le, path)
	}
	return rate("1000") + " / " + rate("+Inf")
}

// The gunicorn incident (docs: two true stories): the service level "requests under a second",
// asked of a real Prometheus at every scrape of three hours, never exceeds 1
// behind the relay, of the pool and of each method; without it, it does.
func TestGunicornServiceLevelIsAtMostOne(t *testing.T) {
	t.Parallel()
	seed, pool := incident()
	t.Logf("seed %d", seed)
	receiver := startReceiver(t)
	r := startRelay(t, relayOptions{upstream: receiver.url + "/api/v1/write"})
	end := time.Now().Truncate(15 * time.Second)
	scrapes := len(pool[0].Raw)
	from := end.Add(-time.Duration(scrapes-1) * 15 * time.Second)
	var direct [sliConnections]prompb.WriteRequest // of up to an hour at once, for nothing is judged there
	for k := range scrapes {
		at := from.Add(time.Duration(k) * 15 * time.Second).UnixMilli()
		sendSpread(t, r.url+"/api/v1/write", poolScrape(pool, k, at, "relay"))
		for i, req := range poolScrape(pool, k, at, "direct") {
			direct[i].Timeseries = append(direct[i].Timeseries, req.Timeseries...)
		}
		if k%240 == 0 || k == scrapes-1 {
			sendSpread(t, receiver.url+"/api/v1/write", direct)
			direct = [sliConnections]prompb.WriteRequest{}
		}
	}
	r.stop(t) // drains: what was acknowledged is at the receiver now

	for _, path := range []string{"relay", "direct"} {
		for suffix, parts := range map[string]int{"_bucket": len(pool[0].Bounds), "_count": 1, "_sum": 1} {
			want := float64(scrapes * len(pool) * parts)
			if got := scalar(t, receiver.url, fmt.Sprintf(`sum(count_over_time(%s%s{path=%q}[6h]))`, sliName, suffix, path), end.UnixMilli()); got != want {
				t.Errorf("%v samples of %s are at the receiver by the path %q, want %v", got, suffix, path, want)
			}
		}
	}
	for _, by := range []string{"", " by (http_method)"} {
		steps, above, highest := overOne(t, receiver.url, sli(by, "relay"), from.Add(time.Hour), end)
		if above > 0 || steps < scrapes/2 {
			t.Errorf("behind the relay the service level%s exceeds 1 at %d of %d steps, and is %v at its highest", by, above, steps, highest)
		}
		rawSteps, rawAbove, rawHighest := overOne(t, receiver.url, sli(by, "direct"), from.Add(time.Hour), end)
		if rawAbove == 0 {
			t.Errorf("without the relay the service level%s never exceeds 1, the pool is harmless", by)
		}
		t.Logf("service level%s: behind the relay at most %.4f in %d steps; without it above 1 at %d of %d steps, at most %.4f",
			by, highest, steps, rawAbove, rawSteps, rawHighest)
	}
}

// overOne asks for a ratio at every 15 s and counts the answers, and those above 1.
func overOne(t *testing.T, base, query string, from, to time.Time) (steps, above int, highest float64) {
	t.Helper()
	var answer struct {
		Status, Error string
		Data          struct{ Result []result }
	}
	form := url.Values{"query": {query}, "start": {unix(from)}, "end": {unix(to)}, "step": {"15"}}
	resp, err := http.PostForm(base+"/api/v1/query_range", form)
	if err != nil {
		t.Fatalf("ask %s: %v", query, err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Status != "success" {
		t.Fatalf("ask %s: %s %v %s", query, resp.Status, err, answer.Error)
	}
	for _, series := range answer.Data.Result {
		for _, p := range series.Values {
			v := float64(p.Value)
			if math.IsNaN(v) {
				continue // no request of that method in a whole hour
			}
			steps++
			if v > 1 {
				above++
			}
			highest = math.Max(highest, v)
		}
	}
	return steps, above, highest
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// poolScrape is the k-th scrape of the pool, its parts dealt out over the connections.
func poolScrape(pool []accuracy.HistTrace, k int, at int64, path string) (requests [sliConnections]prompb.WriteRequest) {
	n := 0
	for _, tr := range pool {
		f := tr.Raw[k]
		add := func(suffix, le string, v float64) {
			ls := []prompb.Label{{Name: model.MetricNameLabel, Value: sliName + suffix},
				{Name: "exported_job", Value: "pulp-api"}, {Name: "http_method", Value: tr.Name}}
			if le != "" {
				ls = append(ls, prompb.Label{Name: "le", Value: le})
			}
			ls = append(ls, prompb.Label{Name: "path", Value: path})
			to := &requests[n%sliConnections]
			to.Timeseries = append(to.Timeseries, prompb.TimeSeries{Labels: ls, Samples: []prompb.Sample{{Timestamp: at, Value: v}}})
			n++
		}
		for i, le := range tr.Bounds {
			add("_bucket", strconv.FormatFloat(le, 'g', -1, 64), f.B[i])
		}
		add("_count", "", f.B[len(f.B)-1])
		add("_sum", "", f.Sum)
	}
	return requests
}

// sendSpread sends the requests side by side and waits for all of them.
func sendSpread(t *testing.T, to string, requests [sliConnections]prompb.WriteRequest) {
	t.Helper()
	var group errgroup.Group
	for i := range requests {
		group.Go(func() error {
			raw, err := requests[i].Marshal()
			if err != nil {
				return err
			}
			req, err := http.NewRequest(http.MethodPost, to, bytes.NewReader(snappy.Encode(nil, raw)))
			if err != nil {
				return err
			}
			req.Header.Set("Content-Encoding", "snappy")
			req.Header.Set("Content-Type", "application/x-protobuf")
			req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err == nil && resp.StatusCode/100 != 2 {
				err = fmt.Errorf("%s %s", resp.Status, body)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatalf("send a scrape to %s: %v", to, err)
	}
}
