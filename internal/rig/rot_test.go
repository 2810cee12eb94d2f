//go:build rig

package rig

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// One damage to any file of a relay that was killed with a backlog: either it
// starts, and everything that it ever acknowledged arrives with the right
// values; or it refuses to start and names what is wrong. Never a panic, never
// silently less.
func TestRotIsNamedOrHarmless(t *testing.T) {
	seed, cases := seedOf(t), countOr(t, 50)
	figures := map[string]float64{}
	var r *run
	var base string
	var before []kept
	for i := range cases {
		if i%100 == 0 { // another life, so that what is damaged varies
			if r, base = rottable(t, seed+uint64(i)); t.Failed() {
				return
			}
			before = r.upstream.snapshot()
		}
		r.upstream.restore(before)
		what := r.damage(base)
		outcome, err := r.surviveRot()
		if err != nil {
			t.Fatalf("case %d of seed %d, %s: %v", i, r.seed, what, err)
		}
		figures[outcome]++
		figures["cases"]++
	}
	report(t, figures)
}

// rottable makes a storage with sealed segments, checkpoints, rejected batches,
// a backlog and batches of it that were kept aside, and gives a copy of it as a kill has left it.
func rottable(t *testing.T, seed uint64) (r *run, base string) {
	t.Helper()
	r = newRun(t, seed, runOptions{shards: 2, tenant: "team", relay: relayOptions{segment: 16 << 10}})
	guilty := r.poison()
	r.upstream.act(r.refuse(400, guilty))
	r.start()
	r.loadFor(400 * time.Millisecond)
	r.drained(time.Minute)
	time.Sleep(400 * time.Millisecond) // a checkpoint
	r.upstream.act(always(deed{status: 401}))
	r.loadFor(300 * time.Millisecond)
	r.keptAside()
	r.relay.kill()
	r.upstream.act(r.refuse(400, guilty))
	base = filepath.Join(r.dir, "base")
	if err := os.Rename(r.relay.data(), base); err != nil {
		t.Fatal(err)
	}
	return r, base
}

// keptAside waits until batches that the upstream does not take are in the held folder.
func (r *run) keptAside() {
	r.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if m, err := r.relay.metrics(); err == nil && m["pawl_forward_parked_batches"] > 0 {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatal("nothing is kept aside within 30 s of the upstream's 401")
		}
	}
}

// damage puts a copy of the storage in place with one file of it damaged, and says how.
func (r *run) damage(base string) string {
	r.t.Helper()
	if err := os.RemoveAll(r.relay.data()); err != nil {
		r.t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", "--sparse=always", base, r.relay.data()).CombinedOutput(); err != nil {
		r.t.Fatalf("%v: %s", err, out)
	}
	_ = os.Remove(r.relay.logPath)
	var files []string
	err := filepath.WalkDir(r.relay.data(), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() != "ballast" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	path := files[r.rand.IntN(len(files))]
	name, _ := filepath.Rel(r.relay.data(), path)
	switch r.rand.IntN(8) {
	case 0:
		r.must(os.Remove(path))
		return "delete " + name
	case 1:
		other := files[r.rand.IntN(len(files))]
		r.must(os.Rename(path, path+".swap"))
		if other != path {
			r.must(os.Rename(other, path))
			r.must(os.Rename(path+".swap", other))
		} else {
			r.must(os.Rename(path+".swap", path))
		}
		to, _ := filepath.Rel(r.relay.data(), other)
		return fmt.Sprintf("swap %s and %s", name, to)
	}
	return r.damageBytes(path) + " of " + name
}

func (r *run) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// damageBytes flips, zeroes or cuts off; most of what lies far back in Badger's files is a hole.
func (r *run) damageBytes(path string) string {
	st, err := os.Stat(path)
	r.must(err)
	if st.Size() == 0 {
		r.must(os.WriteFile(path, []byte("rot"), 0o600))
		return "write into the empty file"
	}
	reach := st.Size()
	if r.rand.IntN(4) > 0 {
		reach = min(reach, 32<<10)
	}
	at := r.rand.Int64N(reach)
	if r.rand.IntN(6) == 0 {
		r.must(os.Truncate(path, at))
		return fmt.Sprintf("cut at byte %d of %d", at, st.Size())
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	r.must(err)
	defer f.Close()
	b := make([]byte, 1+r.rand.IntN(4)/3*min(r.rand.IntN(4096), int(st.Size()-at)-1))
	_, err = f.ReadAt(b, at)
	r.must(err)
	how := fmt.Sprintf("zero %d bytes at %d", len(b), at)
	if len(b) == 1 {
		b[0] ^= 1 << r.rand.IntN(8)
		how = fmt.Sprintf("flip a bit of byte %d", at)
	} else {
		clear(b)
	}
	_, err = f.WriteAt(b, at)
	r.must(err)
	return how
}

// surviveRot starts the relay on the damaged storage and judges what comes of it.
func (r *run) surviveRot() (outcome string, err error) {
	if err := r.relay.start(); err != nil {
		return "", err
	}
	defer r.relay.kill()
	ready := r.relay.awaitReady(30 * time.Second)
	if ready == nil {
		ready = r.relay.drained(20 * time.Second)
	}
	log := r.relay.log()
	if strings.Contains(log, "panic") || strings.Contains(log, "BUG:") || strings.Contains(log, "goroutine ") || strings.Contains(log, "SIG") {
		return "", fmt.Errorf("the relay panicked:\n%s", lastLines(r.relay.logPath, 30))
	}
	if yes, _ := r.relay.ended(0); yes {
		last := lastLines(r.relay.logPath, 1)
		if !strings.Contains(last, "level=ERROR") || !strings.Contains(last, r.relay.data()) {
			return "", fmt.Errorf("it ended without naming what is wrong: %s", last)
		}
		return "refused, named", nil
	}
	if ready != nil {
		return "", ready
	}
	if missing := r.missing(); len(missing) > 0 {
		return "", fmt.Errorf("silently less or other:\n%s\n%s", strings.Join(missing, "\n"), lastLines(r.relay.logPath, 12))
	}
	return "harmless", nil
}

// missing is what was acknowledged and neither arrived right nor was rejected,
// before the kill or after the start.
func (r *run) missing() (out []string) {
	u := r.upstream
	u.mu.Lock()
	defer u.mu.Unlock()
	out = slices.Clone(u.strange)
	for _, s := range r.senders {
		for _, q := range s.sent {
			for _, p := range q.points {
				got, there := u.bits(p.series, p.t)
				switch {
				case !there && !u.refused[place{p.series, p.t}]:
					out = append(out, fmt.Sprintf("%s at %d is missing", r.fleet.labels[p.series], p.t))
				case there && p.known && got != p.want:
					out = append(out, fmt.Sprintf("%s at %d is %x, want %x", r.fleet.labels[p.series], p.t, got, p.want))
				}
				if len(out) > maxFaults {
					return out
				}
			}
		}
	}
	return out
}

// snapshot is what the upstream has, to be put back with restore.
func (u *upstream) snapshot() []kept {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := slices.Clone(u.series)
	for i := range all {
		all[i].t, all[i].bits = slices.Clone(all[i].t), slices.Clone(all[i].bits)
	}
	return all
}

func (u *upstream) restore(all []kept) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.strange = nil
	u.series = slices.Clone(all)
	for i := range all {
		u.series[i].t, u.series[i].bits = slices.Clone(all[i].t), slices.Clone(all[i].bits)
	}
}
