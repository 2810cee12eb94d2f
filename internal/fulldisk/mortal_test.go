package fulldisk

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mortal is an ext4 file system on a loop device that can die.
type mortal struct {
	t          *testing.T
	image, dir string
}

// mountMortal mounts a new one; false if that is not permitted here.
func mountMortal(t *testing.T) (d *mortal, ok bool) {
	t.Helper()
	aside := t.TempDir()
	d = &mortal{t: t, image: filepath.Join(aside, "image"), dir: filepath.Join(aside, "disk")}
	err := unmountable
	for _, step := range []func() error{
		func() error { return os.Mkdir(d.dir, 0o700) },
		func() error { return os.WriteFile(d.image, nil, 0o600) },
		func() error { return os.Truncate(d.image, 256<<20) },
		func() error { return run("mkfs.ext4", "-q", d.image) },
		func() error { return run("mount", "-o", "loop", d.image, d.dir) },
	} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		t.Logf("a loop device cannot be mounted here (%v); a limit on the size of files takes its place", err)
		return nil, false
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d, true
}

func run(name string, args ...string) error {
	return exec.Command(name, args...).Run()
}

// die makes every further write and sync fail with EIO; what was not synced is lost.
func (d *mortal) die() {
	d.t.Helper()
	f, err := os.Open(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	const (
		shutdown   = 0x8004587d // EXT4_IOC_SHUTDOWN
		noLogFlush = uint32(2)
	)
	how := noLogFlush
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), shutdown, uintptr(unsafe.Pointer(&how))); errno != 0 {
		d.t.Fatal("shut the file system down: ", errno)
	}
}

// mountAgain repairs it by its journal, as after a power loss.
func (d *mortal) mountAgain() {
	d.t.Helper()
	if err := unix.Unmount(d.dir, 0); err != nil {
		d.t.Fatal("unmount: ", err)
	}
	if out, err := exec.Command("mount", "-o", "loop", d.image, d.dir).CombinedOutput(); err != nil {
		d.t.Fatalf("mount again: %v: %s", err, out)
	}
}
