package config

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"pgregory.net/rapid"
)

func TestSizesArePowersOf1024(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "0B": 0, "1B": 1, "64KB": 65536, "64KiB": 65536, "16MB": 16777216, "1.5GB": 1610612736, "2 TB": 2199023255552,
	} {
		if got, err := ParseBytes(text); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "16", "-1MB", "16mb", "MB", "1e3MB", "1MBs", "1,5MB", "8388608TB", "9223372036854775808B", "99999999999.5TB", ".5MB"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}

func TestASizePrintsAsItReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Bytes(rapid.Int64Range(0, math.MaxInt64).Draw(t, "bytes"))
		if got, err := ParseBytes(b.String()); err != nil || got != b {
			t.Fatalf("%d is %s is %d, %v", b, b, got, err)
		}
	})
}

func TestSyncIsAlwaysOrAnInterval(t *testing.T) {
	for text, want := range map[string]time.Duration{"always": 0, "1ms": time.Millisecond, "200ms": 200 * time.Millisecond, "10s": 10 * time.Second} {
		var s Sync
		if err := s.UnmarshalText([]byte(text)); err != nil || time.Duration(s.Interval) != want || s.String() != text || s.Always() != (want == 0) {
			t.Errorf("%s: %v, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "interval", "0s", "0", "11s", "-1s", "Always"} {
		s := Sync{Interval: model.Duration(time.Second)}
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %v", text, s)
		}
	}
}
