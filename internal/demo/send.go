package demo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/golang/snappy"
	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage/remote"
)

// samplesPerSend is small enough that a story takes several requests.
const samplesPerSend = 100

const (
	sendTimeout = 10 * time.Second
	retryPause  = 50 * time.Millisecond
)

// send writes a story to a remote-write endpoint as a Prometheus would, by
// Prometheus' own client: scrape after scrape, a series entry for each sample,
// again after 5xx until ctx is done.
func send(ctx context.Context, endpoint string, st story, path string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return fmt.Errorf("parse %q: %w", endpoint, err)
	}
	client, err := remote.NewWriteClient("demo-"+path, &remote.ClientConfig{
		URL:              &commonconfig.URL{URL: u},
		Timeout:          model.Duration(sendTimeout),
		HTTPClientConfig: commonconfig.DefaultHTTPClientConfig,
		WriteProtoMsg:    st.protocol,
	})
	if err != nil {
		return fmt.Errorf("create remote-write client: %w", err)
	}
	bodies, err := encode(st, path)
	if err != nil {
		return err
	}
	for i, body := range bodies {
		if err := store(ctx, client, body); err != nil {
			return fmt.Errorf("request %d of %d: %w", i+1, len(bodies), err)
		}
	}
	return nil
}

// store sends one request until it is taken or refused for good.
func store(ctx context.Context, client remote.WriteClient, body []byte) error {
	for attempt := 0; ; attempt++ {
		_, err := client.Store(ctx, body, attempt)
		var again remote.RecoverableError
		if err == nil || !errors.As(err, &again) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(retryPause):
		}
	}
}

// entry is one sample of one series, in the order in which it is sent.
type entry struct {
	series int
	sample sample
}

// encode cuts the story into compressed requests of its protocol.
func encode(st story, path string) ([][]byte, error) {
	var entries []entry
	for k := range st.series[0].samples { // the series of a story are scraped together
		for s := range st.series {
			entries = append(entries, entry{series: s, sample: st.series[s].samples[k]})
		}
	}
	var bodies [][]byte
	if st.protocol == remoteapi.WriteV1MessageType {
		body, err := metadataV1(st)
		if err != nil {
			return nil, err
		}
		bodies = append(bodies, body)
	}
	for len(entries) > 0 {
		n := min(samplesPerSend, len(entries))
		encodeSome := encodeV1
		if st.protocol == remoteapi.WriteV2MessageType {
			encodeSome = encodeV2
		}
		body, err := encodeSome(st, path, entries[:n])
		if err != nil {
			return nil, err
		}
		bodies, entries = append(bodies, body), entries[n:]
	}
	return bodies, nil
}

// metadataV1 is remote write 1.0's request of its own for the families' types.
func metadataV1(st story) ([]byte, error) {
	var req prompb.WriteRequest
	for _, se := range st.series {
		req.Metadata = append(req.Metadata, prompb.MetricMetadata{
			Type:             prompb.FromMetadataType(se.typ),
			MetricFamilyName: se.name(),
		})
	}
	return compress(req.Marshal())
}

func encodeV1(st story, path string, entries []entry) ([]byte, error) {
	var req prompb.WriteRequest
	for _, e := range entries {
		req.Timeseries = append(req.Timeseries, prompb.TimeSeries{
			Labels:  prompb.FromLabels(st.series[e.series].on(path), nil),
			Samples: []prompb.Sample{{Timestamp: e.sample.t, Value: e.sample.v}},
		})
	}
	return compress(req.Marshal())
}

func encodeV2(st story, path string, entries []entry) ([]byte, error) {
	table := writev2.NewSymbolTable()
	var req writev2.Request
	for _, e := range entries {
		se := st.series[e.series]
		req.Timeseries = append(req.Timeseries, writev2.TimeSeries{
			LabelsRefs: table.SymbolizeLabels(se.on(path), nil),
			Samples:    []writev2.Sample{{Timestamp: e.sample.t, Value: e.sample.v}},
			Metadata:   writev2.Metadata{Type: writev2.FromMetadataType(se.typ)},
		})
	}
	req.Symbols = table.Symbols()
	return compress(req.Marshal())
}

func compress(message []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, fmt.Errorf("encode remote-write request: %w", err)
	}
	return snappy.Encode(nil, message), nil
}
