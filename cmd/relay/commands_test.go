package main

import (
	"bytes"
	"context"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pawl/api"
)

// source is a relay's admin API with five rejected batches: 1 to 3 are accepted when they are sent again, 4 is refused, 5 meets an
// upstream that is away.
type source struct {
	api.Source
	asked []api.RejectedQuery
	drops []api.RejectedQuery
}

func (s *source) Rejected(_ context.Context, after string, _ int) ([]api.Rejected, string, error) {
	b := func(id string) api.Rejected {
		return api.Rejected{ID: id, Time: time.Unix(1_790_000_000, 0).UTC(), Tenant: "team", Status: 400, Answer: "out of bounds", Samples: 3, Bytes: 90}
	}
	if after == "" {
		return []api.Rejected{b("5"), b("4"), b("3")}, "3", nil
	}
	return []api.Rejected{b("2"), b("1")}, "", nil
}

func (s *source) RejectedBatch(_ context.Context, id string, _ int) (api.RejectedBatch, error) {
	if id != "4" {
		return api.RejectedBatch{}, api.NotFound(os.ErrNotExist)
	}
	return api.RejectedBatch{Rejected: api.Rejected{ID: "4", Status: 400}, RemoteWrite: "1.0", BodyKept: true, SeriesCount: 3, Series: []api.RejectedSeries{
		{Labels: map[string]string{"__name__": "requests_total", "job": "shop"}, Samples: []api.RejectedSample{{Time: time.Unix(1_790_000_000, 0).UTC(), Value: 42}}},
	}}, nil
}

func (s *source) Resend(_ context.Context, q api.RejectedQuery) (r api.ResendReport, err error) {
	s.asked = append(s.asked, q)
	ids := q.IDs
	if q.All {
		if q.After == "" {
			ids, r.Next = []string{"1", "2"}, "2"
		} else {
			ids = []string{"3"}
		}
	}
	for _, id := range ids {
		item := api.ResendResult{ID: id, Outcome: api.Accepted, Status: 204, Samples: 3}
		switch id {
		case "4":
			item.Outcome, item.Status, item.Answer = api.RefusedAgain, 400, "out of order"
		case "5":
			item.Outcome, item.Status, item.Answer = api.Failed, 503, "away"
			r.Stopped = "away"
		}
		r.Items = append(r.Items, item)
	}
	return r, nil
}

func (s *source) Drop(_ context.Context, q api.RejectedQuery) (api.Dropped, error) {
	s.drops = append(s.drops, q)
	return api.Dropped{Batches: 2, Samples: 6}, nil
}

// program runs the command line and gives its exit code and what it printed.
func program(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = realMain(args, &out, &errs)
	return code, out.String(), errs.String()
}

// Rule: help is of what was asked about. Without a command it is of all, for the flags of run are looked for there.
func TestHelpIsOfTheCommand(t *testing.T) {
	for _, c := range []struct {
		args      []string
		says, not []string
	}{
		{[]string{"--help"}, []string{"--storage.path", "check-config", "--scratch"}, nil},
		{[]string{"--storage.path=x", "-h"}, []string{"--storage.path", "check-config"}, nil},
		{[]string{"run", "--help"}, []string{"usage: relay run", "--storage.path"}, []string{"check-config", "--scratch"}},
		{[]string{"check-config", "--help"}, []string{"usage: relay check-config <file>"}, []string{"--storage.path", "--serve", "verify"}},
		{[]string{"rejected", "list", "-h"}, []string{"usage: relay rejected list", "--admin.url", "--limit"}, []string{"--storage.path"}},
	} {
		code, out, _ := program(c.args...)
		if code != 0 {
			t.Errorf("%v exits with %d", c.args, code)
		}
		for _, word := range c.says {
			if !strings.Contains(out, word) {
				t.Errorf("%v does not say %q", c.args, word)
			}
		}
		for _, word := range c.not {
			if strings.Contains(out, word) {
				t.Errorf("%v says %q, which is of another command", c.args, word)
			}
		}
	}
}

func TestRejectedAsksTheRunningRelay(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		says []string
		not  string
	}{
		{[]string{"list"}, 0, []string{"ID", "5 ", "\n1 ", `"team"`, `"out of bounds"`, "400"}, ""},
		{[]string{"list", "--limit=2"}, 0, []string{"5 ", "4 "}, "\n3 "},
		{[]string{"list", "--json"}, 0, []string{`{"id":"5"`, `"samples":3`}, "ID"},
		{[]string{"show", "4"}, 0, []string{`{__name__="requests_total", job="shop"}`, " 42\n", "and 2 more series"}, ""},
		{[]string{"show", "9"}, 1, []string{"relay: the relay answered 404"}, ""},
		{[]string{"resend", "1", "2"}, 0, []string{"batch 1, 3 samples: accepted (204)", "batch 2"}, ""},
		{[]string{"resend", "1", "4"}, 1, []string{"batch 1, 3 samples: accepted", `batch 4, 3 samples: refused (400) "out of order"`, "still kept"}, ""},
		{[]string{"resend", "5"}, 1, []string{"failed (503)", "stopped"}, ""},
		{[]string{"resend", "--all"}, 0, []string{"batch 1", "batch 2", "batch 3"}, ""},
		{[]string{"resend"}, 2, []string{"which batches?"}, ""},
		{[]string{"resend", "--all", "1"}, 2, []string{"not both"}, ""},
		{[]string{"drop", "1", "2"}, 0, []string{"dropped 2 batches with 6 samples"}, ""},
		{[]string{"drop", "1", "2", "99"}, 1, []string{"dropped 2 batches", "relay: 1 of those batches were not kept"}, ""},
		{[]string{"drop"}, 2, []string{"which batches?"}, ""},
		{[]string{}, 2, []string{"must select a subcommand"}, ""},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			src := &source{}
			admin := httptest.NewServer(api.New(src, api.Options{}))
			defer admin.Close()
			code, out, errs := program(append([]string{"rejected", "--admin.url=" + admin.URL}, c.args...)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, word := range c.says {
				if !strings.Contains(out+errs, word) {
					t.Errorf("it does not say %q", word)
				}
			}
			if c.not != "" && strings.Contains(out, c.not) {
				t.Errorf("it says %q", c.not)
			}
			if t.Failed() {
				t.Logf("%s%s", out, errs)
			}
			if c.code == 2 && len(src.asked)+len(src.drops) > 0 {
				t.Error("the relay was asked all the same")
			}
		})
	}
	if code, _, errs := program("rejected", "--admin.url=http://127.0.0.1:1", "list"); code != 1 || !strings.Contains(errs, "is it running") {
		t.Errorf("no relay there: exit code %d: %s", code, errs)
	}
}

// Rule: an address that cannot be listened on is told by its flag, and with what to do.
func TestAnAddressThatIsTakenIsNamedByItsFlag(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free := "127.0.0.1:0"
	for _, c := range []struct {
		write, admin string
		code         int
		says         []string
	}{
		{taken.Addr().String(), free, 1, []string{"--web.listen-address=" + taken.Addr().String(), "give another address"}},
		{free, taken.Addr().String(), 1, []string{"--admin.listen-address=" + taken.Addr().String(), "give another address"}},
		{"nonsense", free, 2, []string{"--web.listen-address", "host:port"}},
		{free, "nonsense", 2, []string{"--admin.listen-address", "host:port"}},
	} {
		code, out, errs := program("--remote-write.url=http://127.0.0.1:1/", "--storage.path="+t.TempDir(),
			"--web.listen-address="+c.write, "--admin.listen-address="+c.admin)
		if code != c.code {
			t.Errorf("%s, %s: exit code %d, want %d", c.write, c.admin, code, c.code)
		}
		for _, word := range c.says {
			if !strings.Contains(out+errs, word) {
				t.Errorf("%s, %s: it does not say %q: %s", c.write, c.admin, word, errs)
			}
		}
	}
}

func TestReadingOfflineHasItsExitCodes(t *testing.T) {
	dir := t.TempDir()
	journal := filepath.Join(dir, "journal")
	if err := os.Mkdir(journal, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"verify", dir}, 0, "journal   ok"},
		{[]string{"dump", dir}, 0, ""},
		{[]string{"verify", filepath.Join(dir, "nothing")}, 2, "no such file"},
		{[]string{"verify", t.TempDir()}, 2, "neither journal nor state"},
		{[]string{"verify"}, 2, "path"},
		{[]string{"dump", "--match={", dir}, 2, "no PromQL selector"},
		{[]string{"dump", "--part=all", dir}, 2, "all"},
		{[]string{"dump", "--from=5", "--to=3", dir}, 2, "--from=5 is behind --to=3"},
	} {
		code, out, errs := program(c.args...)
		if code != c.code || !strings.Contains(out+errs, c.says) {
			t.Errorf("%v: exit code %d, want %d: %s%s", c.args, code, c.code, out, errs)
		}
	}
	if err := os.WriteFile(filepath.Join(journal, "00000000000000000001.seg"), []byte("not a segment"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := program("verify", dir); code != 1 || !strings.Contains(out, "journal   DAMAGED") {
		t.Errorf("damaged: exit code %d: %s", code, out)
	}
	if code, _, errs := program("dump", dir); code != 1 || !strings.Contains(errs, "DAMAGED") {
		t.Errorf("damaged: exit code %d: %s", code, errs)
	}
}
