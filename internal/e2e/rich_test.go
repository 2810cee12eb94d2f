//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/model"
)

// startRichTarget runs a target with a native histogram, a counter and a classic histogram,
// all healthy and all with exemplars.
func startRichTarget(t *testing.T, scrapes int) *target {
	t.Helper()
	reg := prom.NewRegistry()
	native := prom.NewHistogram(prom.HistogramOpts{Name: "native_duration_seconds", Help: "-", NativeHistogramBucketFactor: 1.1})
	classic := prom.NewHistogram(prom.HistogramOpts{Name: "classic_duration_seconds", Help: "-", Buckets: []float64{0.1, 1}})
	counter := prom.NewCounter(prom.CounterOpts{Name: "traced_requests_total", Help: "-"})
	reg.MustRegister(native, classic, counter)
	handler := promhttp.HandlerFor(reg, promhttp.HandlerOpts{})

	script := make([]scene, scrapes)
	for i := range script {
		script[i].healthy = i + 1
	}
	return startTargetShowing(t, script, func(w http.ResponseWriter, req *http.Request, s scene) {
		trace := prom.Labels{"trace_id": strconv.Itoa(s.healthy)}
		v := float64(s.healthy%17) / 10
		native.(prom.ExemplarObserver).ObserveWithExemplar(v, trace)
		classic.(prom.ExemplarObserver).ObserveWithExemplar(v, trace)
		counter.(prom.ExemplarAdder).AddWithExemplar(v, trace)
		handler.ServeHTTP(w, req)
	})
}

// Native histograms and exemplars, which no correction of counters concerns, arrive as they were sent.
func TestHistogramsAndExemplarsPassUntouched(t *testing.T) {
	t.Parallel()
	for _, p := range []path{paths[0], paths[1], paths[3], paths[4]} {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			tg := startRichTarget(t, 40)
			receiver := startReceiver(t)
			r := startRelay(t, relayOptions{upstream: receiver.url + "/api/v1/write", message: p.upstream})
			s := p.sender
			s.rich = true
			from := s.start(t, tg, r.url+"/api/v1/write")
			<-tg.ended

			sent := from.read(t)
			wantSame(t, waitArrived(t, func() data { return receiver.read(t) }, sent), sent)
			natives := 0
			for key, points := range sent {
				if nameOf(key) == "native_duration_seconds" && points[0].Histogram != "" {
					natives += len(points)
				}
			}
			if natives < 30 {
				t.Errorf("the sender has only %d native histograms, the test is empty", natives)
			}

			want, got := exemplars(t, from), exemplars(t, receiver)
			if len(want) < 30 {
				t.Errorf("the sender has only %d exemplars, the test is empty", len(want))
			}
			var missing []string
			for _, e := range slices.Sorted(maps.Keys(want)) {
				if !got[e] {
					missing = append(missing, e)
				}
			}
			// A 2.0 receiver refuses an exemplar whose sample went in another request, and the sender
			// now and then cuts just there: then it is left out, and counted.
			judgeAccounts(t, r, from)
			if dropped := int(r.metric(t, "pawl_forward_exemplars_dropped_total")); len(missing) != dropped || dropped > len(want)/4 {
				t.Errorf("%d of %d exemplars have not arrived, %d are counted as left out: %.300q", len(missing), len(want), dropped, missing)
			}
			if refused := r.refused(t); len(refused) > 0 {
				t.Errorf("the upstream refused %d batches: %.200q", len(refused), refused)
			}
			r.stop(t)
		})
	}
}

// exemplars are all that the server holds, each as text.
func exemplars(t *testing.T, p *prometheus) map[string]bool {
	t.Helper()
	var answer struct {
		Data []struct {
			SeriesLabels model.Metric
			Exemplars    []json.RawMessage
		}
	}
	now := time.Now()
	getJSON(t, fmt.Sprintf(`%s/api/v1/query_exemplars?query={job="story"}&start=%d&end=%d`, p.url, now.Add(-time.Hour).Unix(), now.Add(time.Hour).Unix()), &answer)
	all := map[string]bool{}
	for _, series := range answer.Data {
		for _, e := range series.Exemplars {
			all[series.SeriesLabels.String()+string(e)] = true
		}
	}
	return all
}
