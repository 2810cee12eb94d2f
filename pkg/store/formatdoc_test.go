package store

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"
)

// Rule: docs/format.md is true. What stands in the code as a number stands there as the same number.
func TestTheFormatPageHasTheCodesConstants(t *testing.T) {
	b, err := os.ReadFile("../../docs/format.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	magic := func(m uint32) string { return string(binary.LittleEndian.AppendUint32(nil, m)) }
	want := map[string]string{
		"segment magic":      fmt.Sprintf("| 0 | 8 | `%s` |", segmentMagic),
		"head magic":         fmt.Sprintf("| 0 | 8 | `%s` |", headMagic),
		"state magic":        fmt.Sprintf("| 0 | 8 | `%s` |", checkpointMagic),
		"record magic":       fmt.Sprintf("| 0 | 4 | `%s` |", magic(recordMagic)),
		"footer magic":       fmt.Sprintf("| 0 | 4 | `%s` |", magic(footerMagic)),
		"trailer magic":      fmt.Sprintf("| −4 | 4 | `%s` |", magic(trailerMagic)),
		"segment header":     fmt.Sprintf("| %d | 4 | checksum of bytes 0–%d, without salt |", segmentHeaderLen-4, segmentHeaderLen-5),
		"head slot":          fmt.Sprintf("| %d | 4 | checksum of bytes 0–%d |", headSlotLen-4, headSlotLen-5),
		"head slots":         fmt.Sprintf("two slots, at 0 and at %d", headSlotStride),
		"state head":         fmt.Sprintf("| %d | 4 | checksum of bytes 0–%d |", checkpointLen-4, checkpointLen-5),
		"record header":      fmt.Sprintf("| %d | | tenant, payload |", recordHeaderLen),
		"footer's blocks":    fmt.Sprintf("| %d | %d each | blocks:", footerFixedLen-8, footerBlockLen),
		"payload's bound":    fmt.Sprintf("payload length, at most %d MiB", maxPayload>>20),
		"segment size":       fmt.Sprintf("segment size (%d MiB)", defaultSegmentBytes>>20),
		"block":              fmt.Sprintf("at most %d records that begin within %d KiB", blockRecords, blockBytes>>10),
		"rejected segments":  fmt.Sprintf("Segments are a %dth of the log's bound", rejectedSegments),
		"after sync":         fmt.Sprintf("flags: %d = everything before its group was synced", flagAfterSync),
		"outcomes":           fmt.Sprintf("outcome (1; %d = the upstream took it when it was sent again, %d = dropped)", Resent, Thrown),
		"stages":             fmt.Sprintf("`journal%s`", stageNew),
		"last stage":         fmt.Sprintf("`journal%s`", stageWhole),
		"held files":         fmt.Sprintf("The next file is begun after %d MiB", parkedFileBytes>>20),
		"held files' names":  fmt.Sprintf("held/N               batches of tenants that the upstream does not take, while the relay runs; N = %d digits", len(parkedName(1))),
		"corrections' order": fmt.Sprintf("| `%c` + seq (8, big endian) + index (4, big endian) |", PrefixCorrection),
	}
	kinds := map[RecordKind]string{KindBatch1: "batch of remote write 1.0", KindBatch2: "of 2.0", KindRules: "rules", KindForget: "forget", KindTick: "tick",
		KindRejected: "rejected", KindSettled: "settled", KindHeld: "held"}
	for k, name := range kinds {
		want["kind "+name] = fmt.Sprintf("%d %s", k, name)
	}
	for what, text := range want {
		if !strings.Contains(page, text) {
			t.Errorf("%s: docs/format.md does not say %q", what, text)
		}
	}
	if n := strings.Count(page, fmt.Sprintf("| 8 | 4 | format version, %d |", formatVersion)); n < 2 {
		t.Errorf("docs/format.md gives the journal's format version %d only %d times", formatVersion, n)
	}
	_, state, _ := strings.Cut(page, "| state/head, and the marker's value |")
	if !strings.Contains(state, fmt.Sprintf("| 8 | 4 | format version, %d |", stateFormat)) {
		t.Errorf("docs/format.md does not give the state's format version %d", stateFormat)
	}
	for _, p := range []byte{PrefixSeries, PrefixLabels, PrefixCorrection, PrefixHistogram, PrefixNative, PrefixFamily, PrefixMeta, PrefixElection, PrefixTarget, PrefixLost} {
		if !strings.Contains(state, fmt.Sprintf("\n| `%c` +", p)) {
			t.Errorf("docs/format.md does not say what is under %c", p)
		}
	}
}
