package fulldisk

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Rule: a first start on a disk without room for the database says so and what to do, and leaves nothing that keeps the next one from
// starting. Badger ends the process with words of its own where it cannot make one of its files.
func TestAFirstStartOnAFullDiskSaysWhatItNeeds(t *testing.T) {
	dir, ok := mountDisk(t, 64<<20)
	if !ok {
		t.Log("there is no disk to be filled")
		return
	}
	up, s := newUpstream(t), newSender(t, 1000, 1)
	data, cfg := filepath.Join(dir, "data"), filepath.Join(t.TempDir(), "relay.yml")
	if err := os.WriteFile(cfg, fmt.Appendf(nil, "remote_write: [{url: %s}]\n%s", up.URL, anyDisk), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, leave := range []int64{1 << 20, 16<<20 + 512<<10} { // room for the journal's head; for the database's log, and not for its statistics
		giveBack := fill(t, dir, leave)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		out, err := exec.CommandContext(ctx, relayBinary, "--config.file="+cfg, "--storage.path="+data, "--web.listen-address=127.0.0.1:0", "--admin.listen-address=127.0.0.1:0").CombinedOutput()
		cancel()
		giveBack()
		if err == nil || !strings.Contains(string(out), "the relay failed") || !strings.Contains(string(out), "make room") {
			t.Errorf("with %d bytes free it ends with %v and says\n%s", leave, err, out)
		}
	}
	r := startRelay(t, data, up.URL, anyDisk)
	s.accepted(r, patience)
	wait(t, "delivered", patience, func() bool { r.alive(); return up.has(s) })
}
