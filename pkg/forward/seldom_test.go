package forward

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Rule: a line every 30 s, which says how many it stands for.
func TestLoggedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s seldom
		if n, ok := s.may(); !ok || n != 0 {
			t.Fatal("the first line is held back")
		}
		for range 7 {
			if _, ok := s.may(); ok {
				t.Fatal("two lines within 30 s")
			}
		}
		time.Sleep(logEvery)
		if n, ok := s.may(); !ok || n != 7 {
			t.Errorf("after 30 s: %v, %d lines left out, want 7", ok, n)
		}
	})
}

// Rule (RELIABILITY.md, security): one line per reason and interval, also when the upstream refuses batch after batch. All of them are in the rejected store.
func TestRefusedBatchesDoNotFillTheLog(t *testing.T) {
	u := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "out of order", http.StatusBadRequest)
	}))
	defer u.Close()
	var out bytes.Buffer
	rej, mark := &rejects{}, NewMark(0)
	f := newForwarder(t, remoteWrite(t, u.URL, nil), mark, rej)
	f.log = slog.New(slog.NewTextHandler(&out, nil))
	in := make(chan Item)
	over := make(chan error, 1)
	go func() { over <- f.Run(t.Context(), in, 4) }()
	const batches = 50
	for seq := uint64(1); seq <= batches; seq++ {
		in <- Item{Seq: seq, Batch: batch(t, "x", "", seq)}
	}
	close(in)
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	if n := len(rej.got); n != batches {
		t.Errorf("%d of %d batches are kept", n, batches)
	}
	if n := strings.Count(out.String(), "refused samples for good"); n != 1 {
		t.Errorf("%d lines about %d batches, want 1", n, batches)
	}
}
