package demo

import (
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"sync/atomic"
	"testing"

	"github.com/golang/snappy"
	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// decode reads requests by the generated code of both protocols: series and
// samples in the order in which they were sent.
func decode(t *testing.T, protocol remoteapi.WriteMessageType, body []byte) map[string][]sample {
	t.Helper()
	message, err := snappy.Decode(nil, body)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]sample{}
	b := labels.NewScratchBuilder(0)
	if protocol == remoteapi.WriteV1MessageType {
		var req prompb.WriteRequest
		if err := req.Unmarshal(message); err != nil {
			t.Fatal(err)
		}
		for _, ts := range req.Timeseries {
			key := ts.ToLabels(&b, nil).String()
			for _, s := range ts.Samples {
				out[key] = append(out[key], sample{t: s.Timestamp, v: s.Value})
			}
		}
		return out
	}
	var req writev2.Request
	if err := req.Unmarshal(message); err != nil {
		t.Fatal(err)
	}
	for _, ts := range req.Timeseries {
		ls, err := ts.ToLabels(&b, req.Symbols)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range ts.Samples {
			out[ls.String()] = append(out[ls.String()], sample{t: s.Timestamp, v: s.Value})
		}
	}
	return out
}

func TestEverySampleIsSentOnceInOrderInBothProtocols(t *testing.T) {
	seen := map[remoteapi.WriteMessageType]bool{}
	for _, st := range storiesEndingAt(noon, seed) {
		seen[st.protocol] = true
		bodies, err := encode(st, pathCorrected)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]sample{}
		for _, body := range bodies {
			n := 0
			for key, s := range decode(t, st.protocol, body) {
				got[key], n = append(got[key], s...), n+len(s)
			}
			if n > samplesPerSend {
				t.Errorf("%s: a request of %d samples", st.title, n)
			}
		}
		want := map[string][]sample{}
		for _, se := range st.series {
			want[se.selector(pathCorrected)] = se.samples
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: what is sent is not the story", st.title)
		}
	}
	if !seen[remoteapi.WriteV1MessageType] || !seen[remoteapi.WriteV2MessageType] {
		t.Error("the stories must use remote write 1.0 and 2.0")
	}
}

// answering answers the first requests with status, later ones with 204, and counts them.
func answering(t *testing.T, status, times int) (url string, requests *atomic.Int64) {
	requests = new(atomic.Int64)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		if requests.Add(1) <= int64(times) {
			w.WriteHeader(status)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, requests
}

func TestARequestIsSentAgainAfter503(t *testing.T) {
	url, requests := answering(t, http.StatusServiceUnavailable, 2)
	if err := send(t.Context(), url, kernelPanic(noon), pathRaw); err != nil {
		t.Fatal(err)
	}
	if got := requests.Load(); got != 4 { // metadata three times, samples once
		t.Errorf("%d requests, want 4", got)
	}
}

func TestARefusedRequestEndsTheDemo(t *testing.T) {
	url, requests := answering(t, http.StatusBadRequest, 100)
	if err := send(t.Context(), url, kernelPanic(noon), pathRaw); err == nil {
		t.Error("no error")
	}
	if got := requests.Load(); got != 1 {
		t.Errorf("%d requests, want 1", got)
	}
}
