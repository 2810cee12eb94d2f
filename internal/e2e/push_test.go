//go:build e2e

package e2e

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// pushVectors sends a first request with the metadata, then the k-th sample of every vector in the k-th.
func pushVectors(t *testing.T, url, message string, vectors []vector) {
	t.Helper()
	longest := 0
	for _, v := range vectors {
		all, _ := v.samples()
		longest = max(longest, len(all))
	}
	if message != messageV2 { // 2.0 has it inline
		push(t, url, message, metadataV1(t, vectors))
	}
	for k := range longest {
		if message == messageV2 {
			push(t, url, message, requestV2(t, vectors, k))
		} else {
			push(t, url, message, requestV1(t, vectors, k))
		}
	}
}

func push(t *testing.T, url, message string, raw []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(snappy.Encode(nil, raw)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("Content-Type", "application/x-protobuf;proto="+message)
	req.Header.Set("X-Prometheus-Remote-Write-Version", map[string]string{messageV1: "0.1.0", messageV2: "2.0.0"}[message])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("push: %v", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("push: %s %s", resp.Status, body)
	}
}

func metadataV1(t *testing.T, vectors []vector) []byte {
	t.Helper()
	var msg prompb.WriteRequest
	seen := map[string]bool{}
	for _, v := range vectors {
		if family := v.labels().Get(model.MetricNameLabel); !seen[family] {
			seen[family] = true
			msg.Metadata = append(msg.Metadata, prompb.MetricMetadata{MetricFamilyName: family, Type: v.metricType()})
		}
	}
	raw, err := msg.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func requestV1(t *testing.T, vectors []vector, k int) []byte {
	t.Helper()
	var msg prompb.WriteRequest
	for _, v := range vectors {
		if all, _ := v.samples(); k < len(all) {
			msg.Timeseries = append(msg.Timeseries, prompb.TimeSeries{
				Labels:  prompb.FromLabels(v.labels(), nil),
				Samples: []prompb.Sample{{Timestamp: all[k].T, Value: all[k].V}},
			})
		}
	}
	raw, err := msg.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func requestV2(t *testing.T, vectors []vector, k int) []byte {
	t.Helper()
	symbols := writev2.NewSymbolTable()
	var msg writev2.Request
	for _, v := range vectors {
		if all, _ := v.samples(); k < len(all) {
			msg.Timeseries = append(msg.Timeseries, writev2.TimeSeries{
				LabelsRefs: symbols.SymbolizeLabels(v.labels(), nil),
				Samples:    []writev2.Sample{{Timestamp: all[k].T, Value: all[k].V, StartTimestamp: all[k].ST}},
				Metadata:   writev2.Metadata{Type: writev2.Metadata_MetricType(v.metricType())},
			})
		}
	}
	msg.Symbols = symbols.Symbols()
	raw, err := msg.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
