package fulldisk

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// resumeWithin is how soon after space has come back writes are accepted.
const resumeWithin = 10 * time.Second

// patience is how long a test waits for what must happen some time: a disk to be full, a backlog to arrive.
const patience = 5 * time.Minute

// diskBytes is the size of the disk that runs full: a journal segment (64 MiB) and its successor fit, three do not.
const diskBytes = 192 << 20

func each(t *testing.T, test func(t *testing.T, seed uint64)) {
	for i := range *torture {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) { test(t, uint64(i+1)) })
	}
}

// Rule: while the upstream is away the journal fills the disk up to the watermark and no further. Writes are answered with 503 then;
// the relay lives, stops within 10 s, starts on the full disk, and takes writes within 10 s of space coming back. Everything that was
// acknowledged reaches the upstream, also where a neighbour has taken what was left free, and does not give it back.
func TestTheRelayFillsTheDiskItself(t *testing.T) {
	each(t, func(t *testing.T, seed uint64) {
		dir, ok := mountDisk(t, diskBytes)
		if !ok {
			limitedFiles(t, seed)
			return
		}
		up, s := newUpstream(t), newSender(t, 600_000, seed)
		up.away.Store(true)
		data := filepath.Join(dir, "data")
		r := startRelay(t, data, up.URL, smallDisk)
		s.accepted(r, patience) // it has started; before that it refuses too
		// A checkpoint takes space for itself and gives it back: until all of it is filled, some is taken again after a refusal.
		for inARow := 0; inARow < 50; inARow++ {
			s.refused(r, patience)
			if status, _ := s.send(r.url); status != http.StatusServiceUnavailable {
				inARow = 0
			}
		}
		if code := r.stop(syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d after SIGTERM on a full disk", code)
		}
		r = startRelay(t, data, up.URL, smallDisk)
		s.refused(r, patience)
		if seed%2 == 0 {
			r.stop(syscall.SIGKILL)
			r = startRelay(t, data, up.URL, smallDisk)
			s.refused(r, patience)
		}
		if seed%4 >= 2 { // a neighbour takes what the relay has left free, for good
			fill(t, dir, 1<<20)
		}
		up.away.Store(false) // what it holds is delivered, a checkpoint made, the journal cut
		wait(t, "delivered", patience, func() bool { r.alive(); return up.has(s) })
		t.Logf("%d requests were acknowledged before the disk was full; writes are accepted %v after the upstream had them all",
			len(s.acked), s.accepted(r, resumeWithin).Round(time.Millisecond))
		wait(t, "delivered", patience, func() bool { r.alive(); return up.has(s) })
		if code := r.stop(syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// Rule: a neighbour that takes all space at once, to the last byte, makes the relay answer 503 and nothing worse: no SIGBUS, no sample
// lost; killed and started again on the full disk it runs, and takes writes within 10 s of space coming back.
func TestANeighbourFillsTheDisk(t *testing.T) {
	each(t, func(t *testing.T, seed uint64) {
		dir, ok := mountDisk(t, diskBytes)
		if !ok {
			limitedFiles(t, seed)
			return
		}
		up, s := newUpstream(t), newSender(t, 20_000, seed)
		data := filepath.Join(dir, "data")
		r := startRelay(t, data, up.URL, percentDisk)
		s.accepted(r, patience)
		for range 20 * seed % 300 {
			s.send(r.url)
		}
		giveBack := fill(t, dir, 0)
		s.refused(r, patience)
		for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if status, _ := s.send(r.url); status/100 != 2 && status != http.StatusServiceUnavailable {
				r.alive()
				t.Fatalf("status %d on a full disk", status)
			}
		}
		r.alive()
		switch seed % 3 {
		case 0:
			r.stop(syscall.SIGKILL)
		case 1:
			if code := r.stop(syscall.SIGTERM); code != 0 {
				t.Errorf("exit code %d after SIGTERM on a full disk", code)
			}
		default:
			t.Logf("resumed after %v", resumed(t, s, r, giveBack))
			giveBack = nil
		}
		if giveBack != nil { // it was stopped, and starts on the full disk
			r = startRelay(t, data, up.URL, percentDisk)
			s.refused(r, patience)
			t.Logf("resumed after %v", resumed(t, s, r, giveBack))
		}
		wait(t, "delivered", patience, func() bool { r.alive(); return up.has(s) })
		if code := r.stop(syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

func resumed(t *testing.T, s *sender, r *relay, giveBack func()) time.Duration {
	t.Helper()
	giveBack()
	return s.accepted(r, resumeWithin).Round(time.Millisecond)
}

// Rule: a write that the disk does not take for another reason than want of space ends the relay: it stops acknowledging, says why and
// exits with 1; the next start has everything that was acknowledged.
func TestAWriteThatFailsEndsTheRelay(t *testing.T) {
	each(t, limitedFiles)
}

// limitedFiles lets the journal's segment grow by no more than 200 kB: a write fails in its middle, by EFBIG.
func limitedFiles(t *testing.T, seed uint64) {
	up, s := newUpstream(t), newSender(t, 30_000, seed)
	up.away.Store(true)
	data := t.TempDir()
	r := startRelay(t, data, up.URL, anyDisk)
	s.accepted(r, patience)
	for range seed % 50 {
		s.send(r.url)
	}
	r.limitFiles(filepath.Join(data, "journal", "*.seg"), 200_000)
	r.mustFail(s, "journal failed", "file too large")
	up.away.Store(false)
	r = startRelay(t, data, up.URL, anyDisk)
	s.accepted(r, patience)
	wait(t, "delivered", patience, func() bool { r.alive(); return up.has(s) })
	r.stop(syscall.SIGTERM)
}

// mustFail sends until the relay has ended with 1, saying why.
func (r *relay) mustFail(s *sender, why ...string) {
	r.t.Helper()
	for status := 204; status/100 == 2; {
		status, _ = s.send(r.url)
	}
	select {
	case <-r.ended:
	case <-time.After(10 * time.Second):
		r.t.Fatal("the relay goes on after a failed write")
	}
	if code := r.cmd.ProcessState.ExitCode(); code != 1 {
		r.t.Errorf("exit code %d, want 1", code)
	}
	for _, word := range why {
		if !strings.Contains(r.said(), word) {
			r.t.Errorf("it does not say %q", word)
		}
	}
}

// Rule: when a sync fails the relay stops acknowledging, says why and exits with 1. The disk dies under it, losing what it was not
// told to sync; mounted anew it has everything that was acknowledged.
func TestASyncThatFailsEndsTheRelay(t *testing.T) {
	each(t, func(t *testing.T, seed uint64) {
		d, ok := mountMortal(t)
		if !ok {
			limitedFiles(t, seed)
			return
		}
		up, s := newUpstream(t), newSender(t, 5_000, seed)
		up.away.Store(seed%2 == 0)
		data := filepath.Join(d.dir, "data")
		r := startRelay(t, data, up.URL, anyDisk)
		for range 5 + seed%40 {
			s.accepted(r, patience)
		}
		d.die()
		if seed%3 == 0 { // idle, it is told to stop: it ends, whatever it can write
			if code := r.stop(syscall.SIGTERM); code != 0 && code != 1 {
				t.Errorf("exit code %d", code)
			}
		} else {
			r.mustFail(s, "journal failed", "input/output error")
		}
		d.mountAgain()
		up.away.Store(false)
		r = startRelay(t, data, up.URL, anyDisk)
		s.accepted(r, patience)
		wait(t, "delivered", patience, func() bool { r.alive(); return up.has(s) })
		if code := r.stop(syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}
