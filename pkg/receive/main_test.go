package receive

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// torture is for long runs: go test ./pkg/receive -run 'Bombs|Slow' -torture 10
var torture = flag.Int("torture", 1, "multiplies the number of bombs and of slow clients")

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// A server waits for half a second before it closes a connection with something unread.
		goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}
