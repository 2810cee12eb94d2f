package relay

import (
	"log/slog"
	"strings"
	"testing"

	"pawl/pkg/config"
)

// Rule: whoever lets the relay fill the disk beyond what a checkpoint needs is told at the start.
func TestAWatermarkUnderWhatACheckpointNeedsIsWarnedOf(t *testing.T) {
	for _, c := range []struct {
		free    config.Bytes
		percent int
		warned  bool
	}{
		{512 * config.MB, 90, false}, {52 * config.MB, 100, false}, {50 * config.MB, 100, true}, {0, 90, false}, {config.KB, 100, true}, {0, 100, true},
	} {
		var log strings.Builder
		d := &disk{path: t.TempDir(), log: slog.New(slog.NewTextHandler(&log, nil))}
		if err := d.makeRoom(config.Storage{MinFreeBytes: c.free, MaxUsedPercent: c.percent}); err != nil {
			t.Fatal(err)
		}
		if warned := strings.Contains(log.String(), "storage.min_free_bytes"); warned != c.warned {
			t.Errorf("%+v: %s", c, &log)
		}
	}
}
