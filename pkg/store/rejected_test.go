package store

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func mustOpenRejected(t *testing.T, dir string, maxBytes int64) *RejectedLog {
	t.Helper()
	l, err := OpenRejected(dir, maxBytes, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// refused is the nth refused batch of these tests.
func refused(n int) Rejected {
	return Rejected{
		Seq: uint64(n), Time: int64(1000 * n), Tenant: fmt.Sprint("tenant", n%3), Version: uint8(1 + n%2), Status: 400 + n%30,
		Answer: "out of order: " + strings.Repeat("x", n%50), Samples: uint32(n % 5), Body: bytes.Repeat([]byte{byte(n)}, n%200),
	}
}

func TestRejectedBatchesAreListedNewestFirstAcrossRestarts(t *testing.T) {
	dir := t.TempDir()
	const n = 200
	l := mustOpenRejected(t, dir, 0)
	for i := 1; i <= n; i++ {
		if i == n/2 {
			mustClose(t, l)
			l = mustOpenRejected(t, dir, 0)
		}
		if err := l.Add(refused(i)); err != nil {
			t.Fatal(err)
		}
	}
	next := n
	for after := uint64(0); ; {
		list, err := l.List(after, 7, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range list {
			want := refused(next)
			if want.Body == nil {
				want.Body = []byte{}
			}
			if b.Body == nil {
				b.Body = []byte{}
			}
			if !reflect.DeepEqual(b, want) {
				t.Fatalf("got %+v, want %+v", b, want)
			}
			next--
			after = b.Seq
		}
		if len(list) < 7 {
			break
		}
	}
	if next != 0 {
		t.Errorf("the list ended before %d", next)
	}
	list, err := l.List(0, 1, false)
	if err != nil || len(list) != 1 || list[0].Body != nil || list[0].Answer == "" {
		t.Errorf("without body: %+v, %v", list, err)
	}
}

func TestRejectedLogDropsTheOldestOverItsBoundAndCountsThem(t *testing.T) {
	dir := t.TempDir()
	const bound = 1 << 20
	l := mustOpenRejected(t, dir, bound)
	var samples int64
	const n = 1000
	for i := 1; i <= n; i++ {
		b := refused(i)
		b.Body = bytes.Repeat([]byte{1}, 5000)
		samples += int64(b.Samples)
		if err := l.Add(b); err != nil {
			t.Fatal(err)
		}
		if l.Bytes() > bound+10_000 {
			t.Fatalf("%d bytes after %d batches", l.Bytes(), i)
		}
	}
	kept, keptSamples := l.Count()
	dropped, droppedSamples := l.Dropped()
	if kept+dropped != n || keptSamples+droppedSamples != samples {
		t.Errorf("kept %d (%d samples) + dropped %d (%d samples) of %d (%d samples)", kept, keptSamples, dropped, droppedSamples, n, samples)
	}
	if kept < 100 || dropped == 0 {
		t.Errorf("kept %d, dropped %d", kept, dropped)
	}
	list, err := l.List(0, n, false)
	if err != nil || int64(len(list)) != kept || list[0].Seq != n {
		t.Errorf("%d in the list, %v", len(list), err)
	}
}

func TestRejectedBatchOverTheBoundIsKeptWithoutItsBody(t *testing.T) {
	l := mustOpenRejected(t, t.TempDir(), 1<<20)
	b := refused(1)
	b.Body = make([]byte, 2<<20)
	b.Answer = strings.Repeat("y", 100_000)
	if err := l.Add(b); err != nil {
		t.Fatal(err)
	}
	list, err := l.List(0, 10, true)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if got := list[0]; got.Body != nil || got.Status != b.Status || len(got.Answer) != maxAnswer || got.Samples != b.Samples {
		t.Errorf("got %+.200v", got)
	}
}

func TestRejectedRecordOfAnyBytesIsRefusedOrRead(t *testing.T) {
	for _, p := range [][]byte{nil, make([]byte, 7), {1, 0, 0, 0, 255, 255, 255, 255}, {1, 0, 0, 0, 1, 0, 0, 0}} {
		if _, reason := getRejected(Record{Kind: KindRejected, Payload: p}); reason == "" {
			t.Errorf("%x was read", p)
		}
	}
}
