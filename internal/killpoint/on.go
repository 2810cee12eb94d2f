//go:build killpoints

package killpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Enabled tells whether this is a test build.
const Enabled = true

// plan is what EnvKill asks for.
type plan struct {
	at   Point
	left atomic.Int64
}

var planned = sync.OnceValue(func() *plan {
	name, count, _ := strings.Cut(os.Getenv(EnvKill), ":")
	p := &plan{at: Point(name)}
	n, err := strconv.ParseInt(count, 10, 64)
	if name != "" && (err != nil || n < 1) {
		panic(fmt.Sprintf("BUG: %s=%q is not point:n", EnvKill, os.Getenv(EnvKill)))
	}
	p.left.Store(n)
	return p
})

// At kills the process if it is the planned passing of the planned point.
func At(p Point) {
	k := planned()
	if k.at != p || k.left.Add(-1) != 0 {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // no step further
}

// Duration is what the environment says, or d.
func Duration(env string, d time.Duration) time.Duration {
	if v, err := time.ParseDuration(os.Getenv(env)); err == nil && v > 0 {
		return v
	}
	return d
}

// Bytes is what the environment says, or n.
func Bytes(env string, n int64) int64 {
	if v, err := strconv.ParseInt(os.Getenv(env), 10, 64); err == nil && v > 0 {
		return v
	}
	return n
}
