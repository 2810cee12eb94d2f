package demo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The whole demo, in this process: the real relay between the stories and the upstream.
func TestTheDemoTellsTheTruthAndLeavesNothingBehind(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	defer http.DefaultClient.CloseIdleConnections()
	var out, log bytes.Buffer
	warnings := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if err := Run(t.Context(), Options{Out: &out, Logger: warnings, Version: "test"}); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	if log.Len() > 0 { // whoever sees the relay for the first time sees it here
		t.Errorf("the demo warns: %s", &log)
	}
	for _, want := range []string{"1 kernel panic", "72,936", "ok, exact", "ok, bit for bit", "loss"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if table, _, _ := strings.Cut(out.String(), "\nWhy: "); !strings.Contains(string(readme), table) {
		t.Errorf("the README shows another table; put this one there:\n%s", table)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestServeAnswersUntilItIsInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := Run(ctx, Options{Serve: true, Out: w})
		w.CloseWithError(errors.Join(err, io.EOF))
		done <- err
	}()
	var out strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(out.String(), "/api/v1/series?") {
		n, err := r.Read(buf)
		out.Write(buf[:n])
		if err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
	}
	asks := examples(out.String())
	if len(asks) != 5 {
		t.Fatalf("%d examples, want 5, in:\n%s", len(asks), out.String())
	}
	for _, ask := range asks {
		res, err := http.Get(ask)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(`"status":"success"`)) {
			t.Errorf("%s: %s, %v: %s", ask, res.Status, err, body)
		}
		if strings.Contains(ask, "query") && (!bytes.Contains(body, []byte(`"path":"raw"`)) || !bytes.Contains(body, []byte(`"path":"corrected"`))) {
			t.Errorf("%s does not show both: %s", ask, body)
		}
	}
	interrupt()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("does not stop")
	}
}

var (
	curlGet  = regexp.MustCompile(`curl -s '([^']+)'`)
	curlForm = regexp.MustCompile(`curl -sG (\S+) ((?:-d \S+ )+)\\\n +--data-urlencode 'query=([^']+)'`)
)

// examples are the addresses that the printed curl lines ask.
func examples(out string) (addresses []string) {
	for _, m := range curlForm.FindAllStringSubmatch(out, -1) {
		form := strings.ReplaceAll(strings.TrimPrefix(m[2], "-d "), " -d ", "&")
		addresses = append(addresses, m[1]+"?"+strings.TrimSpace(form)+"&query="+url.QueryEscape(m[3]))
	}
	for _, m := range curlGet.FindAllStringSubmatch(out, -1) {
		addresses = append(addresses, m[1])
	}
	return addresses
}

func TestATakenAddressIsAnError(t *testing.T) {
	up := testUpstream(t)
	address := strings.TrimPrefix(up.url, "http://")
	for name, o := range map[string]Options{
		"upstream": {UpstreamAddress: address}, "write": {WriteAddress: address}, "admin": {AdminAddress: address},
	} {
		if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), address) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
