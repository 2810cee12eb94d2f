package config

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
)

// Bytes is a size in bytes. It is written as the Prometheus world writes sizes
// (--storage.tsdb.retention.size, body_size_limit): a number and a unit, where KB,
// MB, GB and TB are powers of 1024, and KiB, MiB, GiB and TiB mean the same. 0 needs no unit.
type Bytes int64

// The units.
const (
	KB Bytes = 1 << 10
	MB Bytes = 1 << 20
	GB Bytes = 1 << 30
	TB Bytes = 1 << 40
)

var (
	byteSize  = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?(B|KB|KiB|MB|MiB|GB|GiB|TB|TiB)$`)
	byteUnits = map[string]Bytes{"B": 1, "KB": KB, "KiB": KB, "MB": MB, "MiB": MB, "GB": GB, "GiB": GB, "TB": TB, "TiB": TB}
)

// ParseBytes reads a size such as 64KB, 16MB or 1.5GB.
func ParseBytes(s string) (Bytes, error) {
	if s == "0" {
		return 0, nil
	}
	m := byteSize.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is not a size: write a number and one of B, KB, MB, GB, TB (powers of 1024), such as 16MB", s)
	}
	unit := byteUnits[m[2]]
	if n, err := strconv.ParseInt(m[1], 10, 64); err == nil {
		if n > math.MaxInt64/int64(unit) {
			return 0, fmt.Errorf("%q is too large a size", s)
		}
		return Bytes(n) * unit, nil
	}
	f, err := strconv.ParseFloat(m[1], 64)
	if err != nil || f*float64(unit) >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is too large a size", s)
	}
	return Bytes(f * float64(unit)), nil
}

// UnmarshalText is ParseBytes.
func (b *Bytes) UnmarshalText(text []byte) (err error) {
	*b, err = ParseBytes(string(text))
	return err
}

// MarshalText writes what ParseBytes reads back to the same size.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// MarshalYAML writes String, for yaml would take a number for a number.
func (b Bytes) MarshalYAML() (any, error) { return b.String(), nil }

// String is the size in the largest unit that divides it, such as 16MB; 0 is 0.
func (b Bytes) String() string {
	if b == 0 {
		return "0"
	}
	for _, u := range []struct {
		size Bytes
		name string
	}{{TB, "TB"}, {GB, "GB"}, {MB, "MB"}, {KB, "KB"}} {
		if b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}

// Sync says when the journal is forced to the disk. It is written as "always"
// (every acknowledged request is on the disk, many requests share one sync), or as
// a duration such as 200ms (synced that often: acknowledged requests survive the
// death of the process, but power loss may take the last 200ms). 1ms to 10s.
type Sync struct {
	// Interval is the time between two syncs. 0 is always.
	Interval model.Duration
}

const (
	syncAlways      = "always"
	minSyncInterval = model.Duration(time.Millisecond) // below it always is no slower
	maxSyncInterval = model.Duration(10 * time.Second) // above it the promise is not worth the name
)

// Always reports whether a request is on the disk before it is acknowledged.
func (s Sync) Always() bool { return s.Interval == 0 }

// UnmarshalText reads always or a duration.
func (s *Sync) UnmarshalText(text []byte) error {
	if string(text) == syncAlways {
		*s = Sync{}
		return nil
	}
	d, err := model.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf(`%q is neither "always" nor an interval such as 200ms`, text)
	}
	if d < minSyncInterval || d > maxSyncInterval {
		return fmt.Errorf(`an interval of %s is outside of %s to %s; to sync before every answer write "always"`, d, minSyncInterval, maxSyncInterval)
	}
	s.Interval = d
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (s Sync) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML writes String.
func (s Sync) MarshalYAML() (any, error) { return s.String(), nil }

func (s Sync) String() string {
	if s.Always() {
		return syncAlways
	}
	return s.Interval.String()
}
