package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func openJournal(t testing.TB, dir string, o JournalOptions) *Journal {
	t.Helper()
	o.disk.unsynced = true
	j, err := OpenJournal(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func mustAppend(t testing.TB, j *Journal, group ...Record) {
	t.Helper()
	if err := j.Append(group); err != nil {
		t.Fatal(err)
	}
}

func mustClose(t testing.TB, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// sample is a record whose every field depends on n, so that no two are alike.
func sample(n int) Record {
	return Record{
		Time: int64(1000 + n), Kind: RecordKind(1 + n%5), Tenant: strings.Repeat("t", n%7), Samples: uint32(n % 11),
		Payload: bytes.Repeat([]byte{byte(n), byte(n >> 8), 0xa5}, 1+n%40),
	}
}

func samples(from, n int) []Record {
	g := make([]Record, n)
	for i := range g {
		g[i] = sample(from + i)
	}
	return g
}

// readAll returns what a reader gives from seq from on until the end, and the error that it stopped with if that is not the end.
func readAll(j *Journal, from uint64) ([]Record, error) {
	r, err := j.Reader(from)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var got []Record
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		rec.Payload = bytes.Clone(rec.Payload)
		got = append(got, rec)
	}
}

// wantSamples checks that got is sample(first), sample(first+1), ... with the seqs that go with them when sample(1) is record 1.
func wantSamples(t testing.TB, got []Record, first, n int) {
	t.Helper()
	if len(got) != n {
		t.Fatalf("%d records, want %d", len(got), n)
	}
	for i, r := range got {
		w := sample(first + i)
		w.Seq = uint64(first + i)
		if err := sameRecord(r, w); err != nil {
			t.Fatal(err)
		}
	}
}

func sameRecord(got, want Record) error {
	if got.Seq != want.Seq || got.Time != want.Time || got.Kind != want.Kind || got.Tenant != want.Tenant || got.Samples != want.Samples || !bytes.Equal(got.Payload, want.Payload) {
		return fmt.Errorf("record %d differs:\n got %+v\nwant %+v", want.Seq, got, want)
	}
	return nil
}

func TestJournalGivesBackWhatWasAppendedAcrossSegmentsAndRestarts(t *testing.T) {
	dir := t.TempDir()
	o := JournalOptions{SegmentBytes: 2000, Sync: true}
	n := 0
	for round := range 5 {
		j := openJournal(t, dir, o)
		if got := j.End(); got != uint64(n+1) {
			t.Fatalf("round %d: End() = %d, want %d", round, got, n+1)
		}
		for size := 1; size < 12; size++ {
			mustAppend(t, j, samples(n+1, size)...)
			n += size
		}
		for _, from := range []int{1, 2, n / 2, n, n + 1} {
			got, err := readAll(j, uint64(from))
			if err != nil {
				t.Fatal(err)
			}
			wantSamples(t, got, from, n+1-from)
		}
		mustClose(t, j)
	}
	if m, _ := filepath.Glob(filepath.Join(dir, "*.seg")); len(m) < 5 {
		t.Fatalf("only %d segments: the test does not cross any", len(m))
	}
}

func TestJournalTimeNeverGoesBackNotEvenAcrossSegmentsAndRestarts(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, JournalOptions{SegmentBytes: 1, Sync: true})
	g := []Record{{Time: 50}, {Time: 40}}
	mustAppend(t, j, g...)
	mustAppend(t, j, Record{Time: 30})
	mustClose(t, j)
	j = openJournal(t, dir, JournalOptions{SegmentBytes: 1, Sync: true})
	mustAppend(t, j, Record{Time: 20})
	mustAppend(t, j, Record{Time: 60})
	got, err := readAll(j, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int64{50, 50, 50, 50, 60} {
		if got[i].Time != want {
			t.Errorf("record %d has time %d, want %d", i+1, got[i].Time, want)
		}
	}
}

// ops notes what is done to a disk.
type ops struct {
	mu   sync.Mutex
	list []string
}

func (o *ops) disk() disk {
	return disk{fault: func(op operation, path string, n int) (int, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.list = append(o.list, string(op)+" "+filepath.Base(path))
		return n, nil
	}}
}

// take returns what was done since it was called last.
func (o *ops) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := o.list
	o.list = nil
	return list
}

func TestAppendIsOneWriteAndOneSyncForTheWholeGroup(t *testing.T) {
	var ops ops
	j := openJournal(t, t.TempDir(), JournalOptions{Sync: true, disk: ops.disk()})
	ops.take()
	mustAppend(t, j, samples(1, 100)...)
	seg := segmentName(1)
	if got, want := strings.Join(ops.take(), ", "), "write "+seg+", sync "+seg+", write head"; got != want {
		t.Errorf("a group of 100 was\n%s, want\n%s", got, want)
	}
}

func TestRotationSyncsTheOldSegmentThenTheNewThenTheDirectory(t *testing.T) {
	var ops ops
	dir := t.TempDir()
	j := openJournal(t, dir, JournalOptions{SegmentBytes: 1, Sync: true, disk: ops.disk()})
	mustAppend(t, j, sample(1))
	ops.take()
	mustAppend(t, j, sample(2))
	a, b := segmentName(1), segmentName(2)
	want := []string{
		"write " + a, "sync " + a, "write head", // footer
		"create " + b, "write " + b + ".tmp", "sync " + b + ".tmp", "rename " + b, "sync " + filepath.Base(dir), "write head", "sync head",
		"write " + b, "sync " + b, "write head", // the group
	}
	if got := ops.take(); !slices.Equal(got, want) {
		t.Errorf("rotation did\n%v, want\n%v", got, want)
	}
}

func TestFullJournalWritesNothingAndGoesOnAfterCut(t *testing.T) {
	var ops ops
	j := openJournal(t, t.TempDir(), JournalOptions{SegmentBytes: 1000, MaxBytes: 4000, Sync: true, disk: ops.disk()})
	n := 0
	for {
		ops.take()
		err := j.Append(samples(n+1, 3))
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n += 3
	}
	if did := ops.take(); len(did) != 0 {
		t.Errorf("a full journal did %v", did)
	}
	if j.Bytes() > 4000+1000 || n == 0 {
		t.Errorf("%d bytes after %d records", j.Bytes(), n)
	}
	if err := j.Cut(j.End()); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(samples(n+1, 3)); err != nil {
		t.Errorf("after Cut: %v", err)
	}
	got, err := readAll(j, j.First())
	if err != nil {
		t.Fatal(err)
	}
	wantSamples(t, got, int(j.First()), n+3-int(j.First())+1)
}

func TestTooLargeRecordIsRefusedAndTheJournalGoesOn(t *testing.T) {
	j := openJournal(t, t.TempDir(), JournalOptions{Sync: true})
	if err := j.Append([]Record{sample(1), {Tenant: strings.Repeat("x", maxTenant+1)}}); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("Append = %v", err)
	}
	if err := j.Append([]Record{{Payload: make([]byte, maxPayload+1)}}); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("Append = %v", err)
	}
	mustAppend(t, j, sample(1))
	got, err := readAll(j, 1)
	if err != nil {
		t.Fatal(err)
	}
	wantSamples(t, got, 1, 1)
}

func TestGroupLargerThanOneWriteIsWhole(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, JournalOptions{Sync: true})
	var g []Record
	for i := range 5 {
		g = append(g, Record{Kind: KindBatch1, Payload: bytes.Repeat([]byte{byte(i)}, writeChunk/2+i)})
	}
	mustAppend(t, j, g...)
	mustClose(t, j)
	got, err := readAll(openJournal(t, dir, JournalOptions{}), 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range g {
		if err := sameRecord(got[i], g[i]); err != nil {
			t.Fatal(i)
		}
	}
}

func TestCutDropsWholeSegmentsOnlyAndNeverTheLast(t *testing.T) {
	dir := t.TempDir()
	o := JournalOptions{SegmentBytes: 1000, Sync: true}
	j := openJournal(t, dir, o)
	for n := 1; n <= 200; n++ {
		mustAppend(t, j, sample(n))
	}
	for _, before := range []uint64{1, 50, 51, 120, 500} {
		if err := j.Cut(before); err != nil {
			t.Fatal(err)
		}
		first := j.First()
		if first > before {
			t.Fatalf("Cut(%d) dropped records up to %d", before, first-1)
		}
		got, err := readAll(j, first)
		if err != nil {
			t.Fatal(err)
		}
		wantSamples(t, got, int(first), 201-int(first))
		if first > 1 {
			if _, err := j.Reader(first - 1); !errors.Is(err, ErrCut) {
				t.Errorf("Reader before the first record: %v", err)
			}
		}
		bytes := int64(0)
		paths, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
		for _, p := range paths {
			st, err := os.Stat(p)
			if err != nil {
				t.Fatal(err)
			}
			bytes += st.Size()
		}
		if bytes != j.Bytes() {
			t.Errorf("Bytes() = %d, files have %d", j.Bytes(), bytes)
		}
		mustClose(t, j)
		j = openJournal(t, dir, o)
		if j.First() != first || j.Bytes() != bytes {
			t.Errorf("after reopening First() = %d, Bytes() = %d, want %d, %d", j.First(), j.Bytes(), first, bytes)
		}
	}
	if j.First() < 190 {
		t.Errorf("First() = %d after everything was cut", j.First())
	}
}

func TestReaderThatWasOvertakenByCutSaysSo(t *testing.T) {
	j := openJournal(t, t.TempDir(), JournalOptions{SegmentBytes: 1, Sync: true})
	for n := 1; n <= 5; n++ {
		mustAppend(t, j, sample(n))
	}
	r, err := j.Reader(1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := j.Cut(4); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != nil {
		t.Errorf("the segment that it has open: %v", err)
	}
	for range 2 {
		if _, err := r.Next(); !errors.Is(err, ErrCut) {
			t.Errorf("Next = %v, want ErrCut for good", err)
		}
	}
}

func TestBacklogIsExactFromEveryRecord(t *testing.T) {
	dir := t.TempDir()
	o := JournalOptions{SegmentBytes: 20_000, Sync: true}
	j := openJournal(t, dir, o)
	const n = 1000
	for i := 1; i <= n; i += 4 {
		mustAppend(t, j, samples(i, 4)...)
	}
	check := func(j *Journal) {
		t.Helper()
		var samplesSum, bytesSum int64
		for from := n; from >= 1; from-- {
			r := sample(from)
			samplesSum += int64(r.Samples)
			bytesSum += recordSize(&r)
			s, b, oldest := j.Backlog(uint64(from))
			if s != samplesSum || b != bytesSum || oldest != r.Time {
				t.Fatalf("Backlog(%d) = %d, %d, %d, want %d, %d, %d", from, s, b, oldest, samplesSum, bytesSum, r.Time)
			}
		}
		for _, from := range []uint64{n + 1, n + 100} {
			if s, b, o := j.Backlog(from); s != 0 || b != 0 || o != 0 {
				t.Errorf("Backlog(%d) = %d, %d, %d", from, s, b, o)
			}
		}
		s0, b0, o0 := j.Backlog(0)
		if s0 != samplesSum || b0 != bytesSum || o0 != 1001 {
			t.Errorf("Backlog(0) = %d, %d, %d", s0, b0, o0)
		}
	}
	check(j)
	mustClose(t, j)
	check(openJournal(t, dir, o))
}

func TestJournalBelongsToOneProcess(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, JournalOptions{})
	if _, err := OpenJournal(dir, JournalOptions{}); !errors.Is(err, ErrLocked) {
		t.Errorf("second OpenJournal: %v", err)
	}
	mustClose(t, j)
	openJournal(t, dir, JournalOptions{})
}

func TestClosedJournalRefuses(t *testing.T) {
	j := openJournal(t, t.TempDir(), JournalOptions{Sync: true})
	mustClose(t, j)
	mustClose(t, j)
	if err := j.Append(samples(1, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Append = %v", err)
	}
}

func TestIntervalModeIsReadAtOnceAndSyncedOnSyncAndClose(t *testing.T) {
	var ops ops
	dir := t.TempDir()
	j := openJournal(t, dir, JournalOptions{disk: ops.disk()})
	ops.take()
	mustAppend(t, j, sample(1))
	mustAppend(t, j, sample(2))
	seg := segmentName(1)
	if got, want := strings.Join(ops.take(), ", "), "write "+seg+", write "+seg; got != want {
		t.Errorf("two groups were %s, want %s", got, want)
	}
	got, err := readAll(j, 1)
	if err != nil {
		t.Fatal(err)
	}
	wantSamples(t, got, 1, 2)
	ops.take()
	for range 2 {
		if err := j.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := strings.Join(ops.take(), ", "), "sync "+seg+", write head"; got != want {
		t.Errorf("Sync twice was %s, want %s", got, want)
	}
	mustAppend(t, j, sample(3))
	mustClose(t, j)
	got, err = readAll(openJournal(t, dir, JournalOptions{}), 1)
	if err != nil {
		t.Fatal(err)
	}
	wantSamples(t, got, 1, 3)
}

func TestJournalMetricsCountWhatWasAppended(t *testing.T) {
	reg := prometheus.NewRegistry()
	j := openJournal(t, t.TempDir(), JournalOptions{Sync: true, Registerer: reg})
	mustAppend(t, j, samples(1, 3)...)
	mustAppend(t, j, samples(4, 2)...)
	if got := testutil.ToFloat64(j.metrics.records); got != 5 {
		t.Errorf("records = %v", got)
	}
	if got := testutil.ToFloat64(j.metrics.groups); got != 2 {
		t.Errorf("groups = %v", got)
	}
	if n, err := testutil.GatherAndCount(reg, "pawl_journal_sync_seconds"); err != nil || n != 1 {
		t.Errorf("pawl_journal_sync_seconds: %d, %v", n, err)
	}
}

// logged returns a logger and what it was told.
func logged() (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return slog.New(slog.NewTextHandler(&b, nil)), &b
}
