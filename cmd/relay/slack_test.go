package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// beginsAnew names, in the environment, what a copy of the test's program is to do in place of the tests.
const beginsAnew = "PAWL_TEST_SLACK"

// tellSlack is main, with a count of the beginnings, and says what it came to.
func tellSlack() {
	runtime.LockOSThread()
	fmt.Println("begins")
	slackenTimers()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	fmt.Println(time.Duration(slack), err, os.Args[1:], os.Getpid())
}

// Rule: the program begins anew once, as the same process with the same command line, and then has the slack.
func TestTheProgramBeginsAnewWithSlack(t *testing.T) {
	cmd := exec.Command(os.Args[0], "two words", "--flag=x")
	cmd.Env = append(os.Environ(), beginsAnew+"=1")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	want := []string{"begins", "begins", fmt.Sprintf("%v <nil> [two words --flag=x] %d", timerSlack, cmd.Process.Pid), ""}
	if got := strings.Split(out.String(), "\n"); !slices.Equal(got, want) {
		t.Errorf("printed %q, want %q", got, want)
	}
}
