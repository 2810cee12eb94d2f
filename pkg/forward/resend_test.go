package forward

import (
	"strings"
	"testing"

	"github.com/prometheus/prometheus/config"

	"pawl/pkg/store"
)

func kept(t *testing.T) store.Rejected {
	b := batch(t, "requests_total", "shop", 7)
	return store.Rejected{Seq: 3, Tenant: "shop", Version: 1, Status: 400, Samples: 1, Body: b.Compressed}
}

func TestResendSendsTheVeryBytesAndSaysWhatBecameOfThem(t *testing.T) {
	for _, c := range []struct {
		status            int
		accepted, refused bool
	}{{204, true, false}, {400, false, true}, {409, false, true}, {503, false, false}, {429, false, false}, {401, false, false}} {
		u := newUpstream(t, func(int, string) (int, map[string]string, string) { return c.status, nil, "as the script says" })
		mark := NewMark(0)
		f := newForwarder(t, remoteWrite(t, u.URL, nil), mark, &rejects{})
		b := kept(t)
		got, err := f.Resend(t.Context(), b)
		if err != nil || got.Accepted != c.accepted || got.Refused != c.refused || got.Status != c.status {
			t.Errorf("%d: %+v, %v", c.status, got, err)
		}
		if c.status != 204 && !strings.Contains(got.Answer, "as the script says") {
			t.Errorf("%d: answer %q", c.status, got.Answer)
		}
		if u.n != 1 || u.heads[0].Get("X-Scope-OrgID") != "shop" {
			t.Errorf("%d: %d requests, %v", c.status, u.n, u.heads)
		}
		if c.accepted && u.bodies[0] != string(b.Body) {
			t.Errorf("%d: other bytes were sent", c.status)
		}
		if mark.Low() != 0 {
			t.Errorf("%d: a resend moved the mark", c.status)
		}
	}
}

// An upstream that was switched to the other version gets the same samples in it.
func TestResendSpeaksTheVersionInForce(t *testing.T) {
	u := newUpstream(t, func(int, string) (int, map[string]string, string) {
		return 204, map[string]string{"X-Prometheus-Remote-Write-Samples-Written": "1"}, ""
	})
	f := newForwarder(t, remoteWrite(t, u.URL, func(rc *config.RemoteWriteConfig) { rc.ProtobufMessage = "io.prometheus.write.v2.Request" }), NewMark(0), &rejects{})
	got, err := f.Resend(t.Context(), kept(t))
	if err != nil || !got.Accepted || got.Answer != "" {
		t.Errorf("%+v, %v", got, err)
	}
	if v := u.heads[0].Get("X-Prometheus-Remote-Write-Version"); v != "2.0.0" {
		t.Errorf("version %q", v)
	}
}

func TestResendOfABatchWithoutBodySaysSo(t *testing.T) {
	u := newUpstream(t, always(204))
	f := newForwarder(t, remoteWrite(t, u.URL, nil), NewMark(0), &rejects{})
	b := kept(t)
	b.Body = nil
	if _, err := f.Resend(t.Context(), b); err == nil || u.n > 0 {
		t.Errorf("%v after %d requests", err, u.n)
	}
}
