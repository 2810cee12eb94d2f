package relay

import (
	"fmt"
	"math"
	"net/http"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"

	"pawl/api"
)

func replicaRequest(t int64, v float64, cluster, replica string) []byte {
	msg, _ := (&prompb.WriteRequest{Timeseries: []prompb.TimeSeries{{
		Labels: []prompb.Label{
			{Name: "__name__", Value: "x_total"}, {Name: "__replica__", Value: replica}, {Name: "cluster", Value: cluster},
		},
		Samples: []prompb.Sample{{Timestamp: t, Value: v}},
	}}}).Marshal()
	return snappy.Encode(nil, msg)
}

// Rule: both replicas get 2xx, one arrives upstream, without its label; who it is can be asked, and is known after a restart.
func TestOneReplicaOfAPairArrives(t *testing.T) {
	up := newRecorder(t)
	up.byLabels = true
	dir := t.TempDir()
	const ha = "ha: {failover_timeout: 1h}\n"
	r := start(t, dir, up.URL, ha)
	send := func(k int64) {
		for _, from := range []struct {
			cluster, replica string
			v                float64
		}{{"c", "a", 10}, {"c", "b", 90}, {"d", "b", 20}, {"d", "a", 80}} {
			if status, text := r.post("team", replicaRequest(t0+k*15_000, from.v+float64(k), from.cluster, from.replica)); status != http.StatusNoContent {
				t.Fatalf("%v answered %d: %s", from, status, text)
			}
		}
	}
	send(0)
	send(1)
	r.delivered()
	r.stop()
	r = start(t, dir, up.URL, ha)
	send(2)
	r.delivered()

	name := func(cluster string) string {
		return fmt.Sprint([]prompb.Label{{Name: "__name__", Value: "x_total"}, {Name: "cluster", Value: cluster}})
	}
	for name, first := range map[string]float64{name("c"): 10, name("d"): 20} {
		got := distinct(t, up.of(name))
		if len(got) != 3 || got[0].bits != math.Float64bits(first) || got[2].bits != math.Float64bits(first+2) {
			t.Errorf("%s: %v arrived", name, values(got))
		}
	}
	if len(up.series) != 2 {
		t.Errorf("%v arrived", up.series)
	}

	var elected []api.Election
	for next := "x"; next != ""; {
		var page struct {
			Items []api.Election
			Next  string
		}
		after := ""
		if len(elected) > 0 {
			after = "&after=" + next
		}
		r.ask(http.MethodGet, "/api/v1/ha?limit=1"+after, &page)
		elected = append(elected, page.Items...)
		next = page.Next
	}
	if len(elected) != 2 || elected[0].Cluster != "c" || elected[0].Replica != "a" || elected[1].Cluster != "d" || elected[1].Replica != "b" || elected[0].Tenant != "team" {
		t.Errorf("elected are %+v", elected)
	}
}
