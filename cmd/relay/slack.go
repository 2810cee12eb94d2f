package main

import (
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// timerSlack is how much later than asked the kernel may end a sleep of ours.
// Go's monitor asks for 20 µs at a time while any thread is in a system call,
// and with the kernel's 50 µs of slack that is a tenth of what the relay costs (docs/decisions/0027).
const timerSlack = 4 * time.Millisecond

// slackenTimers begins the program anew, once, as a process that has timerSlack:
// a thread inherits it from the one that starts it, and the monitor is started
// before any code of ours. Where the kernel or a sandbox does not allow it, all stays as it is.
func slackenTimers() {
	runtime.LockOSThread() // slack is a thread's own
	defer runtime.UnlockOSThread()
	has, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || time.Duration(has) >= timerSlack {
		return
	}
	path, err := os.Executable()
	if err != nil || unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(timerSlack), 0, 0, 0) != nil {
		return
	}
	if has, err = unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0); err != nil || time.Duration(has) < timerSlack {
		return // a thread of a real-time class has none; nor would it after the next exec
	}
	_ = unix.Exec(path, os.Args, os.Environ()) // returns only when it failed
}
