package receive

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"pawl/pkg/config"
)

// Rule: every reason to refuse has its series before the first refusal, so that
// increase() over pawl_refused_requests_total sees it; and each is one series.
func TestEveryRefusalIsCountedFromZero(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := New(Options{Sink: &sink{}, Pressure: func() error { return nil }, Known: func() int { return 0 }, Settings: config.Default().Receive,
		Logger: slog.New(slog.DiscardHandler), Registerer: reg})
	series := func() map[string]float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]float64{}
		for _, f := range families {
			if f.GetName() == "pawl_refused_requests_total" {
				for _, m := range f.Metric {
					found[labelled(m)] = m.Counter.GetValue()
				}
			}
		}
		return found
	}
	before := series()
	if len(before) != int(reasons) {
		t.Errorf("%d series for %d reasons: %v", len(before), reasons, before)
	}
	for s, v := range before {
		if v != 0 || strings.Contains(s, `""`) {
			t.Errorf("%s starts at %v", s, v)
		}
	}
	for r := range reasons {
		status, _ := r.answer()
		w := httptest.NewRecorder()
		h.refuse(w, httptest.NewRequest(http.MethodPost, "/", nil), 0, &refusal{r, errors.New("no"), 0})
		if w.Code != status || http.StatusText(status) == "" {
			t.Errorf("reason %d: answered %d, want %d", r, w.Code, status)
		}
	}
	after := series()
	for s, v := range after {
		if v != 1 {
			t.Errorf("%s counted %v of 1 refusal", s, v)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d series before the first refusal, %d after", len(before), len(after))
	}
}

func labelled(m *dto.Metric) string {
	var b strings.Builder
	for _, l := range m.Label {
		b.WriteString(l.GetName() + `="` + l.GetValue() + `" `)
	}
	return b.String()
}

// Rule: input is quoted once where it is logged. Quoted twice, every quote and
// every line break in it is a row of backslashes.
func TestRefusalsAreQuotedOnceInTheLog(t *testing.T) {
	var out bytes.Buffer
	h := New(Options{Sink: &sink{}, Pressure: func() error { return nil }, Known: func() int { return 0 }, Settings: config.Default().Receive,
		Logger: slog.New(slog.NewTextHandler(&out, nil)), Registerer: prometheus.NewRegistry()})
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(bodyV1()))
	r.Header.Set("Content-Type", "text/x\ny")
	h.ServeHTTP(httptest.NewRecorder(), r)
	line := out.String()
	if strings.Contains(line, `\\\`) || strings.Count(line, "\n") != 1 || !strings.Contains(line, `err="Content-Type `) {
		t.Errorf("logged %s", line)
	}
}
