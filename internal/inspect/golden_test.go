package inspect

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// update writes the storage path of the format that is not released yet, and its dump:
//
//	go test ./internal/inspect -run TestEveryFormatOpens -update
var update = flag.Bool("update", false, "write testdata/format/<newest> anew, by the present code")

const formats = "../../testdata/format"

// advice ends every failure: who changed what is on disk knows which it is.
const advice = "was what is on disk changed? A format that was released must go on opening; the newest, while it is not, is written anew by " +
	"go test ./internal/inspect -run TestEveryFormatOpens -update"

// Rule: the on-disk format of every released version opens. testdata/format has a directory for each, with a storage path as that
// version left it and what is in it; the present program finds it whole, reads the same from it, and goes on with it.
func TestEveryFormatOpens(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(formats, "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatal("no formats: ", err)
	}
	if *update {
		writeGolden(t, dirs[len(dirs)-1])
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Log(advice)
				}
			}()
			data := unpack(t, filepath.Join(dir, "storage.tar.gz"))
			if out, err := verify(t, data); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			got, err := dump(t, data, DumpOptions{Samples: true})
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(filepath.Join(dir, "dump.txt"))
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("the dump is not that of %s: %s", dir, firstDifference(got, string(want)))
			}
			goesOn(t, data)
		})
	}
}

// firstDifference shows the first line that is not the same.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf("line %d is\n%s\nwant\n%s", i+1, g[i], strings.Join(w[min(i, len(w)):min(i+1, len(w))], ""))
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// goesOn starts a relay over the storage path: the counter that had lost 43 is forwarded with that offset.
func goesOn(t *testing.T, data string) {
	t.Helper()
	up := newUpstream(t)
	r := startRelay(t, data, up.URL)
	r.push(1, requestOf(t0+20*15_000, map[string]float64{"requests_total": 1147}))
	r.delivered()
	r.stop()
	if got := up.value("requests_total", t0+20*15_000); got != 1190 {
		t.Errorf("1147 was forwarded as %v, want 1190", got)
	}
}

// writeGolden makes a storage path with something of everything that can be in it.
func writeGolden(t *testing.T, dir string) {
	t.Helper()
	up := newUpstream(t)
	data := filepath.Join(t.TempDir(), "data")
	r := startRelay(t, data, up.URL)
	r.twenty()
	for i := range 12 {
		r.push(1, histogramRequest(i))
		r.push(2, secondVersion(t, i))
	}
	r.push(1, requestOf(t0+20*15_000, map[string]float64{"poison_total": 2}))
	r.push(1, requestOf(t0, map[string]float64{"errors_total": 99})) // late
	folder := r.held(up, data)
	r.delivered()
	r.post("/api/v1/rejected/drop?id=1")
	r.post("/api/v1/series/forget?match[]=temperature")
	r.delivered()
	wait(t, "noted", func() bool { _, err := os.Stat(filepath.Join(data, "journal", "delivered")); return err == nil })
	r.stop()
	if err := os.CopyFS(filepath.Join(data, "held"), os.DirFS(folder)); err != nil { // as a kill would have left it
		t.Fatal(err)
	}
	out, err := dump(t, data, DumpOptions{Samples: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "dump.txt"), []byte(out), 0o644)); err != nil {
		t.Fatal(err)
	}
	pack(t, data, filepath.Join(dir, "storage.tar.gz"))
}

// histogramRequest is a classic histogram and a native one, both of which are reset at their seventh.
func histogramRequest(i int) []byte {
	n := uint64(10 * (i + 1))
	if i >= 6 {
		n = uint64(10 * (i - 5))
	}
	at := t0 + int64(i)*15_000
	series := func(v float64, ls ...string) prompb.TimeSeries {
		ts := prompb.TimeSeries{Samples: []prompb.Sample{{Timestamp: at, Value: v}}}
		for k := 0; k < len(ls); k += 2 {
			ts.Labels = append(ts.Labels, prompb.Label{Name: ls[k], Value: ls[k+1]})
		}
		return ts
	}
	wr := prompb.WriteRequest{
		Metadata: []prompb.MetricMetadata{{MetricFamilyName: "latency_seconds", Type: prompb.MetricMetadata_HISTOGRAM, Help: "latency"}},
		Timeseries: []prompb.TimeSeries{
			series(float64(n/2), "__name__", "latency_seconds_bucket", "le", "1"),
			series(float64(n), "__name__", "latency_seconds_bucket", "le", "+Inf"),
			series(float64(n), "__name__", "latency_seconds_count"),
			series(float64(n)*0.7, "__name__", "latency_seconds_sum"),
			{
				Labels: []prompb.Label{{Name: "__name__", Value: "native_seconds"}},
				Histograms: []prompb.Histogram{{
					Timestamp: at, Schema: 1, ZeroThreshold: 1e-9, Count: &prompb.Histogram_CountInt{CountInt: n}, Sum: float64(n),
					ZeroCount:     &prompb.Histogram_ZeroCountInt{ZeroCountInt: 0},
					PositiveSpans: []prompb.BucketSpan{{Offset: 1, Length: 1}}, PositiveDeltas: []int64{int64(n)},
				}},
			},
		},
	}
	if i == 11 {
		wr.Timeseries = append(wr.Timeseries, series(math.Float64frombits(value.StaleNaN), "__name__", "gone_total"))
	}
	msg, err := wr.Marshal()
	if err != nil {
		panic(err)
	}
	return snappy.Encode(nil, msg)
}

// secondVersion is a remote write 2.0 request with a counter that its metadata names one.
func secondVersion(t *testing.T, i int) []byte {
	req := writev2.Request{
		Symbols: []string{"", "__name__", "boiler_starts", "job", "heating"},
		Timeseries: []writev2.TimeSeries{{
			LabelsRefs: []uint32{1, 2, 3, 4}, Metadata: writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_COUNTER},
			Samples: []writev2.Sample{{Timestamp: t0 + int64(i)*15_000, Value: float64(5 + i%8)}},
		}},
	}
	msg, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, msg)
}

func (r *running) post(path string) {
	r.t.Helper()
	resp, err := http.Post(r.admin.URL+path, "", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(resp.Body)
		r.t.Fatalf("%s: %s %s", path, resp.Status, b)
	}
}

// pack writes a directory as an archive without what differs from machine to machine.
func pack(t *testing.T, dir, path string) {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || e.Name() == "LOCK" || e.Name() == "ballast" {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: rel, Mode: 0o600, Size: int64(len(content))}); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	if err := errors.Join(err, w.Close(), z.Close(), os.WriteFile(path, b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func unpack(t *testing.T, path string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		to := filepath.Join(dir, h.Name)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}
