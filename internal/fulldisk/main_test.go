package fulldisk

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// torture is for long runs: go test ./internal/fulldisk -torture 20
var torture = flag.Int("torture", 1, "how often each test fills the disk")

// namespaceEnv marks the process that has a mount namespace of its own; its value is "", or why it has none.
const namespaceEnv = "PAWL_FULLDISK_NAMESPACE"

// relayBinary is the program under test; unmountable is why nothing can be mounted, nil if it can.
var (
	relayBinary string
	unmountable error
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerEnv); dir != "" {
		if err := writeCheckpoint(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	why, inside := os.LookupEnv(namespaceEnv)
	if !inside {
		os.Exit(runInNamespace())
	}
	if why != "" {
		unmountable = errors.New(why)
	}
	flag.Parse()
	dir, err := os.MkdirTemp("", "pawl-fulldisk-")
	if err == nil {
		relayBinary = filepath.Join(dir, "relay")
		err = build(relayBinary)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the relay:", err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func build(path string) error {
	cmd := exec.Command("go", "build", "-o", path, "pawl/cmd/relay")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// runInNamespace runs this test binary again in a mount namespace of its own, so that nothing stays mounted whatever becomes of it.
func runInNamespace() int {
	run := func(attr *syscall.SysProcAttr, why string) (int, error) {
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.Env = append(os.Environ(), namespaceEnv+"="+why)
		cmd.SysProcAttr = attr
		attr.Pdeathsig = syscall.SIGKILL
		if err := cmd.Start(); err != nil {
			return 1, err
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); errors.As(err, &exit) {
			return exit.ExitCode(), nil
		} else if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1, nil
		}
		return 0, nil
	}
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	code, err := run(attr, "")
	if err != nil {
		code, err = run(&syscall.SysProcAttr{}, err.Error())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return code
}

// mountDisk gives a disk of so many bytes at a new directory; false, and why, if that is not permitted.
func mountDisk(t *testing.T, bytes int64) (dir string, ok bool) {
	t.Helper()
	dir = t.TempDir()
	err := unmountable
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err == nil {
		err = unix.Mount("pawl", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes))
	}
	if err != nil {
		t.Logf("a disk cannot be mounted here (%v); a limit on the size of files takes its place", err)
		return "", false
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, true
}
