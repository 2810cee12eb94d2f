package accuracy_test

import (
	"context"
	"flag"
	"math"
	"os/exec"
	"path/filepath"
	"testing"

	"pawl/internal/accuracy"
)

var batch = flag.Int("batch", 0, "send only the classes with so many scrapes in a request through the relay; 0: all")

// One class of each kind through the program itself, over HTTP, with the parts
// of a histogram on different connections, comes out within the same reach, and
// hardly otherwise than out of the engine alone.
func TestThroughTheRelay(t *testing.T) {
	s, margin := settings(t, accuracy.Settings{Seeds: 1, Hours: 2})
	// One short seed scatters more than the mean that the tables are held to; what is
	// compared here is the way, on the same traces.
	if s.Batch = *batch; !*long {
		margin *= 4
	}
	relay := filepath.Join(t.TempDir(), "relay")
	if out, err := exec.Command("go", "build", "-o", relay, "pawl/cmd/relay").CombinedOutput(); err != nil {
		t.Fatalf("build the relay: %v\n%s", err, out)
	}
	rows, err := accuracy.ThroughRelay(context.Background(), relay, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		t.Logf("%s: PromQL %.4g, engine %.4g, relay %.4g, reach %.4g; %d of %d samples other than the engine's",
			row.Class, row.Mean.PromQL, row.Engine, row.Mean.Pawl, row.Reach, row.Other, row.Samples)
		if row.Mean.Pawl > margin*row.Reach {
			t.Errorf("%s: error %.4g is beyond %v times the reach of %.4g", row.Class, row.Mean.Pawl, margin, row.Reach)
		}
		if row.Mean.Steps != 0 {
			t.Errorf("%s: %d steps downwards", row.Class, row.Mean.Steps)
		}
		if row.Odd != 0 {
			t.Errorf("%s: %d timestamps are no histogram", row.Class, row.Odd)
		}
		if row.Batch > 1 {
			continue // parts that come several scrapes apart come out otherwise, see docs/accuracy.md
		}
		if d := math.Abs(row.Mean.Pawl - row.Engine); d > row.Reach/10 {
			t.Errorf("%s: the relay's error is %.4g from the engine's, a tenth of the reach is %.4g", row.Class, d, row.Reach/10)
		}
		if row.Other > row.Samples/1000 {
			t.Errorf("%s: %d of %d samples are other than the engine's", row.Class, row.Other, row.Samples)
		}
	}
}
