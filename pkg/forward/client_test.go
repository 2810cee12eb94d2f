package forward

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"pawl/pkg/rewrite"
)

// writesCounted is a connection that counts its writes.
type writesCounted struct {
	net.Conn
	writes *atomic.Int64
}

func (c writesCounted) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// A request of the usual 2,000 samples goes to the upstream with one write, headers and all, and arrives as it was.
func TestOneWriteForARequest(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 100<<10/16)
	var arrived []byte
	u := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer u.Close()
	c, err := newClient(remoteWrite(t, u.URL, nil), "", "Pawl/test")
	if err != nil {
		t.Fatal(err)
	}
	var writes atomic.Int64
	c.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return writesCounted{conn, &writes}, err
	}
	if ans := c.send(context.Background(), "", body, rewrite.Counts{}, 0); ans.verdict != taken {
		t.Fatalf("the upstream's answer was taken for %v: %v", ans.verdict, ans.err)
	}
	if !bytes.Equal(arrived, body) {
		t.Error("the body did not arrive as it was sent")
	}
	if n := writes.Load(); n != 1 {
		t.Errorf("%d writes for one request, want 1", n)
	}
}
