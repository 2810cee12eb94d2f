package rewrite

import (
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

func TestSmoke(t *testing.T) {
	v1 := prompb.WriteRequest{Timeseries: []prompb.TimeSeries{
		{Labels: []prompb.Label{{Name: "__name__", Value: "a_total"}, {Name: "job", Value: "x"}}, Samples: []prompb.Sample{{Value: 5, Timestamp: 1000}, {Value: 0, Timestamp: 2000}}},
		{Labels: []prompb.Label{{Name: "__name__", Value: "b_total"}, {Name: "job", Value: "x"}}, Samples: []prompb.Sample{{Value: 7, Timestamp: 1000}}},
	}}
	raw, _ := v1.Marshal()
	var b Batch
	if err := b.Decode(V1, "t", snappy.Encode(nil, raw), Limits{}); err != nil {
		t.Fatal(err)
	}
	k := b.Series[0].Key
	if k != KeyOf("t", labels.FromStrings("job", "x", "__name__", "a_total")) {
		t.Fatal("key")
	}
	b.SetValue(1, 9)
	b.Drop(2)
	body, kept, err := b.Encode(nil, V2, nil)
	if err != nil || kept.Samples != 2 {
		t.Fatal(err, kept)
	}
	m, _ := snappy.Decode(nil, body)
	var v2 writev2.Request
	if err := v2.Unmarshal(m); err != nil {
		t.Fatal(err)
	}
	t.Log(v2.String())
	var c Batch
	if err := c.Decode(V2, "t", body, Limits{}); err != nil {
		t.Fatal(err)
	}
	if c.Series[0].Key != k || string(c.Name(0)) != "a_total" || c.Labels(0).String() != `{__name__="a_total", job="x"}` {
		t.Fatal("v2 key")
	}
}
