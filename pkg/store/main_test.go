package store

import (
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// childEnv makes the test binary play the process that is killed, or that may panic, in tests of crashes and of rot.
const childEnv = "PAWL_STORE_TEST_CHILD"

// torture is for long runs: go test ./pkg/store -run 'Kill|Rot' -torture 50
var torture = flag.Int("torture", 1, "multiplies the number of random cases of crashes and rot")

func TestMain(m *testing.M) {
	if role := os.Getenv(childEnv); role != "" {
		child, ok := map[string]func(dir string) error{
			"append":     childAppend,
			"checkpoint": childCheckpoint,
			"resting":    childResting,
			"fill":       childFill,
			"open-state": childOpenState,

			"read-offline": childReadOffline,
		}[role]
		if !ok {
			fmt.Fprintln(os.Stderr, "no such child:", role)
			os.Exit(2)
		}
		if err := child(os.Args[1]); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m,
		// Badger and the libraries below it start these once per process and never end them.
		goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"),
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"),
	)
}

func crcOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
